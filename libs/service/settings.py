"""Settings from the environment, under the fields' names (`DATABASE_URL`, `PORT`, …).

Every setting may come from a file instead, whose path stands in `<NAME>_FILE` (as orchestrators mount secrets); both at
once is a mistake. No setting's value is ever printed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit

from pydantic import Field, FilePath, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from libs.events.log.broker import LOOPBACK as LOOPBACK
from libs.events.log.broker import Broker
from libs.events.log.keyring import Keyring, read_masters

MAX_FILE_BYTES = 64 * 1024


class FromEnvironment(BaseSettings):
    """Where settings come from, and what happens where one is wrong."""

    model_config = SettingsConfigDict(extra="ignore", hide_input_in_errors=True, frozen=True, validate_default=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, FromFiles(settings_cls)

    @classmethod
    def read(cls) -> Self:
        """The settings, or one sentence for each that is wrong and the end of the process (exit code 2)."""
        try:
            return cls()
        except ValidationError as error:
            _give_up(_sentences(error))
        except UnusableFile as error:
            _give_up([str(error)])


class KafkaSettings(FromEnvironment):
    """Where Kafka is, and who we are there."""

    kafka_bootstrap_servers: str = Field(min_length=1)
    """`host:port`, several with commas."""
    kafka_username: str | None = Field(default=None, min_length=1)
    """Its principal there (SCRAM-SHA-512). Without one nobody is asked who comes, and readiness says so."""
    kafka_password: str | None = Field(default=None, min_length=1, repr=False)
    kafka_password_file: Path | None = None
    """The same from a file, which is read again for every connection: it may be changed while the service runs."""
    kafka_ca_file: FilePath | None = None
    """PEM: the authority of the brokers' certificates, where that is not one of the system's."""
    kafka_certificate_file: FilePath | None = None
    kafka_key_file: FilePath | None = None
    """PEM: this service's own certificate and its key, where the brokers ask for one."""
    kafka_allow_plaintext: bool = False
    """Prove the password without TLS to a broker that is not on this machine: only where the network is trusted."""

    @model_validator(mode="after")
    def _knows_who_it_is_to_kafka(self) -> Self:
        if (self.kafka_username is None) != (self.kafka_password is None):
            raise ValueError("KAFKA_USERNAME and KAFKA_PASSWORD (or KAFKA_PASSWORD_FILE) go together: set both or none")
        if (self.kafka_certificate_file is None) != (self.kafka_key_file is None):
            raise ValueError("KAFKA_CERTIFICATE_FILE and KAFKA_KEY_FILE go together: set both or none")
        return self

    @property
    def broker(self) -> Broker:
        return Broker(
            self.kafka_bootstrap_servers,
            username=self.kafka_username,
            password=self.kafka_password_file or self.kafka_password,
            ca_file=self.kafka_ca_file,
            certificate_file=self.kafka_certificate_file,
            key_file=self.kafka_key_file,
            allow_plaintext=self.kafka_allow_plaintext,
        )


