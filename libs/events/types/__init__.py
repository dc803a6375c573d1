"""The vocabulary: every fact the system states, one module a context. Imports nothing else of ours."""

from libs.events.types import access, contacts, directory, erasures, recording, routing
from libs.events.types.base import Fact

FACTS: tuple[type[Fact], ...] = (
    *(contacts.FACTS + routing.FACTS + directory.FACTS + recording.FACTS),
    *(erasures.FACTS + access.FACTS),
)
BY_TYPE: dict[str, type[Fact]] = {fact.TYPE: fact for fact in FACTS}

__all__ = ["BY_TYPE", "FACTS", "Fact"]
