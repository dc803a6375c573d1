"""Why a policy is refused, in the kinds that the i3 Policy Store has a status for.

Invariant: a refusal names every fault it found, each with its place, and repeats nothing of what the document says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias, get_args

Kind: TypeAlias = Literal["structure", "algorithm", "signature", "type", "agency", "expiration", "priority"]
"""In the order in which they count: what is no policy at all cannot be of a bad type."""
_ORDER: tuple[Kind, ...] = get_args(Kind)


class Fault(NamedTuple):
    """One thing that is wrong with a policy."""

    kind: Kind
    detail: str
    """What would be right."""
    pointer: str = ""
    """JSON Pointer (RFC 6901) into the policy document; empty: all of it, or its envelope."""


class Refused(Exception):
    """The policy is not taken. Its message is one sentence for whoever wrote the policy."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: _ORDER.index(fault.kind)))
        first = self.faults[0]
        more = f" (and {len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
        super().__init__(f"{first.pointer or 'The policy'}: {first.detail}{more}.")

    @property
    def kind(self) -> Kind:
        """What is most wrong."""
        return self.faults[0].kind


def refused(kind: Kind, detail: str, pointer: str = "") -> Refused:
    return Refused([Fault(kind, detail, pointer)])
