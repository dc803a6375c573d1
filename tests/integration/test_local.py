"""`make run` for real, on ports and in a folder of its own: up, stopped, killed, up again, forgotten."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.local import registry
from deploy.local.layout import ROOT, SERVICE_PORTS, Layout
from deploy.local.process import free_port

pytestmark = pytest.mark.timeout(600)

UP_LIMIT_S = 240.0
"""The machine may be busy with other tests; a quiet one is up in ten to twenty seconds."""
GONE_LIMIT_S = 60.0
SERVERS_AND_SERVICES = {"postgres", "kafka", "issuer", *SERVICE_PORTS}


@dataclass
class LocalRun:
    """A `make run` without its demo, and what it prints."""

    layout: Layout
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    @property
    def output(self) -> Path:
        return self.layout.var.with_name("output")

    def start(self) -> None:
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deploy.local.up"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def command(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", f"deploy.local.{module}", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def until_it_says(self, sentence: str, limit_s: float = UP_LIMIT_S) -> str:
        assert self.process is not None
        deadline = time.monotonic() + limit_s
        while not re.search(sentence, self.output.read_text()):
            assert self.process.poll() is None, f"it ended: {self.output.read_text()}"
            assert time.monotonic() < deadline, f"it never said {sentence!r}: {self.output.read_text()}"
            time.sleep(0.1)
        return self.output.read_text()

    def parts(self) -> dict[str, psutil.Process]:
        """What it has started and what of that is alive."""
        entries = registry.entries(self.layout.registry)
        return {entry.name: process for entry in entries if (process := entry.process()) is not None}

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(90)


def make_run() -> LocalRun:
    folder = Path(tempfile.mkdtemp(prefix="hueandcry-run-"))
    folder.chmod(0o711)  # PostgreSQL runs as another user where the tests run as root
    layout = Layout(folder / "var", free_port(9))
    dropped = ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_USERNAME", "ALLIANCE")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return LocalRun(layout, kept | {"VAR": str(layout.var), "PORT_BASE": str(layout.base_port), "DEMO": "0"})


def wait_for(condition: Callable[[], bool], limit_s: float, otherwise: str) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.1)


@pytest.fixture(scope="module")
def run() -> Iterator[LocalRun]:
    """One run, which the tests of this module use in their order."""
    run = make_run()
    run.start()
    try:
        run.until_it_says("Up until Ctrl-C")
        yield run
    finally:
        run.end()
        run.command("reset")
        shutil.rmtree(run.layout.var.parent, ignore_errors=True)


posted: dict[str, str] = {}
"""The pasted call's contact, which later tests look for."""


def test_every_part_is_up_and_every_service_is_ready_and_documented(run: LocalRun) -> None:
    assert run.parts().keys() == SERVERS_AND_SERVICES
    for service in SERVICE_PORTS:
        assert httpx.get(f"{run.layout.url(service)}/readyz").json()["status"] == "ready"
        assert httpx.get(f"{run.layout.url(service)}/docs").status_code == 200
        assert httpx.get(f"{run.layout.url(service)}/openapi.json").json()["openapi"].startswith("3.")


