from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pydantic import ValidationError

from libs.events.envelope import Event
from libs.events.types.contacts import ContactReceived
from libs.events.types.shapes import Circle
from services.intake import online, telephone, web
from services.intake.online import OnlineContact
from services.intake.telephone import TelephoneContact
from services.intake.web import WebContact

PLACE = {"of": "caller", "source": "aml", "shape": {"kind": "circle", "lat": 52.1, "lon": -0.4, "radiusM": 20}}
INCIDENT = {"of": "incident", "source": "caller", "shape": {"kind": "postcode", "postcode": "SG8 6NA"}}

CALL = {
    "line": "999",
    "presentedForce": "bedfordshire",
    "trunk": "BT-999-BEDS-1",
    "dialledNumber": "999",
    "callerChoice": "hertfordshire",
    "presentedAt": "2026-03-01T10:00:00Z",
    "callId": "c0ffee@gateway",
    "callingNumber": "07700 900123",
    "contactNumber": "07700 900124",
    "name": "Ada Planted",
    "safeContact": "text only",
    "silent": True,
    "language": "cy",
    "words": "he has a knife",
    "locations": [PLACE, INCIDENT],
}
REPORT = {
    "presentedForce": "bedfordshire",
    "submissionId": "form-1",
    "category": "vehicle-crime",
    "words": "my car is gone",
    "emergency": False,
    "name": "Ada Planted",
    "email": "ada@example.org",
    "contactNumber": "07700 900124",
    "safeContact": "not after six",
    "language": "en-GB",
    "locations": [INCIDENT],
}
CHAT = {
    "medium": "chat",
    "presentedForce": "bedfordshire",
    "conversationId": "chat-1",
    "category": "theft",
    "words": "hello?",
    "emergency": True,
    "handle": "ada99",
    "name": "Ada Planted",
    "email": "ada@example.org",
    "callingNumber": "07700 900123",
    "contactNumber": "07700 900124",
    "safeContact": "here only",
    "language": "en",
    "locations": [PLACE],
}


def call(**body: Any) -> ContactReceived:
    return telephone.received(
        TelephoneContact.model_validate_json(json.dumps(body), strict=True), gateway="gw-1", reference="2222-2222"
    )


def report(**body: Any) -> ContactReceived:
    return web.received(
        WebContact.model_validate_json(json.dumps(body), strict=True), gateway="gw-1", reference="2222-2222"
    )


def chat(**body: Any) -> ContactReceived:
    return online.received(
        OnlineContact.model_validate_json(json.dumps(body), strict=True), gateway="gw-1", reference="2222-2222"
    )


def test_a_whole_call_is_taken_member_by_member() -> None:
    fact = call(**CALL)
    assert (fact.channel, fact.medium, fact.line, fact.presented_force) == ("telephone", "voice", "999", "bedfordshire")
    assert (fact.trunk, fact.dialled_number, fact.caller_choice) == ("BT-999-BEDS-1", "999", "hertfordshire")
    assert (fact.call_id, fact.gateway, fact.silent, fact.language) == ("c0ffee@gateway", "gw-1", True, "cy")
    assert fact.presented_at is not None
    assert fact.emergency
    assert [location.of for location in fact.locations] == ["caller", "incident"]
    person = fact.personal
    assert person is not None
    assert (person.calling_number, person.contact_number) == ("+447700900123", "+447700900124")
    assert (person.name, person.safe_contact, person.words) == ("Ada Planted", "text only", "he has a knife")
    assert person.shapes[fact.locations[0].id] == Circle(lat=52.1, lon=-0.4, radius_m=20)


def test_a_call_of_which_only_the_line_is_known_is_taken() -> None:
    fact = call(line="101")
    assert not fact.emergency
    assert fact.presented_force is None
    assert fact.locations == ()


