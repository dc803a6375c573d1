"""What is written for people is true: links lead somewhere, commands exist, settings and metrics are the code's."""

import importlib
import importlib.util
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from pydantic_core import PydanticUndefined

from libs.service.access import ACCESS
from libs.service.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
SERVICES = {
    "intake": "services.intake.app.IntakeSettings",
    "router": "services.router.app.RouterSettings",
    "directory": "services.directory.settings.DirectorySettings",
    "recording": "services.recording.app.RecordingSettings",
}
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
SETTING = re.compile(r"^\| `([A-Z_]+)` \|(.*?)\|", re.MULTILINE)


def documents() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name]


@cache
def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def commands(text: str) -> list[str]:
    """What stands as code: between backticks, or indented by four."""
    return re.findall(r"`([^`\n]+)`", text) + re.findall(r"^ {4,}(\S.*)$", text, re.MULTILINE)


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_to_what_is_kept(document: Path) -> None:
    kept = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    names = set(kept.split("\0"))
    folders = {parent.as_posix() for name in names for parent in Path(name).parents}
    for link in LINK.findall(document.read_text("utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, _ = link.partition("#")
        target = (document.parent / path).resolve()
        assert target.exists(), f"{document.name} links to {link}, which is not there"
        name = target.relative_to(ROOT).as_posix()
        assert name in names | folders, f"{document.name} links to {link}, which git does not keep"


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_is_named_exists(document: Path) -> None:
    for command in commands(document.read_text("utf-8")):
        if match := re.match(r"make ([a-z-]+)", command):
            assert match[1] in targets(), f"there is no `make {match[1]}`"
        if match := re.match(r"python -m ([a-z_.]+)", command):
            assert importlib.util.find_spec(match[1]) is not None, f"there is no module {match[1]}"


def test_the_readme_names_every_target() -> None:
    named = {match[1] for command in commands(README) if (match := re.match(r"make ([a-z-]+)", command))}
    assert named == targets() - {"venv"}


def test_the_readme_names_every_setting_with_its_default() -> None:
    rows = dict(SETTING.findall(README))
    of_services = {service: _settings(path).model_fields for service, path in SERVICES.items()}
    assert set(rows) == {name.upper() for fields in of_services.values() for name in fields}
    for name, said in rows.items():
        values = [fields[name.lower()].default for fields in of_services.values() if name.lower() in fields]
        if len(set(map(str, values))) == 1:
            values = values[:1]
        wanted = ["" if value is PydanticUndefined or value is None else _written(value) for value in values]
        assert [part.strip(" `") for part in said.split(",")] == wanted, name
    for fields in of_services.values():
        assert fields.keys() >= Settings.model_fields.keys()


def test_every_metric_and_operation_that_the_readme_names_is_there() -> None:
    for path in SERVICES.values():
        _settings(path)  # and with it the service's metrics
    known = {metric.name + "_total" * (metric.type == "counter") for metric in REGISTRY.collect()}
    named = set(re.findall(r"`(hueandcry_[a-z_]+)", README))
    assert len(named) > 5
    assert named <= known, named - known
    for operation in re.findall(r"`hueandcry_http_request_seconds` of `([a-z_]+)`", README):
        assert operation in ACCESS


def test_the_readme_gives_every_dependency_a_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["local"]
    parts = README.partition("## Parts")[2].partition("## Licences")[0]
    for requirement in wanted:
        [name] = re.findall(r"^[a-z0-9-]+", requirement)
        assert re.search(rf"(\| |, ){name}(,| \|)", parts), f"{name} is not among the parts"


def test_the_data_s_attribution_is_the_same_wherever_it_stands() -> None:
    [said] = _quotations(README)
    [wanted] = _quotations((ROOT / "services/directory/data/README.md").read_text("utf-8"))
    assert "Open Government Licence v.3.0" in said
    assert said == wanted


def _settings(path: str) -> type[Settings]:
    module, _, name = path.rpartition(".")
    importlib.import_module(f"{module.rpartition('.')[0]}.app")
    found: type[Settings] = getattr(importlib.import_module(module), name)
    return found


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _quotations(text: str) -> list[str]:
    blocks = re.findall(r"(?:^>.*\n?)+", text, re.MULTILINE)
    return [" ".join(block.replace(">", " ").split()) for block in blocks]
