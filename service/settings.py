"""Settings of the service processes, from the environment (prefix ROADSCRIBE_). Read when a process starts."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from recon.errors import ConfigInvalid
from service.webhooks.addresses import Network, parse_networks

# Lists of paths are written as in PATH: a JSON list in an environment file is easy to get wrong.
RootList = str


class Settings(BaseSettings):
    """Everything about this deployment that is not part of a job."""

    model_config = SettingsConfigDict(env_prefix="ROADSCRIBE_", extra="ignore", frozen=True)

    home: Path = Path.home() / ".roadscribe"  # ledger, artifact store, token of Ray
    database_url: str = ""  # default: SQLite in `home`
    roots: RootList = ""  # folders jobs may read, separated by ":"; none = no job may read a file
    publish_url: str = ""  # also keep published files there: file:///folder or s3://bucket/prefix (AWS_ variables)
    host: str = "127.0.0.1"
    port: int = Field(default=8765, ge=0, le=65535)
    api_key: SecretStr = SecretStr("")
    executor: Literal["ray", "local"] = "ray"
    ray_address: str = ""  # empty: a cluster of its own
    jobs_at_once: int = Field(default=0, ge=0, le=256)  # of one executor; 0: one for each CPU
    cpus: float = Field(default=0.0, ge=0.0)  # what the stages of one executor may use; 0: all of the machine
    memory_mb: float = Field(default=0.0, ge=0.0)  # 0: 80 % of the machine
    gpus: float | None = Field(default=None, ge=0.0)  # None: one where PyTorch finds one
    max_attempts: int = Field(default=3, ge=1, le=20)
    lease_s: float = Field(default=30.0, ge=1.0)
    queue_limit_s: float = Field(default=7 * 86400.0, gt=0)  # a job that no executor takes fails after this time
    blocked_limit_s: float = Field(default=14 * 86400.0, gt=0)  # and so does one whose inputs do not end
    running_limit_s: float = Field(default=30 * 86400.0, gt=0)  # an attempt, and again the publication of its result
    stage_limit_s: float = Field(default=6 * 3600.0, gt=0)
    max_losses: int = Field(default=50, ge=1)  # machines that may die under a job before it finishes a stage
    min_free_mb: int = Field(default=256, ge=0)
    access_log: bool = False  # one line of the log for each request
    max_streams: int = Field(default=200, ge=1)  # clients that wait or stream at once
    max_body_bytes: int = Field(default=1 << 20, ge=1024)
    webhook_networks: str = ""  # where webhooks may lead besides the public internet, with commas: 10.1.0.0/16
    webhook_key: SecretStr = SecretStr("")  # secrets of webhooks derive from it; empty: a file in `home`
    webhook_retry_s: float = Field(default=5.0, gt=0)  # the first pause after a failure; each next is four times it
    retain_days: float = Field(default=0.0, ge=0.0)  # jobs that ended longer ago are deleted; 0: none
    probe_jobs: bool = False  # accept the jobs of the conformance tests

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("webhook_networks")
    @classmethod
    def _networks(cls, value: str) -> str:
        parse_networks(value)
        return value

    @property
    def allowed_networks(self) -> tuple[Network, ...]:
        """Return the networks that webhooks may lead to besides the public internet."""
        return parse_networks(self.webhook_networks)

    @property
    def url(self) -> str:
        """Return the database's URL."""
        return self.database_url or f"sqlite:///{self.home / 'ledger.sqlite3'}"

    @property
    def root_paths(self) -> tuple[Path, ...]:
        """Return the folders jobs may read."""
        return tuple(Path(part).expanduser().absolute() for part in self.roots.split(":") if part)

    def time_limits(self) -> dict[str, float]:
        """Return the limits of the ledger, as the arguments of `Leases`."""
        names = ("lease_s", "queue_limit_s", "blocked_limit_s", "running_limit_s", "max_losses")
        return {name: getattr(self, name) for name in names}

    def check_exposure(self) -> None:
        """Refuse to listen beyond this machine without a key: whoever reaches the port may read the roots."""
        try:
            local = ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            local = self.host == "localhost"
        if not local and len(self.api_key.get_secret_value()) < 16:
            hint = "Set ROADSCRIBE_API_KEY to at least 16 characters, or listen on 127.0.0.1."
            raise ConfigInvalid("listening beyond this machine needs an API key", where=self.host, hint=hint)

    def environment(self) -> dict[str, str]:
        """Return the environment of a child process that shall see these very settings."""
        values = {
            f"ROADSCRIBE_{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            for name, value in ((name, getattr(self, name)) for name in type(self).model_fields)
            if value is not None
        }
        return {**os.environ, **values}


def load_settings(**overrides: object) -> Settings:
    """Return the settings; raises ConfigInvalid naming the variable. An override of None counts as not given."""
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        faults = "; ".join(f"ROADSCRIBE_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        raise ConfigInvalid(faults, hint="See deploy/service.env.example.") from error