def test_a_whole_report_is_taken_member_by_member() -> None:
    fact = report(**REPORT)
    assert (fact.channel, fact.medium, fact.line, fact.category) == ("web", "form", None, "vehicle-crime")
    assert (fact.call_id, fact.language, fact.emergency) == ("form-1", "en-GB", False)
    assert fact.personal is not None
    assert (fact.personal.email, fact.personal.words) == ("ada@example.org", "my car is gone")
    assert (fact.personal.contact_number, fact.personal.name) == ("+447700900124", "Ada Planted")
    assert [location.of for location in fact.locations] == ["incident"]


def test_a_report_needs_words() -> None:
    with pytest.raises(ValidationError):
        report(category="theft")
    with pytest.raises(ValidationError):
        report(words="")


@pytest.mark.parametrize("who", [{"name": "Ada"}, {"email": "a@example.org"}, {"contactNumber": "07700900123"}])
def test_an_anonymous_report_names_nobody(who: dict[str, str]) -> None:
    assert report(words="they deal here", anonymous=True, safeContact="none").personal is not None
    with pytest.raises(ValidationError):
        report(words="they deal here", anonymous=True, **who)
    with pytest.raises(ValidationError):
        chat(medium="chat", anonymous=True, **who)


def test_a_whole_chat_is_taken_member_by_member() -> None:
    fact = chat(**CHAT)
    assert (fact.channel, fact.medium, fact.call_id, fact.emergency) == ("online", "chat", "chat-1", True)
    assert fact.personal is not None
    assert (fact.personal.handle, fact.personal.calling_number) == ("ada99", "+447700900123")


@pytest.mark.parametrize("medium", ["chat", "app", "social", "email", "text-relay", "sms"])
def test_a_conversation_may_begin_without_a_word(medium: str) -> None:
    assert chat(medium=medium).medium == medium


@pytest.mark.parametrize("medium", ["text-relay", "sms"])
def test_a_text_to_999_is_an_emergency(medium: str) -> None:
    fact = chat(medium=medium, line="999", dialledNumber="18000")
    assert (fact.line, fact.emergency, fact.dialled_number) == ("999", True, "18000")


@pytest.mark.parametrize("medium", ["chat", "app", "social", "email"])
def test_what_does_not_come_over_a_line_names_none(medium: str) -> None:
    with pytest.raises(ValidationError):
        chat(medium=medium, line="999")


@pytest.mark.parametrize(
    ("take", "body"), [(call, CALL), (report, REPORT), (chat, CHAT)], ids=["telephone", "web", "online"]
)
def test_what_identifies_a_person_stands_under_personal_and_nowhere_else(take: Any, body: dict[str, Any]) -> None:
    data = json.loads(Event.of(take(**body), source="/intake", subject="c", version=1).data)
    personal = json.dumps(data.pop("personal"))
    rest = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "", json.dumps(data))  # an id may hold "ada" by chance
    for secret in ("Ada", "ada", "7700900", "52.1", "SG8", body["words"], body["safeContact"]):
        assert secret not in rest
    assert body["words"] in personal


@pytest.mark.parametrize(
    ("take", "body"), [(call, CALL), (report, REPORT), (chat, CHAT)], ids=["telephone", "web", "online"]
)
@pytest.mark.parametrize(
    "change",
    [
        {"unknown": 1},
        {"presented_force": "bedfordshire"},
        {"presentedForce": "Bedfordshire"},
        {"locations": [PLACE] * 21},
        {"locations": PLACE},
        {"words": "x" * 20_001},
        {"words": 7},
        {"name": "x" * 201},
        {"language": "not a language"},
        {"contactNumber": "soon"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_wrong_members_are_refused(take: Any, body: dict[str, Any], change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        take(**{**body, **change})


@pytest.mark.parametrize(
    "change",
    [{"line": "112"}, {"line": None}, {"silent": "yes"}, {"trunk": "a\nb"}, {"trunk": ""}, {"dialledNumber": "+44 1"}],
    ids=str,
)
def test_a_wrong_call_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        call(**{**CALL, **change})
