"""What a local run tells the person at the terminal."""

from __future__ import annotations

import json
import shlex
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.local.issuer import make_token
from deploy.local.layout import SERVICE_PORTS, Layout
from deploy.local.parts import what_is_missing
from deploy.local.places import Place
from services.directory.alliance_file import AllianceFile

WHAT = {
    "intake": "takes contacts on every channel",
    "router": "finds the owning force, keeps the queues",
    "directory": "forces, areas, queues, lines",
    "recording": "dispositions, incidents, the audit",
}


def overview(
    console: Console,
    layout: Layout,
    alliance: AllianceFile,
    place: Place | None,
    *,
    bootstrap_servers: str,
    database: str,
) -> None:
    """The table of services, where the rest is, how to stop, and one line to paste."""
    wide = console.width >= 120
    table = table_of(f"Hue and Cry for {alliance.alliance.name}")
    for heading in ("Service", *(["What it does"] if wide else []), "OpenAPI page", "Health", ""):
        table.add_column(heading, no_wrap=True)
    for service in SERVICE_PORTS:
        health = f"{layout.url(service)}/readyz"
        missing = what_is_missing(health)
        state = "[green]ready[/green]" if missing is None else f"[red]{escape(missing)}[/red]"
        table.add_row(service, *([WHAT[service]] if wide else []), f"{layout.url(service)}/docs", health, state)
    console.print()
    console.print(table)
    for sentence in (
        f"Kafka {bootstrap_servers} · PostgreSQL {database} · tokens by {layout.issuer_url}",
        f"Map: {layout.url('directory')}/ (token: `make token ROLE=handler FORCE={alliance.forces[0].id}`)",
        f"Logs: {layout.var / 'log'}",
        "Stop with Ctrl-C here, or with `make stop` in another terminal.",
        "The data stays for the next run; `make reset` forgets it.",
    ):
        console.print(sentence, soft_wrap=True, highlight=False)
    console.print()
    where = f" from {place.postcode}" if place else ""
    console.print(f"A call on 999{where}, to paste into another terminal:", soft_wrap=True)
    console.print(curl_line(layout, alliance, place), soft_wrap=True, markup=False, highlight=False)
    console.print()


def table_of(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE, padding=(0, 1, 0, 0))


def curl_line(layout: Layout, alliance: AllianceFile, place: Place | None) -> str:
    """A shell command that posts a telephone contact from that place, presented to the alliance's first force."""
    force = alliance.forces[0].id
    forces = [each.id for each in alliance.forces]
    token = make_token(layout.secrets, layout.issuer_url, roles=["gateway"], forces=forces, subject="local-gateway")
    contact: dict[str, Any] = {
        "line": "999",
        "presentedForce": force,
        "callingNumber": "+447700900123",
        "words": "Somebody is breaking into the shop opposite",
    }
    if place is not None:
        shape = {"kind": "circle", "lat": place.lat, "lon": place.lon, "radiusM": 25}
        contact["locations"] = [{"of": "caller", "source": "aml", "shape": shape}]
    return (
        f"curl -sS {layout.url('intake')}/v1/contacts/telephone -H 'Prefer: wait=2' "
        f"-H 'Content-Type: application/json' -H 'Authorization: Bearer {token}' -d {shlex.quote(json.dumps(contact))}"
    )
