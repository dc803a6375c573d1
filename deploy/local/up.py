"""`make run`: everything up on this machine, in the terminal, until Ctrl-C.

Each part when what it needs is ready: PostgreSQL and Kafka (or the ones whose addresses are given), databases and
migrations, the alliance in the directory's database, topics, the issuer, the services.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
from rich.console import Console
from rich.text import Text

from deploy.local import parts, show
from deploy.local.databases import Logins, make_databases, migrate_all, place_of
from deploy.local.kafka import Kafka
from deploy.local.kafka_access import furnish
from deploy.local.layout import ROOT, SERVICE_PORTS, Layout, check_port
from deploy.local.node import install
from deploy.local.places import places_of
from deploy.local.process import Child, Trouble, dying_with_us
from deploy.local.secret_files import secret
from deploy.local.supervisor import Stopped, Supervisor
from deploy.local.topics import create_topics
from libs.events.log.broker import Broker
from libs.service.settings import KafkaSettings
from services.directory import alliance_file
from services.directory.alliance_file import Unusable

DEFAULT_ALLIANCE = "bedfordshire-cambridgeshire-hertfordshire"
DISK_BYTES = 1024**3
MEMORY_BYTES = 1024**3


class Run:
    """One `make run`, step by step."""

    def __init__(self, layout: Layout, console: Console) -> None:
        self.layout = layout
        self.console = console
        self.kafka = KafkaSettings.read().broker if os.environ.get("KAFKA_BOOTSTRAP_SERVERS") else None
        """As its operator; None where one is started here."""
        self.database = os.environ.get("DATABASE_URL") or None
        self.supervisor = Supervisor(layout, self.say)
        self.began = time.monotonic()

    def say(self, text: str) -> None:
        self.console.print(Text.assemble((time.strftime("%H:%M:%S "), "dim"), text), soft_wrap=True)

    def run(self) -> None:
        """Raises Trouble, Unusable, or Stopped in the end."""
        path = alliance_file.find(os.environ.get("ALLIANCE") or DEFAULT_ALLIANCE)
        alliance = alliance_file.read(path)
        with self.supervisor.running():
            self.check_machine()
            (self.layout.var / "alliance").write_text(str(path.resolve()))
            self.bring_up(path, [force.id for force in alliance.forces])
            self.say(f"Everything is up, {time.monotonic() - self.began:.1f} s after the start.")
            places = places_of([force.id for force in alliance.forces], self.layout.var)
            place = next((place for kind in places[alliance.forces[0].id] for place in kind), None)
            show.overview(
                self.console,
                self.layout,
                alliance,
                place,
                bootstrap_servers=self.broker().servers,
                database=place_of(self.database) if self.database else f"127.0.0.1:{self.layout.postgres_port}",
            )
            if os.environ.get("DEMO", "1") not in ("0", "no", "false"):
                self.play(path)
            self.say("Up until Ctrl-C.")
            self.supervisor.stay()

    def check_machine(self) -> None:
        """Raises Trouble for what this machine lacks, before anything is started."""
        layout = self.layout
        if shutil.disk_usage(layout.var).free < DISK_BYTES:
            raise Trouble(
                f"There is less than 1 GB free where {layout.var} is: make room there, or keep the data on another "
                "disk with `make run VAR=/path/to/folder`."
            )
        if psutil.virtual_memory().available < MEMORY_BYTES:
            raise Trouble(
                "There is less than 1 GB of memory free, which Kafka, PostgreSQL and four services need: end something "
                "else, or set KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL to servers on another machine."
            )
        needed = {service: layout.port(service) for service in SERVICE_PORTS} | {"the token issuer": layout.issuer_port}
        if self.database is None:
            needed["PostgreSQL"] = layout.postgres_port
        if self.kafka is None:
            needed |= {"Kafka": layout.kafka_port, "Kafka's controller": layout.controller_port}
        for whose, port in needed.items():
            check_port(port, whose, "stop that, or use other ports with `make run PORT_BASE=9000`.")

    def bring_up(self, alliance: Path, forces: list[str]) -> None:
        """Each part when what it needs is ready; what only PostgreSQL is needed for is done while Kafka starts."""
        supervisor = self.supervisor
        broker, starting = self.broker(), []
        if self.kafka is None:
            starting.append(parts.kafka_part(self.prepared_kafka()))
        supervisor.launch(*starting)
        logins = self.furnish(self.database or self.start_postgres())
        settings = {service: parts.service_environment(self.layout, logins[service], broker) for service in logins}
        self.load(alliance, settings["directory"])
        self.install_pages()
        issuer = parts.issuer_part(self.layout)
        supervisor.launch(issuer)
        supervisor.wait_for(issuer, *starting)
        made = asyncio.run(create_topics(broker, forces))
        if broker.username is not None:
            furnish(broker, forces, parts.kafka_password(self.layout))
        self.say(f"Kafka and the token issuer are ready, {len(made) or 'no'} new topics.")
        # The router is ready when it has what the directory publishes, and decides nothing before.
        supervisor.start(*(parts.service_part(self.layout, name, settings[name]) for name in SERVICE_PORTS))

    def broker(self) -> Broker:
        return self.kafka or parts.kafka_node(self.layout).broker()

    def prepared_kafka(self) -> Kafka:
        node = parts.kafka_node(self.layout)
        node.prepare()
        return node

    def start_postgres(self) -> str:
        """Its superuser's address."""
        server = parts.postgres_server(self.layout)
        server.prepare()
        self.supervisor.start(parts.postgres_part(server))
        return server.admin_url

    def furnish(self, database: str) -> dict[str, Logins]:
        """Databases and migrations."""

        async def make() -> dict[str, Logins]:
            logins = await make_databases(database, lambda role: secret(self.layout.secrets, f"{role}.password"))
            await migrate_all(logins)
            return logins

        logins = asyncio.run(make())
        self.say("PostgreSQL is ready, its databases are migrated.")
        return logins

    def load(self, alliance: Path, environment: dict[str, str]) -> None:
        """Bring the alliance into the directory's database; where it is there already, nothing changes."""
        loaded = subprocess.run(
            [sys.executable, "-m", "services.directory", "load", str(alliance)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if loaded.returncode != 0:
            said = (loaded.stderr or loaded.stdout).strip()
            raise Trouble(f"The alliance in {alliance} could not be loaded; it said:\n{said}")
        for sentence in loaded.stdout.splitlines():
            self.say(sentence)

    def install_pages(self) -> None:
        """What the pages take from npm's registry. Without it all else works, and the page says what it lacks."""
        try:
            install(ROOT / "services" / "directory" / "pages")
        except Trouble as trouble:
            self.say(f"The map will be missing from the directory's page: {trouble}")

    def play(self, alliance: Path) -> None:
        """The short morning, while the parts are tended."""
        with self.supervisor.unbroken():
            demo = subprocess.Popen(
                [sys.executable, "-m", "deploy.local.demo", str(alliance)],
                cwd=ROOT,
                env={**os.environ, "VAR": str(self.layout.var), "PORT_BASE": str(self.layout.base_port)},
                start_new_session=True,
                preexec_fn=dying_with_us(),
            )
        try:
            self.supervisor.stay(until=lambda: demo.poll() is not None)
        finally:
            Child("demo", demo, self.layout.log("demo")).stop(3)


def main() -> None:
    console = Console()
    try:
        Run(Layout.of_environment(), console).run()
    except Stopped:
        console.print("Stopped; the data stays for the next run.")
    except (Trouble, Unusable) as trouble:
        raise SystemExit(_refused(console, str(trouble))) from None
    except OSError as error:
        what = f" ({error.filename})" if error.filename else ""
        sentence = f"the operating system refused: {error.strerror or error}{what}."
        raise SystemExit(_refused(console, sentence)) from None


def _refused(console: Console, sentence: str) -> int:
    console.print(Text.assemble(("Not up: ", "bold red"), sentence), soft_wrap=True)
    return 1


if __name__ == "__main__":
    main()
