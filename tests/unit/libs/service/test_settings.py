"""Settings: from the environment or from files, one sentence for what is wrong, no value ever shown."""

from pathlib import Path

import pytest

from libs.service.settings import Settings

GOOD = {
    "PORT": "8001",
    "SOURCE": "/intake",
    "DATABASE_URL": "postgresql://intake:hunter2@127.0.0.1:8006/intake",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:8007",
    "OIDC_ISSUER": "http://127.0.0.1:8005",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as left:
        Settings.read()
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "hunter2" not in said
    return said


def test_settings_come_from_the_environment(environment: pytest.MonkeyPatch) -> None:
    settings = Settings.read()
    assert (settings.host, settings.port, settings.source) == ("127.0.0.1", 8001, "/intake")
    assert settings.max_body_bytes == 256 * 1024
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize("name", sorted(GOOD))
def test_what_is_not_set_is_named_with_the_way_out(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    environment.delenv(name)
    said = refusal(capsys)
    assert said == f"{name} is not set: put it into the environment, or its file's path into {name}_FILE.\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "hunter2"),
        ("PORT", "70000"),
        ("SOURCE", "intake"),
        ("DATABASE_URL", "mysql://root:hunter2@db"),
        ("LOG_LEVEL", "LOUD"),
        ("REQUEST_TIMEOUT_S", "-1"),
        ("MAX_BODY_BYTES", "999"),
        ("OIDC_ISSUER", "ftp://issuer.example"),
        ("OIDC_ISSUER", "https://issuer.example/?q=hunter2"),
        ("OIDC_ISSUER", "https:///nowhere"),
        ("OIDC_ISSUER", "http://issuer.example"),
        ("OIDC_ISSUER", "http://127.0.0.1.evil.example"),
    ],
)
def test_what_is_wrong_is_one_sentence_that_shows_no_value(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    environment.setenv(name, value)
    said = refusal(capsys)
    assert name in said
    assert said.count("\n") == 1
    assert value not in said


def test_an_issuer_without_tls_is_believed_where_it_is_said_so(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OIDC_ISSUER", "http://issuer:8005")
    environment.setenv("OIDC_ALLOW_HTTP", "true")
    assert Settings.read().oidc_issuer == "http://issuer:8005"


@pytest.mark.parametrize("name", ["DATABASE_URL", "OIDC_ISSUER", "LOG_LEVEL"])
def test_every_setting_may_come_from_a_file(environment: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    value = {"LOG_LEVEL": "DEBUG"}.get(name) or GOOD[name]
    environment.delenv(name, raising=False)
    (tmp_path / "secret").write_text(value + "\n")
    environment.setenv(f"{name}_FILE", str(tmp_path / "secret"))
    assert getattr(Settings.read(), name.lower()) == value


def test_a_file_that_cannot_be_used_is_named_by_its_variable(
    environment: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret"
    environment.setenv("DATABASE_URL_FILE", str(secret))
    assert refusal(capsys) == "DATABASE_URL and DATABASE_URL_FILE are both set: keep one of them.\n"
    environment.delenv("DATABASE_URL")
    assert refusal(capsys) == "DATABASE_URL_FILE cannot be read: No such file or directory.\n"
    secret.write_bytes(b"\xff\xfe")
    assert refusal(capsys) == "DATABASE_URL_FILE names a file that is not UTF-8.\n"
    secret.write_bytes(b"x" * 100_000)
    assert refusal(capsys) == "DATABASE_URL_FILE names a file over 64 KiB: that is no setting.\n"