def test_the_pasted_call_is_in_the_right_queue(run: LocalRun) -> None:
    [line] = [line for line in run.output.read_text().splitlines() if line.startswith("curl ")]
    words = shlex.split(line)
    headers = dict(words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H")
    [url] = [word for word in words if word.startswith("http")]
    answer = httpx.post(url, headers=headers, content=words[words.index("-d") + 1], timeout=10)
    assert answer.status_code == 201
    routing = answer.json()["routing"]
    assert (routing["owningForce"], routing["queue"]) == ("bedfordshire", "bedfordshire-999")
    posted["id"], posted["token"] = answer.json()["id"], headers["Authorization"]


def test_everything_listens_on_this_machine_alone(run: LocalRun) -> None:
    addresses = {
        connection.laddr.ip
        for process in run.parts().values()
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {address.removeprefix("::ffff:") for address in addresses} == {"127.0.0.1"}


def test_no_password_stands_on_a_command_line_or_open_to_others(run: LocalRun) -> None:
    secrets = {path.read_text() for path in run.layout.secrets.glob("*.password")}
    databases, principals = 9, len(SERVICE_PORTS) + 3 + 2  # three forces; Kafka itself and its operator
    lines = " ".join(word for process in run.parts().values() for word in process.cmdline())
    assert len(secrets) == databases + principals
    assert not any(secret in lines for secret in secrets)
    files = [*run.layout.secrets.iterdir(), run.layout.var / "kafka" / "server.properties"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)


def test_a_second_run_says_that_one_is_up(run: LocalRun) -> None:
    second = run.command("up")
    assert second.returncode == 1
    assert "It is up already" in second.stdout
    assert "make stop" in second.stdout


def test_the_token_command_prints_a_token_that_is_accepted(run: LocalRun) -> None:
    token = run.command("token", "--role", "handler", "--force", "bedfordshire").stdout.strip()
    queues = httpx.get(f"{run.layout.url('router')}/v1/queues", headers={"Authorization": f"Bearer {token}"})
    assert {queue["force"] for queue in queues.json()["queues"]} == {"bedfordshire"}


def test_the_demo_plays_a_morning_on_every_channel(run: LocalRun) -> None:
    played = run.command("demo")
    assert played.returncode == 0, played.stderr
    routed = re.search(r"(\d+) of (\d+) routed", played.stdout)
    assert routed is not None
    assert routed[1] == routed[2]
    assert int(routed[1]) >= 25
    assert "incident-opened" in played.stdout


@pytest.mark.parametrize(
    "victim", ["router", *(pytest.param(it, marks=pytest.mark.long) for it in ("kafka", "postgres"))]
)
def test_a_part_that_is_killed_comes_back_and_that_is_said(run: LocalRun, victim: str) -> None:
    run.parts()[victim].kill()
    run.until_it_says(rf"{victim} died \(killed by SIGKILL\)")
    run.until_it_says(rf"{victim} is ready again", 120)
    for service in SERVICE_PORTS:
        wait_for(
            lambda service=service: httpx.get(f"{run.layout.url(service)}/readyz").status_code == 200,  # type: ignore[misc]
            60,
            f"{service} is not ready again",
        )


def test_a_supervisor_that_is_killed_leaves_no_process_and_the_next_run_has_the_data(run: LocalRun) -> None:
    assert run.process is not None
    parts = run.parts()
    assert parts.keys() == SERVERS_AND_SERVICES
    run.process.kill()
    run.process.wait()
    wait_for(lambda: not any(is_running(each) for each in parts.values()), GONE_LIMIT_S, "something outlived it")
    wait_for(lambda: not of_this_run(run), GONE_LIMIT_S, f"something outlived it: {of_this_run(run)}")
    began = time.monotonic()
    run.start()
    run.until_it_says("Up until Ctrl-C")
    print(f"up again after kill -9 in {time.monotonic() - began:.1f} s")
    url = f"{run.layout.url('intake')}/v1/contacts/{posted['id']}"
    known = httpx.get(url, headers={"Authorization": posted["token"]})
    assert known.json()["routing"]["queue"] == "bedfordshire-999"


def test_stop_ends_everything_and_reset_forgets_everything_but_not_before(run: LocalRun) -> None:
    assert run.process is not None
    refused = run.command("reset")
    assert refused.returncode == 1
    assert "make stop" in refused.stderr
    assert run.command("stop").stdout == "Stopped; the data stays for the next run.\n"
    assert run.process.wait(10) == 0
    assert of_this_run(run) == []
    assert run.command("stop").stdout == "Nothing is up.\n"
    assert (run.layout.var / "postgres").exists()
    assert run.command("reset").returncode == 0
    assert not run.layout.var.exists()


def test_a_demo_without_a_run_says_how_to_start_one(run: LocalRun) -> None:
    played = run.command("demo")
    assert played.returncode == 1
    assert "make run" in played.stderr


def test_a_busy_port_gets_one_sentence_and_nothing_is_started() -> None:
    run = make_run()
    try:
        with socket.socket() as busy:
            busy.bind(("127.0.0.1", run.layout.postgres_port))
            busy.listen()
            refused = run.command("up")
        assert refused.returncode == 1
        assert f"Port {run.layout.postgres_port}, which PostgreSQL needs, is in use" in refused.stdout
        assert "PORT_BASE=9000" in refused.stdout
        assert "Traceback" not in refused.stdout + refused.stderr
        assert of_this_run(run) == []
    finally:
        shutil.rmtree(run.layout.var.parent)


def test_no_network_for_the_first_fetch_gets_one_sentence() -> None:
    run = make_run()
    nowhere = f"http://127.0.0.1:{free_port()}"
    run.environment |= {"XDG_CACHE_HOME": str(run.layout.var.parent / "cache")}
    run.environment |= {"https_proxy": nowhere, "HTTPS_PROXY": nowhere, "no_proxy": ""}
    try:
        refused = run.command("up")
        assert refused.returncode == 1
        assert "could not be fetched from Maven Central" in refused.stdout
        assert "KAFKA_BOOTSTRAP_SERVERS" in refused.stdout
        assert "Traceback" not in refused.stdout + refused.stderr
        assert of_this_run(run) == []
    finally:
        shutil.rmtree(run.layout.var.parent)


def test_an_alliance_that_is_not_there_gets_one_sentence() -> None:
    run = make_run()
    try:
        run.environment["ALLIANCE"] = "mercia"
        refused = run.command("up")
        assert refused.returncode == 1
        assert "There is no alliance file mercia" in refused.stdout
        assert "east-midlands" in refused.stdout
    finally:
        shutil.rmtree(run.layout.var.parent)


def is_running(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def of_this_run(run: LocalRun) -> list[str]:
    """Processes that have this run's folder in their command line or settings."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        try:
            words = [*(process.info["cmdline"] or []), process.environ().get("VAR", "")]
            if any(str(run.layout.var) in word for word in words) and is_running(process):
                found.append(json.dumps(process.info))
        except psutil.Error:
            continue
    return found
