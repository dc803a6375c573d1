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

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
MAX_FILE_BYTES = 64 * 1024


class Settings(BaseSettings):
    """What every service needs to know. A service's own settings are a subclass of this."""

    model_config = SettingsConfigDict(extra="ignore", hide_input_in_errors=True, frozen=True, validate_default=True)

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    """0 takes a free one."""
    source: str = Field(pattern=r"^/[a-z0-9/-]{1,63}$")
    """The CloudEvents `source` of this service's events. A second site's copy, with its own database, has its own."""
    database_url: str = Field(pattern=r"^postgres(ql)?://", repr=False)
    """As the service's own role, never the owner of the tables. The roles it plays besides are named for it."""
    kafka_bootstrap_servers: str = Field(min_length=1)
    """`host:port`, several with commas."""

    oidc_issuer: str
    """The issuer exactly as its tokens name it (`iss`); its discovery document is below it."""
    oidc_audience: str = "hueandcry"
    oidc_allow_http: bool = False
    """Believe an issuer without TLS that is not on this machine: only where the network itself is trusted."""

    log_level: str = Field(default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")
    request_timeout_s: float = Field(default=30.0, gt=0, le=300)
    """How long a request may take until its answer begins."""
    max_body_bytes: int = Field(default=256 * 1024, ge=1024, le=64 * 1024 * 1024)

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
