"""What is known to be vulnerable is named, and silence is never taken for health."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from deploy.local import audit
from deploy.local.audit import Told, Unreachable, main, read_npm_audit, read_pip_audit

GOOD = {"name": "good", "version": "1.0", "vulns": []}
BAD = {"name": "bad", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"], "description": "…"}]}
SKIPPED = {"name": "hidden", "skip_reason": "Dependency not found on PyPI and could not be audited: hidden (3.0)"}


def test_each_advisory_about_a_locked_package_is_a_sentence() -> None:
    told = read_pip_audit(json.dumps({"dependencies": [GOOD, BAD, SKIPPED], "fixes": []}))
    assert told == Told(3, ("hidden",), ("bad 2.0: PYSEC-1, mended in 2.1",))
    found = {"vulnerabilities": {"koa": {"severity": "high"}}, "metadata": {"dependencies": {"total": 40}}}
    assert read_npm_audit(json.dumps(found)) == Told(40, (), ("koa: high",))


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (read_pip_audit, ""),
        (read_pip_audit, "Traceback (most recent call last)"),
        (read_pip_audit, json.dumps({"dependencies": []})),
        (read_pip_audit, json.dumps({"dependencies": [SKIPPED, SKIPPED]})),
        (read_npm_audit, ""),
        (read_npm_audit, json.dumps({"message": "405 Method Not Allowed", "statusCode": 405})),
        (read_npm_audit, "[]"),
    ],
)
def test_who_could_not_ask_has_found_nothing_out(read: Callable[[str], Told], said: str) -> None:
    with pytest.raises(Unreachable):
        read(said)


def _cannot_ask() -> Told:
    raise Unreachable("the line is cut")


@pytest.mark.parametrize(
    ("ask", "code", "said"),
    [
        (lambda: Told(3, (), ()), 0, "no known vulnerabilities in 3 packages"),
        (lambda: Told(3, (), ("bad 2.0: PYSEC-1, mended in 2.1",)), 1, "bad 2.0"),
        (lambda: Told(3, ("hidden",), ()), 0, "NOT AUDITED, because nothing is known of them there: hidden"),
        (_cannot_ask, 0, "NOT AUDITED, the advisories cannot be reached from here: the line is cut"),
    ],
)
def test_a_known_hole_fails_and_what_was_not_audited_is_said(
    ask: Callable[[], Told],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(audit, "ASKED", {"a lock": ask})
    assert main() == code
    assert said in capsys.readouterr().out
