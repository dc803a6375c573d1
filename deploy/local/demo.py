"""`make demo`: a short morning through the public REST API, and where each contact went.

python -m deploy.local.demo [ALLIANCE]
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from deploy.local.issuer import make_token
from deploy.local.layout import Layout
from deploy.local.morning import Call, contacts
from deploy.local.places import places_of
from deploy.local.process import Trouble
from deploy.local.show import table_of
from deploy.local.supervisor import holder, layout_of_the_run
from services.directory import alliance_file
from services.directory.alliance_file import AllianceFile, Unusable

WAIT_S = 2
SETTLE_S = 5.0
"""How long a decision that did not come within the wait is looked for."""


@dataclass(slots=True)
class Outcome:
    call: Call
    contact: str
    reference: str
    routing: dict[str, Any]
    took_s: float
    """From the request to the answer that held the decision."""


class Morning:
    """The contacts of one demo, and the people who deal with them."""

    def __init__(self, layout: Layout, alliance: AllianceFile, console: Console, client: httpx.AsyncClient) -> None:
        self.layout, self.alliance, self.console, self.client = layout, alliance, console, client
        self.forces = [force.id for force in alliance.forces]

    def headers(self, role: str, *forces: str, subject: str | None = None) -> dict[str, str]:
        token = make_token(
            self.layout.secrets,
            self.layout.issuer_url,
            roles=[role],
            forces=forces or self.forces,
            subject=subject or f"demo-{role}",
            alliance=not forces,
            lifetime_s=900,
        )
        return {"Authorization": f"Bearer {token}"}

    async def play(self) -> None:
        """Raises Trouble where a service does not answer as it should."""
        calls = contacts(self.alliance, places_of(self.forces, self.layout.var))
        headers = self.headers("gateway")
        outcomes = []
        columns = (TextColumn("A short morning"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task("", total=len(calls))
            for call in calls:
                progress.update(task, description=f"{call.by}: {call.story}")
                outcomes.append(await self.post(call, headers))
                progress.advance(task)
            progress.update(task, description="decisions that took longer")
            for outcome in outcomes:
                await self.settle(outcome, headers)
        self.show(outcomes)
        await self.deal_with_some(outcomes)

    async def post(self, call: Call, headers: dict[str, str]) -> Outcome:
        began = time.perf_counter()
        answer = await self.ask(
            "POST",
            f"{self.layout.url('intake')}/v1/contacts/{call.channel}",
            headers={**headers, "Prefer": f"wait={WAIT_S}"},
            json=call.body,
        )
        taken = answer.json()
        return Outcome(call, taken["id"], taken["reference"], taken["routing"], time.perf_counter() - began)

    async def settle(self, outcome: Outcome, headers: dict[str, str]) -> None:
        """Look again at a contact whose decision was not there yet."""
        deadline = time.monotonic() + SETTLE_S
        began = time.perf_counter()
        while outcome.routing["state"] == "pending" and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            url = f"{self.layout.url('intake')}/v1/contacts/{outcome.contact}"
            outcome.routing = (await self.ask("GET", url, headers=headers)).json()["routing"]
            outcome.took_s += time.perf_counter() - began
            began = time.perf_counter()

    def show(self, outcomes: list[Outcome]) -> None:
        wide = self.console.width >= 130
        table = table_of("Where each went")
        table.add_column("By", no_wrap=True)
        if wide:
            table.add_column("What")
        table.add_column("From", no_wrap=True)
        if wide:
            table.add_column("Presented to", no_wrap=True)
        table.add_column("Owning force", no_wrap=True)
        table.add_column("Queue", no_wrap=True)
        table.add_column("Cause", no_wrap=wide)
        table.add_column("ms", justify="right", no_wrap=True)
        for outcome in outcomes:
            call, routing = outcome.call, outcome.routing
            owner = (routing.get("owningForce") or "alliance") if routing["state"] == "routed" else "–"
            table.add_row(
                call.by,
                *([call.story] if wide else []),
                call.where,
                *([call.presented or "–"] if wide else []),
                owner + ("?" if routing.get("provisional") else ""),
                routing.get("queue", "still pending"),
                routing.get("cause", "–") if wide else routing.get("cause", "–").replace("-", " "),
                f"{outcome.took_s * 1000:.0f}",
            )
        self.console.print(table)
        routed = [outcome.took_s * 1000 for outcome in outcomes if outcome.routing["state"] == "routed"]
        if routed:
            self.console.print(
                f"{len(routed)} of {len(outcomes)} routed, from the request to the decision in the answer: "
                f"median {statistics.median(routed):.0f} ms, longest {max(routed):.0f} ms. "
                "A question mark: provisional until a handler confirms it.",
                highlight=False,
            )

    async def deal_with_some(self, outcomes: list[Outcome]) -> None:
        """Handlers take the next contacts of a few queues and say what each came to; a caller who waited rings off."""
        endings: list[dict[str, Any]] = [
            {
                "disposition": "incident-opened",
                "incident": {"summary": "Two men fighting outside a shop", "category": "violence"},
            },
            {"disposition": "advice", "note": "Told how to report online with a photograph."},
            {"disposition": "enquiry"},
        ]
        done = []
        for number, force in enumerate(self.forces[:3]):
            handler = self.headers("handler", force, subject=f"demo-handler-{force}")
            for line, ending in zip(("999", "101"), (endings[0], endings[1 + number % 2]), strict=True):
                done += await self.take_one(handler, f"{force}-{line}", ending)
        table = table_of("What handlers did")
        for heading in ("Contact", "Queue", "Disposition", "Incident", "Owned by"):
            table.add_column(heading, no_wrap=heading in ("Contact", "Incident"))
        for row in done:
            table.add_row(*row)
        self.console.print(table)
        await self.ring_off(outcomes)

    async def take_one(self, handler: dict[str, str], queue: str, ending: dict[str, Any]) -> list[tuple[str, ...]]:
        claim = await self.ask("POST", f"{self.layout.url('router')}/v1/queues/{queue}/claim", headers=handler)
        if claim.status_code == 204:
            return []
        taken = claim.json()
        url = f"{self.layout.url('recording')}/v1/contacts/{taken['contact']}/disposition"
        disposed = (await self.ask("POST", url, headers=handler, json=ending)).json()
        incident = disposed["incident"] or {}
        reference, owner = incident.get("reference") or "–", incident.get("owningForce") or "–"
        return [(taken["reference"] or taken["contact"], queue, disposed["disposition"], reference, owner)]

    async def ring_off(self, outcomes: list[Outcome]) -> None:
        waiting = [outcome for outcome in outcomes if outcome.routing.get("queue", "").endswith("-101")]
        if waiting:
            url = f"{self.layout.url('intake')}/v1/contacts/{waiting[-1].contact}/end"
            await self.ask("POST", url, headers=self.headers("gateway"), json={"reason": "caller-ended"})
            self.console.print(
                f"{waiting[-1].reference} rang off while waiting in {waiting[-1].routing['queue']}: kept as abandoned.",
                highlight=False,
            )

    async def ask(self, method: str, url: str, **given: Any) -> httpx.Response:
        """A request that must succeed. Raises Trouble with what the problem document says."""
        try:
            answer = await self.client.request(method, url, **given)
        except httpx.HTTPError as error:
            raise Trouble(
                f"{method} {url} got no answer ({type(error).__name__}); see `make help` and the logs."
            ) from error
        if answer.is_error:
            raise Trouble(f"{method} {url} was answered with {answer.status_code}: {answer.text[:500]}")
        return answer


async def play(layout: Layout, alliance: AllianceFile, console: Console) -> None:
    async with httpx.AsyncClient(timeout=WAIT_S + 10, trust_env=False) as client:
        await Morning(layout, alliance, console, client).play()


def main() -> None:
    console = Console()
    try:
        layout = layout_of_the_run()
        if holder(layout) is None:
            raise Trouble("Nothing is up: start it with `make run`, then play in another terminal.")
        given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("ALLIANCE") or running_alliance(layout)
        asyncio.run(play(layout, alliance_file.read(alliance_file.find(given)), console))
    except (Trouble, Unusable) as trouble:
        print(trouble, file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def running_alliance(layout: Layout) -> str:
    """The file that the run that is up was started with."""
    return (layout.var / "alliance").read_text()


if __name__ == "__main__":
    main()
