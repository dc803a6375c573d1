"""Apache Kafka's jars: fetched once from Maven Central by jgo, by the versions and SHA-256 of the committed lock.

Invariant: a jar in the cache is whole and is the one that the lock names: it is checked before it gets its place there,
and again at each start. A fetch that was cut off goes on with the first jar that is missing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import requests
from jgo.env import EnvironmentBuilder, EnvironmentSpec, LockedDependency, LockFile, compute_spec_hash
from jgo.maven import MavenContext

from deploy.local.process import Trouble

SPEC = Path(__file__).with_name("jgo.toml")
LOCK = Path(__file__).with_name("jgo.lock.toml")
ROOM_BYTES = 200 * 1024 * 1024
"""Free disk that a first fetch needs."""
TRIES = 3
ABANDONED_S = 60 * 60


def cache_folder() -> Path:
    """Where this user keeps what can be fetched again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hueandcry"


def kafka_jars(cache: Path | None = None) -> list[Path]:
    """The class path of Apache Kafka, complete and checked. Raises Trouble when it cannot be had."""
    folder = (cache or cache_folder()) / "jars"
    dependencies = LockFile.load(LOCK).dependencies
    missing = [dependency for dependency in dependencies if not _is_right(folder / _name(dependency), dependency)]
    if missing:
        try:
            _fetch(missing, folder)
        except OSError as error:
            if isinstance(error, requests.exceptions.SSLError):
                raise Trouble(
                    "Maven Central's certificate is not trusted here, as something on the way signs for it: "
                    "set SSL_CERT_FILE to a file with that authority's certificate, then run again."
                ) from error
            if isinstance(error, requests.RequestException):
                raise Trouble(
                    "Apache Kafka's jars could not be fetched from Maven Central: connect this machine to the network, "
                    "then run again (what came is kept), or set KAFKA_BOOTSTRAP_SERVERS to a Kafka that is there."
                ) from error
            raise Trouble(
                f"Apache Kafka's jars could not be written to {folder} ({error.strerror}): make room there, "
                "or set XDG_CACHE_HOME to a folder that has it."
            ) from error
    return [folder / _name(dependency) for dependency in dependencies]


def _fetch(missing: list[LockedDependency], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < ROOM_BYTES:
        raise OSError(28, "No space left on device", str(folder))
    for left in folder.glob("fetching-*"):  # by a fetch that was killed
        if time.time() - left.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(left, ignore_errors=True)
    if "SSL_CERT_FILE" in os.environ:  # which uv and Python's own ssl honour, and requests does not
        os.environ.setdefault("REQUESTS_CA_BUNDLE", os.environ["SSL_CERT_FILE"])
    staging = Path(tempfile.mkdtemp(prefix="fetching-", dir=folder))
    context = MavenContext(repo_cache=staging, local_repos=[], timeout=30)
    try:
        with _progress(len(missing)) as advance:
            for dependency in missing:
                _fetch_one(context, dependency, folder / _name(dependency))
                advance(_name(dependency))
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _fetch_one(context: MavenContext, dependency: LockedDependency, place: Path) -> None:
    component = context.project(dependency.groupId, dependency.artifactId).at_version(dependency.version)
    artifact = component.artifact(dependency.classifier or "", dependency.packaging)
    for attempt in range(1, TRIES + 1):
        try:
            fetched = artifact.resolve()
            if _is_right(fetched, dependency):
                fetched.replace(place)
                return
        except (requests.RequestException, RuntimeError) as error:  # jgo's "not found in remote repositories"
            if isinstance(error, requests.exceptions.SSLError):
                raise
            if attempt == TRIES:
                raise requests.RequestException(str(error)) from error
        shutil.rmtree(context.repo_cache / component.path_prefix, ignore_errors=True)  # a piece would count as whole
    raise Trouble(
        f"{_name(dependency)} as fetched is not the file that deploy/local/jgo.lock.toml names (its SHA-256 differs): "
        "something between here and Maven Central alters it; fetch it over another network."
    )


def _name(dependency: LockedDependency) -> str:
    classifier = f"-{dependency.classifier}" if dependency.classifier else ""
    return f"{dependency.artifactId}-{dependency.version}{classifier}.{dependency.packaging}"


def _is_right(path: Path, dependency: LockedDependency) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == dependency.sha256
    except FileNotFoundError:
        return False


def _progress(total: int) -> AbstractContextManager[Callable[[str], None]]:
    if not sys.stderr.isatty():
        print(f"Fetching Apache Kafka: {total} jars", file=sys.stderr)
        return nullcontext(lambda _name: None)
    return _bar(total)


@contextmanager
def _bar(total: int) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("Fetching Apache Kafka"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda name: progress.update(task, advance=1, description=name)


def write_lock() -> None:
    """Resolve the specification anew and write the lock, for a developer who changed it."""
    spec = EnvironmentSpec.load(SPEC)
    with tempfile.TemporaryDirectory() as scratch:
        context = MavenContext(repo_cache=Path(scratch), local_repos=[], timeout=30)
        direct, transitive = context.resolver.resolve(EnvironmentBuilder(context).spec_to_dependencies(spec))
        LockFile.from_resolved_dependencies(
            direct + transitive,
            environment_name=spec.name,
            entrypoints=spec.entrypoints,
            default_entrypoint=spec.default_entrypoint,
            spec_hash=compute_spec_hash(SPEC),
        ).save(LOCK)


if __name__ == "__main__":
    if sys.argv[1:] == ["lock"]:
        write_lock()
    else:
        print(":".join(str(jar) for jar in kafka_jars()))
