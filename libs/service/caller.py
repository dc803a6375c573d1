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

    @property
    def visible(self) -> list[str]:
        """The forces of the caller's scope (libs.events.log.scope); `ALLIANCE` among them if its own may be seen."""
        return [*sorted(filter(None, self.forces)), *([ALLIANCE] if self.alliance else [])]
