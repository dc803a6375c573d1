"""What the directory needs to know."""

from pydantic import Field

from libs.service.settings import Settings


class DirectorySettings(Settings):
    port: int = Field(default=8003, ge=0, le=65535)
    source: str = Field(default="/directory", pattern=r"^/[a-z0-9/-]{1,63}$")


class LoadSettings(DirectorySettings):
    """Loading needs the database alone."""

    kafka_bootstrap_servers: str = "unused"
    oidc_issuer: str = "https://unused.invalid"
