"""Recording's read models: what is rebuilt beside the live one (`python -m services.recording rebuild <name>`)."""

from libs.events.log.projection import Projection
from services.recording.accesses import ACCESSES
from services.recording.audit import AUDIT
from services.recording.incident_list import INCIDENTS

PROJECTIONS: tuple[Projection, ...] = (AUDIT, INCIDENTS, ACCESSES)
