"""What the benchmarks start, they start as it wants to be started."""

import pytest

from libs.events.log.broker import Broker
from services.intake.app import IntakeSettings
from tests.bench.parts import intake_settings


def test_intake_is_told_all_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    told = intake_settings(
        "postgresql://127.0.0.1/intake", Broker("127.0.0.1:9092", "intake", "only-for-tests"), "http://127.0.0.1:8005"
    )
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    settings = IntakeSettings.read()
    assert {name: str(getattr(settings, name.lower())) for name in told} == told
