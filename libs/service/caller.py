"""Who calls: what a verified token says."""

from __future__ import annotations

from dataclasses import dataclass

from libs.events.log.scope import ALLIANCE

ROLES = frozenset(
    {
        "gateway",  # a telephony gateway or an online channel: brings contacts
        "handler",  # takes contacts from the queues
        "supervisor",  # sees and steers the queues
        "recorder",  # records incidents and crimes
        "registrar",  # the force crime registrar: the last word on crime or no crime
        "auditor",  # reads the audit ledger
        "data-protection",  # erasure, and who read what
        "finance",  # what is shared under the agreement
        "administrator",  # the alliance's configuration, parked events
        "partner",  # another force's system
    }
)


@dataclass(frozen=True, slots=True)
class Caller:
    """A token's claims, as far as we know them: roles we do not know are gone."""

    subject: str
    roles: frozenset[str]
    forces: frozenset[str]
    """Force ids: whose contacts the caller may see."""
    site: str | None = None
    """Where the caller sits: the answering site of what it answers."""
    alliance: bool = False
    """May see what is not any force's: the alliance's default queue."""
    home_force: str | None = None
    """The caller's own force, where the token says it."""

    @property
    def home(self) -> str | None:
        """The caller's own force; where the token does not say it, the only one that it names."""
        return self.home_force or (next(iter(self.forces)) if len(self.forces) == 1 else None)

    @property
    def visible(self) -> list[str]:
        """The forces of the caller's scope (libs.events.log.scope); `ALLIANCE` among them if its own may be seen."""
        return [*sorted(filter(None, self.forces)), *([ALLIANCE] if self.alliance else [])]

    @property
    def at_home(self) -> list[str]:
        """As much of `visible` as is the caller's own force's, or nobody's: whose records may be opened without any
        other tie to them."""
        return [*([self.home] if self.home in self.forces else []), *([ALLIANCE] if self.alliance else [])]
