"""Every setting, from the environment or `.env`, with the prefix `AREA_`."""

import os
import secrets
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from area.kit.net import Guard

WEAK_KEYS = {"secret", "changeme", "change-me", "password", "area", "default", "development", "test"}


class Settings(BaseSettings):
    """Read once at start; a value that can't be used stops the start with a sentence."""

    model_config = SettingsConfigDict(env_prefix="AREA_", env_file=".env", extra="ignore", frozen=True)

    database_url: str | None = Field(
        None,
        description="PostgreSQL 15 or later, as postgresql://user:password@host/database. Unset: the embedded one.",
    )
    data_dir: Path = Field(
        Path("data"), description="Where the embedded database, the secret key and uploaded icons are kept."
    )
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(8080, ge=1, le=65535, description="Port to listen on.")
    public_url: str | None = Field(
        None, description="The address that users and webhook senders reach AREA at. Unset: http://host:port."
    )
    secret_key: SecretStr | None = Field(
        None,
        description="Encrypts credentials and signs cursors: 32 characters or more, several separated by commas to rotate"
        " (the first encrypts). Unset: made once and kept, mode 0600, in the data dir.",
    )
    registration: Literal["open", "invite", "closed"] = Field(
        "open",
        description="Who may register: everybody, those invited, or nobody. The first account can always register.",
    )
    allow_private_network: str = Field(
        "",
        description="What connectors may reach although it is not public: comma-separated host, host:port or CIDR.",
    )
    trusted_proxies: str = Field(
        "", description="Comma-separated addresses or CIDRs of proxies whose X-Forwarded-For is believed."
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="Mail server for notices, as smtp://login:password@host:587?from=area@example.org. Unset: none.",
    )
    retention_days: int = Field(30, ge=1, description="Executions and known event ids older than this are deleted.")
    session_days: int = Field(30, ge=1, description="A session not used for so many days ends.")
    max_areas: int = Field(1000, ge=1, description="AREAs that one user may have.")
    max_running: int = Field(100, ge=1, description="Executions of one user that a worker runs at the same time.")
    webhook_rate: int = Field(
        1000, ge=1, description="Requests a second that one webhook address takes, in bursts of five times as many."
    )
    login_attempts: int = Field(10, ge=1, description="Failed log-ins per account in 15 minutes before it must wait.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="Structured logs as JSON lines, or for people; auto: for people on a terminal."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least level that is logged."
    )
    metrics_token: SecretStr | None = Field(
        None, description="Bearer token that /metrics asks for. Unset: /metrics answers to loopback addresses only."
    )

    @field_validator("secret_key")
    @classmethod
    def _strong(cls, value: SecretStr | None) -> SecretStr | None:
        for key in value.get_secret_value().split(",") if value else []:
            if len(key) < 32 or key.lower() in WEAK_KEYS or len(set(key)) < 8:
                raise ValueError(
                    "each secret key needs 32 characters or more that are no default; make one with"
                    " `python -c 'import secrets; print(secrets.token_urlsafe(48))'`"
                )
        return value

    @field_validator("allow_private_network")
    @classmethod
    def _guardable(cls, value: str) -> str:
        Guard(_split(value))
        return value

    @field_validator("public_url")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("the public URL must begin with http:// or https://")
        return value.rstrip("/") if value else None

    @property
    def base_url(self) -> str:
        """Where AREA is reached, without a slash at the end."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 - compared, not bound
        return self.public_url or f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def guard(self) -> Guard:
        """The SSRF guard with this installation's exceptions."""
        return Guard(_split(self.allow_private_network))

    def proxies(self) -> list[str]:
        """`trusted_proxies`, one by one."""
        return _split(self.trusted_proxies)

    def secret_keys(self) -> list[str]:
        """The keys, the one that encrypts first; made and kept in the data dir when none is set."""
        if self.secret_key:
            return self.secret_key.get_secret_value().split(",")
        path = self.data_dir / "secret_key"
        try:
            return path.read_text().split()
        except FileNotFoundError:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".secret_key.{os.getpid()}")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(48) + "\n")
            try:
                os.link(temporary, path)  # of two processes that start together, one wins and both read its key
            except FileExistsError:
                pass
            finally:
                temporary.unlink()
            return path.read_text().split()


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


@cache
def settings() -> Settings:
    """The process's settings."""
    return Settings()
