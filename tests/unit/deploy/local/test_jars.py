from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from jgo.env import LockFile, compute_spec_hash
from jgo.maven import MavenContext

from deploy.local import jars
from deploy.local.process import Trouble


def test_the_lock_names_every_jar_by_its_hash_and_no_place_to_get_it_from() -> None:
    lock = LockFile.load(jars.LOCK)
    assert all(dependency.sha256 and len(dependency.sha256) == 64 for dependency in lock.dependencies)
    assert {d.version for d in lock.dependencies if d.groupId == "org.apache.kafka"} == {"4.3.1"}
    assert "http" not in jars.LOCK.read_text()


def test_the_lock_is_of_the_specification_beside_it() -> None:
    assert LockFile.load(jars.LOCK).spec_hash == compute_spec_hash(jars.SPEC)


def test_a_jar_that_was_cut_off_or_altered_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = jars.kafka_jars()
    folder = tmp_path / "jars"
    shutil.copytree(whole[0].parent, folder)
    damaged, missing = folder / whole[3].name, folder / whole[5].name
    damaged.write_bytes(damaged.read_bytes()[:-1])
    missing.unlink()
    asked: list[str] = []

    def fetch(_context: MavenContext, dependency: object, place: Path) -> None:
        asked.append(place.name)
        shutil.copyfile(whole[0].parent / place.name, place)

    monkeypatch.setattr(jars, "_fetch_one", fetch)
    assert jars.kafka_jars(tmp_path) == [folder / jar.name for jar in whole]
    assert asked == [damaged.name, missing.name]


def test_without_network_one_sentence_says_so_and_what_came_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = jars.kafka_jars()
    fetched: list[str] = []

    def fetch(_context: MavenContext, dependency: object, place: Path) -> None:
        if len(fetched) == 2:
            raise requests.ConnectionError("no route")
        fetched.append(place.name)
        shutil.copyfile(whole[0].parent / place.name, place)

    monkeypatch.setattr(jars, "_fetch_one", fetch)
    with pytest.raises(Trouble, match=r"connect this machine to the network.*KAFKA_BOOTSTRAP_SERVERS"):
        jars.kafka_jars(tmp_path)
    assert sorted(path.name for path in (tmp_path / "jars").iterdir()) == sorted(fetched)


def test_a_certificate_that_is_not_trusted_is_told_as_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(_context: MavenContext, dependency: object, place: Path) -> None:
        raise requests.exceptions.SSLError("self-signed certificate in certificate chain")

    monkeypatch.setattr(jars, "_fetch_one", fetch)
    with pytest.raises(Trouble, match=r"not trusted here.*SSL_CERT_FILE"):
        jars.kafka_jars(tmp_path)


def test_without_disk_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=1024))
    with pytest.raises(Trouble, match="make room there"):
        jars.kafka_jars(tmp_path)


def test_a_file_that_is_not_the_locked_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dependency = LockFile.load(jars.LOCK).dependencies[0]
    wrong = tmp_path / "wrong.jar"

    class Artifact:
        def resolve(self) -> Path:
            wrong.write_bytes(b"something else")
            return wrong

    component = SimpleNamespace(artifact=lambda *_: Artifact(), path_prefix="nothing")
    project = SimpleNamespace(at_version=lambda _version: component)
    context = SimpleNamespace(project=lambda *_: project, repo_cache=tmp_path / "cache")
    with pytest.raises(Trouble, match="SHA-256 differs"):
        jars._fetch_one(context, dependency, tmp_path / "place.jar")  # type: ignore[arg-type]
    assert not (tmp_path / "place.jar").exists()
