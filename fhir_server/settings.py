"""The settings of a server: one frozen class, read from ``PRAXIS_*`` variables and ``DATABASE_URL``."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fhir_server.validation.policy import parse_policy


def default_data_dir() -> Path:
    """Return where data lives unless said otherwise: a system directory for root, else below the user's home."""
    if os.geteuid() == 0:
        # PostgreSQL never runs as root, and another account can't enter root's home.
        return Path("/var/lib/praxis")
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share")) / "praxis"


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Settings(BaseSettings):
    """All settings. Command line options go before variables, variables before defaults."""

    model_config = SettingsConfigDict(env_prefix="PRAXIS_", frozen=True, extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=256)
    data_dir: Path = Field(default_factory=default_data_dir)
    database_url: str | None = Field(default=None, validation_alias="DATABASE_URL")
    models: Path | None = Field(default=None, description="A folder with this site's own trained models")
    auth: bool = True
    mllp_host: str = "127.0.0.1"
    mllp_port: int = Field(default=2575, ge=0, le=65535, description="0 turns the HL7 v2 listener off")
    base_url: str | None = Field(default=None, description="The FHIR base as clients see it, behind a proxy")
    max_body_bytes: int = Field(default=64_000_000, ge=1_000)
    statement_timeout: float = Field(default=30, gt=0, description="Seconds a database statement may take")
    pool_timeout: float = Field(default=10, gt=0, description="Seconds a request may wait for a connection")
    idle_timeout: float = Field(default=60, gt=0, description="Seconds a transaction may be idle")
    referential_integrity: Literal["allow", "enforce"] = Field(
        default="allow", description="Whether references may lead to resources that are not there"
    )
    validation: str = Field(
        default="warn", description="off, warn or enforce, for all types or by type: Patient=enforce,*=warn"
    )
    connections: int = Field(
        default=12, ge=1, description="Database connections of one worker, for searches and for all else each"
    )

    @field_validator("base_url")
    @classmethod
    def _no_trailing_slash(cls, value: str | None) -> str | None:
        return value.rstrip("/") if value else None

    @field_validator("validation")
    @classmethod
    def _known_policy(cls, value: str) -> str:
        parse_policy(value)
        return value

    @model_validator(mode="after")
    def _auth_off_is_local(self) -> Settings:
        if not self.auth and not is_loopback(self.host):
            raise ValueError(f"--auth off is only for this machine: use --host 127.0.0.1, not {self.host}")
        return self
