"""A request to dispose, carried out: the caller's scope, the place, the command, and each refusal as its problem."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import msgspec
import structlog

from libs.alliance import Alliance
from libs.alliance.copy import AllianceCopy
from libs.events.log.database import Database
from libs.events.log.keyring import Keyring
from libs.events.log.scope import Scope
from libs.events.types import Fact, shapes
from libs.places import Located
from libs.service.access import Belongs, may_know
from libs.service.caller import Caller
from libs.service.context import current_traceparent
from libs.service.idempotency import Keyed
from libs.service.problem import Conflicting, Fault, Invalid, NotFound
from services.recording import crimes
from services.recording.contact import Contact
from services.recording.disposition import (
    Arrivals,
    ContactUnknown,
    Outcome,
    StillWaits,
    await_contact,
    dispose,
)
from services.recording.incidents import (
    AlreadyDisposed,
    Command,
    DisposeContact,
    Incident,
    IncidentUnknown,
    JoinIncident,
    OpenIncident,
    Refused,
    TargetWithoutTransfer,
    TransferredWithoutTarget,
    new_reference,
)
from services.recording.models import DispositionBody
from services.recording.owner import owner_of
from services.recording.reports import known_of

log = structlog.get_logger(__name__)

_POINTERS: dict[type[Refused], str] = {
    IncidentUnknown: "/incidentId",
    TransferredWithoutTarget: "/transferredTo",
    TargetWithoutTransfer: "/transferredTo",
}


class Desk:
    """Where contacts are disposed of."""

    def __init__(
        self,
        writer: Database,
        reader: Database,
        alliance: AllianceCopy,
        arrivals: Arrivals,
        keyring: Keyring,
        *,
        on_commit: Callable[[], None],
    ) -> None:
        self._writer = writer
        self.database = reader
        self.keyring = keyring
        self._on_commit = on_commit
        self._alliance = alliance
        self._arrivals = arrivals

    async def dispose(self, contact_id: UUID, body: DispositionBody, caller: Caller, keyed: Keyed | None) -> Outcome:
        """Raises the Problem that answers, where it is refused."""
        alliance = self._alliance.current
        check_force_is_known(alliance, body.force)
        shape = body.incident.location.shape() if body.incident is not None and body.incident.location else None
        located = locate(alliance, shape)

        def command_for(contact: Contact) -> Command:
            return command_of(body, contact, caller, shape, located)

        seen = Scope(caller.visible, caller.subject)  # in his own hands, too
        try:
            await await_contact(self.database, self._arrivals, contact_id, seen, caller.roles)
            outcome = await dispose(
                self._writer,
                self.keyring,
                contact_id,
                seen,
                command_for,
                lambda owners: may_know("list_incidents", caller, Belongs.to(*owners)),
                keyed=keyed,
                traceparent=current_traceparent(),
            )
            self._on_commit()
            return outcome
        except ContactUnknown:
            raise NotFound from None
        except StillWaits:
            raise Conflicting(
                "The contact waits in a queue and nobody has claimed it: claim it first, or ask a supervisor."
            ) from None
        except AlreadyDisposed as refused:
            raise Conflicting(str(refused), disposition=refused.standing.disposition) from None
        except Refused as refused:
            fault = Fault(str(refused), pointer=_POINTERS.get(type(refused)))
            raise Invalid(str(refused), faults=[fault]) from None

    async def change_incident(
        self,
        id_: UUID,
        caller: Caller,
        decide: Callable[[Incident], list[Fact]],
        admits: Callable[[Incident], bool],
    ) -> Incident:
        """Raises IncidentUnknown, what `decide` raises, Unavailable."""
        seen = Scope(caller.visible)
        incident = await crimes.change(self._writer, id_, seen, decide, admits, traceparent=current_traceparent())
        self._on_commit()
        return incident


def check_force_is_known(alliance: Alliance | None, force: str | None) -> None:
    """Raises Invalid. While no alliance is known, every force is taken at its word."""
    if force is not None and alliance is not None and force not in alliance.forces:
        raise Invalid("The alliance knows of no such force.", faults=[Fault("is not known", pointer="/force")])


def locate(alliance: Alliance | None, shape: shapes.Shape | None) -> Located | None:
    """Whose the place is; None where there is no usable place, or no boundaries are known yet."""
    if shape is None or alliance is None or alliance.atlas is None:
        return None
    return alliance.atlas.locate(shape)


def command_of(
    body: DispositionBody, contact: Contact, caller: Caller, shape: shapes.Shape | None, located: Located | None
) -> Command:
    """The command that a request makes of a contact as it stands."""
    said = {"contact": str(contact.id), "by": caller.subject, "contact_force": contact.owning_force, "note": body.note}
    match body.disposition:
        case "incident-opened":
            incident = body.incident
            return OpenIncident(
                **said,  # type: ignore[arg-type]
                owner=owner_of(
                    located,
                    known_of(contact),
                    body.force,
                    unplaced=shape is not None and (located is None or located.outside),
                ),
                reference=new_reference(),
                reported_at=contact.received_at,
                category=incident.category if incident is not None else None,
                summary=incident.summary if incident is not None else None,
                place=None if shape is None else msgspec.json.encode(shape).decode(),
            )
        case "joined-incident":
            return JoinIncident(**said, incident=str(body.incident_id))  # type: ignore[arg-type]
        case "advice" | "enquiry" | "no-police-matter" | "transferred":
            return DisposeContact(**said, disposition=body.disposition, transferred_to=body.transferred_to)  # type: ignore[arg-type]
