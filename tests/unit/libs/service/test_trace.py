"""Why a record is opened, as a request says it; and that an answer which owes a trace does not go out without."""

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, Request
from hypothesis import example, given
from hypothesis import strategies as st

from libs.events.types.access import Access, DataAccessed
from libs.service.access import ACCESS, Rule, Scope, allow, only
from libs.service.bodies import PERSONAL, Answer, personal_members
from libs.service.caller import Caller
from libs.service.problem import Invalid
from libs.service.trace import BREAK_GLASS, IN_HAND, MAX_WORDS, PURPOSE, Why, leave, read_why
from tests.unit.libs.service.issuing import LocalIssuer
from tests.unit.libs.service.serving import calling, make_app


def wire(text: str) -> str:
    """As Starlette hands a header's UTF-8 bytes on."""
    return text.encode().decode("latin-1")


async def why(**given: Any) -> Why:
    return await read_why(**{"purpose": None, "break_glass": None, "in_hand": None} | given)


async def test_a_purpose_is_a_code_and_may_have_words() -> None:
    assert await why(purpose="complaint") == Why("complaint")
    assert await why(purpose=wire(" complaint ; Mrs Łucja rang twice ")) == Why("complaint", "Mrs Łucja rang twice")
    assert await why() == Why()


async def test_break_glass_is_a_code_and_must_have_words() -> None:
    assert await why(break_glass="life-at-risk; a child") == Why(None, None, "life-at-risk", "a child")
    for said in ("life-at-risk", "life-at-risk;", "life-at-risk;  "):
        with pytest.raises(Invalid) as refusal:
            await why(break_glass=said)
        assert refusal.value.faults[0].parameter == BREAK_GLASS


TOO_LONG = "complaint; " + "x" * (MAX_WORDS + 1)


@pytest.mark.parametrize(
    "said", ["", "curiosity", "Complaint", "; words", TOO_LONG, "complaint; a\tb", "complaint; \xff"]
)
async def test_what_is_no_purpose_is_refused_by_the_header_s_name_and_not_repeated(said: str) -> None:
    with pytest.raises(Invalid) as refusal:
        await why(purpose=said)
    assert refusal.value.faults[0].parameter == PURPOSE
    assert "curiosity" not in str(refusal.value.document())


@given(st.text(max_size=MAX_WORDS))
@example("voil\u00e0")
async def test_words_come_as_they_were_meant_or_are_refused(text: str) -> None:
    try:
        sent = wire(f"quality; {text}")
    except UnicodeEncodeError:
        return
    if text.strip().isprintable():
        assert (await why(purpose=sent)).purpose_words == (text.strip() or None)
    else:
        with pytest.raises(Invalid):
            await why(purpose=sent)


class Inner(Answer):
    place: Annotated[str | None, PERSONAL]


class Outer(Answer):
    id: str
    inner: list[Inner]


def test_what_is_personal_is_found_however_deep_it_stands() -> None:
    assert list(personal_members(Outer | None)) == ["Inner.place"]
    assert list(personal_members(None)) == []


async def test_an_operation_that_may_show_a_person_and_says_of_no_trace_keeps_its_service_from_starting(
    local: LocalIssuer,
) -> None:
    router = APIRouter()

    @router.get("/shows")
    async def shows_a_person(caller: Annotated[Caller, Depends(allow("shows_a_person"))]) -> Outer:
        return Outer(id="1", inner=[])

    ACCESS["shows_a_person"] = Rule(only(Scope.PUBLIC, "handler"))
    with pytest.raises(RuntimeError, match=r"shows_a_person may show Inner\.place"):
        make_app(local, [router])
    ACCESS["shows_a_person"] = Rule(only(Scope.PUBLIC, "handler"), trace="read")
    make_app(local, [router])


async def test_an_operation_that_forgets_its_trace_shows_nothing(local: LocalIssuer, bearer: dict[str, str]) -> None:
    router = APIRouter()

    @router.get("/forgets")
    async def forgets(request: Request, caller: Annotated[Caller, Depends(allow("forgets"))], note: int = 0) -> Outer:
        if note:
            await leave(request, caller)
        return Outer(id="planted", inner=[])

    ACCESS["forgets"] = Rule(only(Scope.PUBLIC, "handler"), trace="read")
    async with calling(make_app(local, [router])) as client:
        answer = await client.get("/forgets", headers=bearer)
        assert (answer.status_code, "planted" in answer.text) == (500, False)
        assert (await client.get("/forgets?note=1", headers=bearer)).json()["id"] == "planted"
        assert (await client.get("/forgets?note=x", headers=bearer)).status_code == 422


def test_an_access_has_no_member_that_says_who_a_caller_is() -> None:
    """Whoever adds one thinks of it twice."""
    assert set(Access.__struct_fields__) == {
        *("id", "at", "reader", "roles", "home_force", "act", "operation", "kind", "ids", "searched_by"),
        *("recipient", "in_hand", "purpose", "break_glass"),
    }
    assert set(DataAccessed.__struct_fields__) == {"accesses", "personal"}
    assert IN_HAND.startswith("Hueandcry-")
