"""`python -m tests.faults.held_relay <step>`: intake's relay, which stops itself (SIGSTOP) just before a step, once.

For a fault at exactly that moment: the test then kills it, or does something else meanwhile and lets it go on. Its
settings are intake's own.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from aiokafka import AIOKafkaProducer

from libs.events.envelope import Event
from libs.events.log.keyring import DESTROYED
from libs.events.log.relay import Relay
from libs.events.types.contacts import ContactErased, ContactReceived
from libs.events.types.erasures import SubjectErased
from services.intake.app import IntakeSettings

STEPS = ("key", "event", "erasure", "tombstone", "position")
"""Before a contact's key is sent; before its first event; before the events that say it is erased; before the
tombstone; before the relay remembers that the tombstone is acknowledged."""


class HeldRelay(Relay):
    step = ""

    async def _send_keys(self, producer: AIOKafkaProducer, changed: list[tuple[str, bytes, str | None]]) -> None:
        ends = any(key == DESTROYED for _, key, _ in changed)
        self._hold("key", bool(changed) and not ends)
        self._hold("tombstone", ends)
        await super()._send_keys(producer, changed)
        self._hold("position", ends)

    async def _send(self, producer: AIOKafkaProducer, events: list[Event]) -> None:
        types = {event.type for event in events}
        self._hold("event", ContactReceived.TYPE in types)
        self._hold("erasure", not types.isdisjoint({ContactErased.TYPE, SubjectErased.TYPE}))
        await super()._send(producer, events)

    def _hold(self, step: str, reached: bool) -> None:
        if reached and step == self.step:
            self.step = ""
            os.kill(os.getpid(), signal.SIGSTOP)


async def main(step: str) -> None:
    settings = IntakeSettings.read()
    relay = HeldRelay(settings.database_address(), broker=settings.broker, source=settings.source)
    relay.step = step
    await relay.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