class Settings(KafkaSettings):
    """What every service needs to know. A service's own settings are a subclass of this."""

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    """0 takes a free one."""
    source: str = Field(pattern=r"^/[a-z0-9/-]{1,63}$")
    """The CloudEvents `source` of this service's events. A second site's copy, with its own database, has its own."""
    database_url: str = Field(pattern=r"^postgres(ql)?://", repr=False)
    """As the service's own role, never the owner of the tables. The roles it plays besides are named for it."""
    oidc_issuer: str
    """The issuer exactly as its tokens name it (`iss`); its discovery document is below it."""
    oidc_audience: str = "hueandcry"
    oidc_allow_http: bool = False
    """Believe an issuer without TLS that is not on this machine: only where the network itself is trusted."""

    oidc_retired_key_s: float = Field(default=3600.0, ge=0, le=86_400)
    """How long a key that the issuer lists no more verifies what it signed before; 0: its removal revokes at once."""

    log_level: str = Field(default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")
    request_timeout_s: float = Field(default=30.0, gt=0, le=300)
    """How long a request may take until its answer begins."""
    max_body_bytes: int = Field(default=256 * 1024, ge=1024, le=64 * 1024 * 1024)

    backup_retention_days: float = Field(default=35.0, ge=0, le=3650)
    """When the last backup of a day is removed: an erasure says by when nothing is left."""

    connections_per_peer: int = Field(default=1000, ge=1)
    """Of one address, before one of them that waits is closed for the next; busy ones are never counted against an
    emergency. Behind a load balancer all have its own."""
    connections: int = Field(default=10_000, ge=1)
    """Of all addresses together; no more than the process may have open files."""
    client_rate_per_s: float = Field(default=1000.0, gt=0)
    """What one client may ask on average; twice as much in one moment. Emergencies are never refused."""
    client_at_once: int = Field(default=256, ge=1)
    """How many requests of one client may be here at a time. Emergencies are never refused."""

    @field_validator("oidc_issuer")
    @classmethod
    def _is_an_issuer(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an https URL without query or fragment (OpenID Connect Discovery 1.0, section 3)")
        return value

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        parts = urlsplit(self.oidc_issuer)
        if parts.scheme == "http" and parts.hostname not in LOOPBACK and not self.oidc_allow_http:
            raise ValueError("OIDC_ISSUER must be https, unless it is on this machine or OIDC_ALLOW_HTTP is true")
        return self

    def database_address(self) -> Callable[[], str]:
        """The database's address, read anew from its file where it stands in one: its password may change meanwhile."""
        path = os.environ.get("DATABASE_URL_FILE")
        return (lambda: Path(path).read_text("utf-8").strip()) if path else (lambda: self.database_url)


class KeyedSettings(Settings):
    """Of a service that seals or opens what identifies a person."""

    master_keys: str = Field(min_length=1, repr=False)
    """The master keys that wrap the keys of streams, a line each, the last one current (libs/events/log/keyring.py):
    the same for all services. Best in a file, which is read again when it changes."""

    @field_validator("master_keys")
    @classmethod
    def _are_masters(cls, value: str) -> str:
        read_masters(value)
        return value

    def keyring(self) -> Keyring:
        path = os.environ.get("MASTER_KEYS_FILE")
        return Keyring(self.source, lambda: Path(path).read_text("utf-8") if path else self.master_keys)


class UnusableFile(Exception):
    """A `<NAME>_FILE` cannot be used: names the variable, what is wrong and what would be right."""


class FromFiles(PydanticBaseSettingsSource):
    """Reads `<NAME>_FILE` for every field; a trailing newline is not part of the value."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        name = field_name.upper()
        path = os.environ.get(f"{name}_FILE")
        if path is None:
            return None, field_name, False
        if name in os.environ:
            raise UnusableFile(f"{name} and {name}_FILE are both set: keep one of them.")
        try:
            with Path(path).open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
            if len(content) > MAX_FILE_BYTES:
                raise UnusableFile(f"{name}_FILE names a file over {MAX_FILE_BYTES // 1024} KiB: that is no setting.")
            return content.decode().rstrip("\r\n"), field_name, False
        except OSError as error:
            raise UnusableFile(f"{name}_FILE cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise UnusableFile(f"{name}_FILE names a file that is not UTF-8.") from None

    def __call__(self) -> dict[str, Any]:
        values = {}
        for name, field in self.settings_cls.model_fields.items():
            value, key, _ = self.get_field_value(field, name)
            if value is not None:
                values[key] = value
        return values


def _sentences(error: ValidationError) -> list[str]:
    sentences = []
    for fault in error.errors(include_input=False, include_url=False, include_context=False):
        name = "_".join(str(part) for part in fault["loc"]).upper()
        text = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "missing":
            sentences.append(f"{name} is not set: put it into the environment, or its file's path into {name}_FILE.")
        else:
            sentences.append(f"{name}: {text}." if name else f"{text}.")
    return sentences


def _give_up(sentences: list[str]) -> NoReturn:
    for sentence in sentences:
        print(sentence, file=sys.stderr)
    raise SystemExit(2)
