from __future__ import annotations

import pytest
from pydantic import BaseModel

from deploy.local.morning import contacts
from deploy.local.places import ForcePlaces, Place
from services.directory.alliance_file import SHIPPED, AllianceFile, read
from services.intake.online import OnlineContact
from services.intake.telephone import TelephoneContact
from services.intake.web import WebContact

MODELS: dict[str, type[BaseModel]] = {"telephone": TelephoneContact, "web": WebContact, "online": OnlineContact}


def some_places(force: str, neighbour: str) -> ForcePlaces:
    def place(number: int) -> Place:
        return Place(52.0 + number / 100, -0.3, f"MK{number} 1AA", neighbour, 50.0)

    return ForcePlaces([place(n) for n in range(1, 9)], [place(20)], [place(30)])


@pytest.fixture(params=sorted(path.stem for path in SHIPPED.glob("*.toml")))
def alliance(request: pytest.FixtureRequest) -> AllianceFile:
    return read(SHIPPED / f"{request.param}.toml")


def test_a_morning_has_every_channel_every_force_and_the_hard_cases(alliance: AllianceFile) -> None:
    forces = [force.id for force in alliance.forces]
    places = {force: some_places(force, forces[at - 1]) for at, force in enumerate(forces)}
    calls = contacts(alliance, places)
    assert 25 <= len(calls) <= 35
    assert {call.channel for call in calls} == {"telephone", "web", "online"}
    assert {call.presented for call in calls} >= set(forces)
    assert any("locations" not in call.body and call.presented is None for call in calls)
    assert any(call.body.get("silent") for call in calls)
    assert sum(call.story.startswith("smoke from a barn") for call in calls) == len(forces)


def test_every_body_is_one_that_intake_takes(alliance: AllianceFile) -> None:
    forces = [force.id for force in alliance.forces]
    places = {force: some_places(force, forces[at - 1]) for at, force in enumerate(forces)}
    for call in contacts(alliance, places):
        MODELS[call.channel].model_validate(call.body, strict=False)


def test_a_force_without_borders_near_is_played_all_the_same(alliance: AllianceFile) -> None:
    forces = [force.id for force in alliance.forces]
    places = {force: some_places(force, "")._replace(near=[], border=[]) for force in forces}
    assert len(contacts(alliance, places)) >= 6 * len(forces)


def test_a_force_that_no_postcode_is_in_is_rung_all_the_same(alliance: AllianceFile) -> None:
    forces = [force.id for force in alliance.forces]
    calls = contacts(alliance, {force: ForcePlaces([], [], []) for force in forces})
    assert {call.presented for call in calls} >= set(forces)
