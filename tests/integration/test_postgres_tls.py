"""PostgreSQL under TLS, by `?sslmode=verify-full&sslrootcert=…` in an address: our pool, the relay, migrations.

With the machine's own server: the embedded one has no SSL. Where there is none this is skipped, but never in CI: there
it is installed.
"""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from deploy.local.databases import Logins, make_databases
from deploy.local.process import free_port
from libs.events.log import database as databases
from libs.events.log.broker import Broker
from libs.events.log.database import Database
from libs.events.log.errors import Unavailable
from libs.events.log.relay import Relay
from libs.events.log.roles import PARTS, WRITER, role_of
from libs.service.migrate import Trouble, migrate
from tests.certificates import Authority
from tests.conftest import PASSWORD
from tests.integration.logs import running, until

ADDRESS = "127.0.0.1"


@dataclass(frozen=True)
class Server:
    authority: Authority
    port: int
    version: int

    def url(self, ca: Path | None = None, host: str = ADDRESS) -> str:
        """With `ca`: verified in full, by that authority."""
        query = f"?sslmode=verify-full&sslrootcert={ca}" if ca else "?sslmode=disable"
        return f"postgresql://postgres:{PASSWORD}@{host}:{self.port}/postgres{query}"


def binaries() -> Path:
    """Of the newest server that Debian's or Ubuntu's packages have put here."""

    def found() -> list[Path]:
        return sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))

    if not found() and os.environ.get("CI"):
        for command in (["update"], ["install", "--yes", "--no-install-recommends", "postgresql"]):
            subprocess.run(["apt-get", *command], check=True, stdout=subprocess.DEVNULL)
    if not found():
        pytest.skip("there is no PostgreSQL with SSL on this machine: `apt-get install postgresql`")
    return found()[-1].parent


@pytest.fixture(scope="module")
def server(parts_folder: Path) -> Iterator[Server]:
    """A cluster that serves nobody without TLS."""
    programs, folder, port = binaries(), parts_folder / "postgres-tls", free_port()
    folder.mkdir()
    authority = Authority(folder, "authority")
    certificate, key = authority.issue("postgres", ADDRESS)
    (folder / "password").write_text(PASSWORD)
    account = "nobody" if os.geteuid() == 0 else getpass.getuser()
    for path in (folder, certificate, key, folder / "password"):
        shutil.chown(path, account, pwd.getpwnam(account).pw_gid)
    data = folder / "data"

    def run(program: str, *arguments: str | Path) -> None:
        command = [str(part) for part in (programs / program, "-D", data, *arguments)]
        subprocess.run(
            command, user=account if os.geteuid() == 0 else None, cwd=folder, check=True, stdout=subprocess.DEVNULL
        )

    password = f"--pwfile={folder / 'password'}"
    run("initdb", "--username=postgres", password, "--auth=scram-sha-256", "--no-sync", "--locale=C", "--encoding=UTF8")
    (data / "pg_hba.conf").write_text(f"hostssl all all {ADDRESS}/32 scram-sha-256\n")
    options = f"-p {port} -c listen_addresses={ADDRESS} -c unix_socket_directories= -c fsync=off -c ssl=on"
    options += f" -c ssl_cert_file={certificate} -c ssl_key_file={key}"
    run("pg_ctl", "start", "--wait", "-o", options, "-l", folder / "log")
    try:
        yield Server(authority, port, int(float(programs.parts[-2])))
    finally:
        run("pg_ctl", "stop", "--wait", "-m", "immediate")


@pytest.fixture
def limits(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server before 17 does not know all that ours are told."""
    if server.version < 17:
        monkeypatch.delitem(databases.LIMITS, "transaction_timeout")


@pytest.mark.usefixtures("limits")
async def test_the_pool_connects_under_tls_to_a_server_whose_certificate_is_right(server: Server) -> None:
    database = await Database.connect(server.url(server.authority.ca), source="/intake")
    try:
        assert await database.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    finally:
        await database.close()


@pytest.mark.usefixtures("limits")
@pytest.mark.parametrize("why", ["another authority", "another host", "no TLS"])
async def test_the_pool_does_not_connect_where_anything_of_that_is_wrong(
    server: Server, tmp_path: Path, why: str
) -> None:
    url = {
        "another authority": server.url(Authority(tmp_path, "another").ca),
        "another host": server.url(server.authority.ca, host="localhost"),
        "no TLS": server.url(),
    }[why]
    database = await Database.connect(url, source="/intake")
    try:
        with pytest.raises(Unavailable):
            await database.fetchval("SELECT 1")
    finally:
        await database.close()


@pytest.mark.usefixtures("limits")
async def test_roles_databases_migrations_and_the_relay_go_under_tls_too(server: Server, tmp_path: Path) -> None:
    url = server.url(server.authority.ca)
    if server.version < 16:  # and so cannot say what a member of a role inherits: made by hand, they are what we need
        logins = await _intake_by_hand(url)
    else:
        logins = (await make_databases(url, lambda _: PASSWORD))["intake"]
    assert "sslmode=verify-full" in logins.url
    with pytest.raises(Trouble, match="certificate is not believed"):
        await migrate("intake", logins.owner_url.replace(str(server.authority.ca), str(Authority(tmp_path, "no").ca)))
    await migrate("intake", logins.owner_url)
    relay = Relay(logins.url, broker=Broker("127.0.0.1:9"), source="/intake")
    async with running(relay.run()):
        admin = await asyncpg.connect(server.url(server.authority.ca))

        async def is_there() -> bool:
            return bool(
                await admin.fetchval(
                    "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'relay%'"
                )
            )

        await until(is_there)
        await admin.close()


async def _intake_by_hand(url: str) -> Logins:
    connection = await asyncpg.connect(url)
    for role in ("intake_owner", "intake"):
        await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    for part in PARTS:
        if part != WRITER:
            await connection.execute(f"CREATE ROLE {role_of('intake', part)} NOLOGIN")
            await connection.execute(f"GRANT {role_of('intake', part)} TO intake")
    await connection.execute("CREATE DATABASE intake OWNER intake_owner")
    await connection.close()

    def as_(role: str) -> str:
        return url.replace("//postgres:", f"//{role}:").replace("/postgres?", "/intake?")

    return Logins(service="intake", url=as_("intake"), owner_url=as_("intake_owner"))
