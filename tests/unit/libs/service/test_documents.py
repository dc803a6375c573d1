"""The OpenAPI document and its page: whole, valid, and loading nothing from elsewhere."""

import asyncio
import re
from html.parser import HTMLParser
from typing import Any

import httpx
import jsonschema
import pytest

from libs.service import docs, openapi
from libs.service.access import ACCESS, Scope
from libs.service.problem import SCHEMA, TREE, Invalid


@pytest.fixture
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    made: dict[str, Any] = answer.json()
    return made


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {operation["operationId"]: operation for path in document["paths"].values() for operation in path.values()}


async def test_others_are_answered_while_it_is_made(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    made = openapi.get_openapi
    answers: list[int] = []
    loop = asyncio.get_running_loop()

    def another_asks_first(**options: Any) -> dict[str, Any]:
        answer = asyncio.run_coroutine_threadsafe(client.get("/healthz"), loop).result(timeout=60)
        answers.append(answer.status_code)
        return made(**options)

    monkeypatch.setattr(openapi, "get_openapi", another_asks_first)
    documents = await asyncio.gather(*(client.get("/openapi.json") for _ in range(3)))
    assert answers == [200], "it is made once"
    assert len({document.text for document in documents}) == 1


async def test_an_operation_is_called_as_its_function_is(document: dict[str, Any]) -> None:
    assert set(operations(document)) == {"make_thing", "get_thing", "fail", "wait", "healthz", "readyz", "metrics"}


async def test_who_may_call_is_made_from_the_table(document: dict[str, Any]) -> None:
    making = operations(document)["make_thing"]
    assert making["description"] == (
        "Make a thing.\n\n**Who may call,** and what they are shown:\n\n"
        f"* handler, supervisor: {Scope.CONTACT.sentence}"
    )
    assert making["x-access"] == {"handler": "contact", "supervisor": "contact"}
    assert making["security"] == [{"bearer": []}]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


async def test_only_what_is_open_needs_no_token(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        assert ("security" in operation) == (name in ACCESS)


async def test_every_problem_that_an_operation_may_answer_is_documented(document: dict[str, Any]) -> None:
    answers = operations(document)["make_thing"]["responses"]
    assert set(answers) == {"201", "400", "401", "403", "404", "409", "413", "415", "422", "429", "500", "503"}
    for status, answer in answers.items():
        if status != "201":
            assert answer["content"] == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            }
    assert set(operations(document)["healthz"]["responses"]) == {"200", "400", "500"}
    assert "ValidationError" not in str(document["components"])


async def test_the_whole_tree_is_told(document: dict[str, Any]) -> None:
    for problem in TREE:
        assert f"`{problem.slug}`" in document["info"]["description"]


def test_the_documents_that_are_sent_are_those_that_are_described() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for problem in TREE:
        made = problem() if problem.__init__.__defaults__ else problem("d")  # type: ignore[call-arg,misc]
        jsonschema.validate(made.document(), SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(Invalid("d").document() | {"type": "https://hueandcry.uk/problems/other"}, SCHEMA)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.inline = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loaded += [link for name in ("src", "href") if (link := given.get(name))]
        self.inline += (tag == "script" and "src" not in given) + (tag == "style") + ("style" in given)


async def test_the_page_loads_its_own_files_and_nothing_else(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "<title>Things &amp; &lt;others&gt;</title>" in page.text
    assert not re.search(r"//", page.text)
    links = _Links()
    links.feed(page.text)
    assert links.inline == 0  # the policy would not let it run
    assert len(links.loaded) == 5
    for link in links.loaded:
        assert (await client.get("/" + link)).status_code == 200, link
    policy = page.headers["content-security-policy"]
    assert policy == docs.POLICY
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "*" not in policy


async def test_the_page_s_files_are_what_they_say_they_are(client: httpx.AsyncClient) -> None:
    script = await client.get("/docs/swagger-ui-bundle.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert "SwaggerUIBundle" in script.text
    assert (await client.get("/docs/swagger-ui.css")).headers["content-type"].startswith("text/css")
    assert (await client.get("/docs/start.js")).text == docs.START
    for other in ("__init__.py", "..%2Fmain.py", "%2e%2e", "nothing"):
        assert (await client.get(f"/docs/{other}")).status_code == 404
