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


def test_who_it_is_to_kafka_comes_with_a_password_that_may_stand_in_a_file_and_is_never_shown(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    environment.setenv("KAFKA_USERNAME", "intake")
    environment.setenv("KAFKA_PASSWORD_FILE", str(tmp_path / "password"))
    settings = Settings.read()
    broker = settings.broker
    assert (broker.protocol, broker.username, broker.current_password()) == ("SASL_PLAINTEXT", "intake", "hunter2")
    (tmp_path / "password").write_text("changed\n")
    assert broker.options()["sasl_plain_password"].encode("utf-8") == b"changed"
    assert "hunter2" not in repr(settings) + repr(broker)


@pytest.mark.parametrize(
    ("given", "protocol"),
    [
        ({}, "PLAINTEXT"),
        ({"KAFKA_USERNAME": "intake", "KAFKA_PASSWORD": "hunter2"}, "SASL_PLAINTEXT"),
        (
            {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1,kafka.example:9093", "KAFKA_USERNAME": "i", "KAFKA_PASSWORD": "p"},
            "SASL_SSL",
        ),
        (
            {
                "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
                "KAFKA_USERNAME": "intake",
                "KAFKA_PASSWORD": "hunter2",
                "KAFKA_ALLOW_PLAINTEXT": "true",
            },
            "SASL_PLAINTEXT",
        ),
        ({"KAFKA_CA_FILE": __file__}, "SSL"),
        ({"KAFKA_CA_FILE": __file__, "KAFKA_USERNAME": "intake", "KAFKA_PASSWORD": "hunter2"}, "SASL_SSL"),
    ],
)
def test_a_password_leaves_this_machine_only_under_tls_unless_that_is_allowed(
    environment: pytest.MonkeyPatch, given: dict[str, str], protocol: str
) -> None:
    for name, value in given.items():
        environment.setenv(name, value)
    assert Settings.read().broker.protocol == protocol


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAFKA_USERNAME", "intake"),
        ("KAFKA_PASSWORD", "hunter2"),
        ("KAFKA_KEY_FILE", __file__),
        ("KAFKA_CA_FILE", "/nowhere/ca.pem"),
    ],
)
def test_half_of_what_kafka_asks_for_is_one_sentence(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    environment.setenv(name, value)
    said = refusal(capsys)
    assert name in said
    assert said.count("\n") == 1
