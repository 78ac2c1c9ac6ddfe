"""All settings, from the environment or `.env`, with the prefix `AREA_`."""

import ipaddress
import os
import re
import secrets
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from typing_extensions import override

from area.kit.hostnames import is_loopback, parse_pattern
from area.kit.keys import Keys
from area.kit.net import Guard

OIDC = "oidc"  # the sign-in provider of AREA_OIDC_*


class Settings(BaseSettings):
    """Read once at start; AREA refuses to start with an invalid value, and says why."""

    model_config = SettingsConfigDict(env_prefix="AREA_", env_file=".env", extra="ignore", frozen=True)

    database_url: str | None = Field(
        None,
        description="PostgreSQL 15 or later, as postgresql://user:password@host/database. Default: the embedded one.",
    )
    data_dir: Path = Field(Path("data"), description="Directory of the embedded database and the secret key.")
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all addresses.")
    port: int = Field(8080, ge=1, le=65535, description="Port to listen on.")
    public_url: str | None = Field(
        None, description="The URL where users and webhook senders reach AREA. Default: http://host:port."
    )
    allowed_hosts: str = Field(
        "",
        description="More host names that AREA accepts requests for, separated by commas; `*.example.org` matches"
        " every name below example.org.",
    )
    cors_origins: str = Field(
        "",
        description="Origins of web apps whose scripts may call the REST API with a token (CORS), separated by commas,"
        " such as https://app.example.org; `*` for all. Cookies are never accepted from them.",
    )
    secret_key: SecretStr | None = Field(
        None,
        description="Encrypts credentials and signs cursors; 32 characters or more. Separate several with commas to"
        " rotate (the first encrypts). Default: generated and stored in the data directory, mode 0600.",
    )
    registration: Literal["open", "confirm", "invite", "closed"] = Field(
        "open",
        description="Who can register: everyone (`open`), everyone who confirms by mail (`confirm`, requires"
        " AREA_SMTP_URL and doesn't reveal which addresses have an account), people with an invitation, or"
        " nobody. The first account can always register.",
    )
    allow_private_network: str = Field(
        "",
        description="Non-public hosts, this machine's own addresses and blocked ports that connectors may reach:"
        " host, host:port or CIDR, separated by commas.",
    )
    trusted_proxies: str = Field(
        "", description="Addresses or CIDRs of proxies whose X-Forwarded-For AREA trusts, separated by commas."
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="Mail server, as smtp://login:password@host:587?from=area@example.org (requires STARTTLS), or"
        " smtps:// for TLS from the start. `&tls=none` allows unencrypted mail, for a server on this"
        " machine. Default: no mail.",
    )
    mail_per_day: int = Field(50, ge=0, description="Notices e-mailed to one user per 24 hours.")
    retention_days: int = Field(
        30,
        ge=1,
        description="Days after which executions are deleted. Event IDs are kept twice as long, and at least 90 days.",
    )
    session_days: int = Field(30, ge=1, description="Days after which an unused session expires.")
    max_areas: int = Field(1000, ge=1, description="AREAs per user.")
    max_running: int = Field(100, ge=1, description="Executions of one user that a worker runs at the same time.")
    max_items: int = Field(
        1000, ge=1, le=10_000, description="Items of a list that a link of a chain runs for (`for_each`)."
    )
    webhook_rate: int = Field(
        1000, ge=1, description="Requests per second to one webhook URL, with bursts of five times as many."
    )
    longest_wait: int = Field(
        30,
        ge=1,
        le=3600,
        description="Seconds that a user's webhook events may wait to run. Beyond that, senders get 429 with the time"
        " to retry, and listeners such as MQTT accept no more.",
    )
    login_attempts: int = Field(
        10, ge=1, description="Failed sign-ins per account in 15 minutes before it is locked for a while."
    )
    require_two_factor: Literal["none", "admins", "everybody"] = Field(
        "none",
        description="Who must have a second factor (an app or a passkey). Anyone without one must add one first.",
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="JSON lines, or a readable console format; auto uses the console format on a terminal."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The lowest level to log.")
    metrics_token: SecretStr | None = Field(
        None,
        description="Bearer token for /metrics. Default: /metrics only responds to this machine, and not to a proxy"
        " on it.",
    )

    oidc_issuer: str | None = Field(
        None, description="An OpenID Connect issuer to sign in with, such as https://id.example.org."
    )
    oidc_client_id: str | None = Field(None, description="AREA's client ID at the issuer.")
    oidc_client_secret: SecretStr | None = Field(None, description="AREA's client secret at the issuer.")
    oidc_name: str = Field("Single sign-on", description="Label of the button to sign in with the issuer.")
    clients: dict[str, Keys] = Field(
        default_factory=dict,
        description="AREA's client ID and secret at a service's vendor, such as AREA_GITHUB_CLIENT_ID. If the vendor"
        " signs webhooks with another secret, also `AREA_<SERVICE>_SIGNING_SECRET`. If it publishes to a"
        " topic that you create there, also `AREA_<SERVICE>_TOPIC`, such as AREA_GOOGLE_TOPIC.",
    )

    servers: dict[str, str] = Field(
        default_factory=dict,
        description="The URL of your own server, for software that people self-host, such as AREA_GITLAB_SERVER.",
    )

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The default sources, and the variables that name a service."""
        named = Clients(settings_cls, (dotenv_settings, env_settings))
        return init_settings, named, env_settings, dotenv_settings, file_secret_settings

    @field_validator("secret_key")
    @classmethod
    def _strong(cls, value: SecretStr | None) -> SecretStr | None:
        for key in value.get_secret_value().split(",") if value else []:
            if len(key) < 32 or len(set(key)) < 8:
                raise ValueError(
                    "each secret key needs 32 random characters or more; generate one with"
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
        if value:
            try:
                parse_pattern(urlsplit(value).hostname or "")
            except ValueError:
                raise ValueError("the public URL needs a host name, as in https://area.example.org") from None
        return value.rstrip("/") if value else None

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts(cls, value: str) -> str:
        for name in _split(value):
            parse_pattern(name)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        for origin in _split(value):
            parts = urlsplit(origin)
            if origin != "*" and (
                parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError(f"{origin!r} is not an origin such as https://app.example.org")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        for network in _split(value):
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError:
                raise ValueError(f"{network!r} is not an IP address or a network such as 10.0.0.0/8") from None
        return value

    @field_validator("servers")
    @classmethod
    def _addresses(cls, value: dict[str, str]) -> dict[str, str]:
        for slug, address in value.items():
            if not re.fullmatch(r"https?://[^/?#@\s]+/?", address):
                raise ValueError(f"AREA_{slug.upper()}_SERVER must be an address such as https://{slug}.example.org")
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _issuer(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("the issuer must begin with https://")
        return value or None

    @model_validator(mode="after")
    def _can_confirm(self) -> "Settings":
        if self.registration == "confirm" and self.smtp_url is None:
            raise ValueError("AREA_REGISTRATION=confirm needs a mail server: set AREA_SMTP_URL")
        return self

    def client(self, slug: str) -> Keys | None:
        """The credentials of this installation at a service's vendor; None if they are not set."""
        if slug != OIDC:
            return self.clients.get(slug)
        if not (self.oidc_issuer and self.oidc_client_id and self.oidc_client_secret):
            return None
        return Keys(self.oidc_client_id, self.oidc_client_secret)

    @property
    def base_url(self) -> str:
        """AREA's URL, without a trailing slash."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 - compared, not bound
        return self.public_url or f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def names(self) -> tuple[str, ...]:
        """Host names that AREA serves besides loopback names and addresses, as patterns of `area.kit.hostnames`."""
        own = urlsplit(self.base_url).hostname or ""
        return tuple(dict.fromkeys(parse_pattern(name) for name in (own, *_split(self.allowed_hosts))))

    def origins(self) -> list[str]:
        """`cors_origins` as a list."""
        return _split(self.cors_origins)

    @property
    def is_reachable(self) -> bool:
        """Whether other machines can reach AREA: it listens on more than loopback, or a proxy forwards requests."""
        hosts = (self.host, *self.names())
        return bool(self.proxies()) or not all(is_loopback(host) for host in hosts)

    @property
    def could_confirm(self) -> bool:
        """Whether registration is open to strangers although `confirm` would reveal less to them."""
        return self.registration == "open" and self.smtp_url is not None and self.is_reachable

    def guard(self) -> Guard:
        """The SSRF guard with this installation's exceptions."""
        return Guard(_split(self.allow_private_network), public_url=self.public_url)

    def proxies(self) -> list[str]:
        """`trusted_proxies` as a list."""
        return _split(self.trusted_proxies)

    def secret_keys(self) -> list[str]:
        """The keys, the one that encrypts first; generated and stored in the data dir if none is set."""
        if self.secret_key:
            return self.secret_key.get_secret_value().split(",")
        path = self.data_dir / "secret_key"
        try:
            return path.read_text("utf-8", "replace").split()
        except FileNotFoundError:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".secret_key.{os.getpid()}")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(48) + "\n")
            try:
                os.link(temporary, path)  # if two processes start together, one wins and both read its key
            except FileExistsError:
                pass
            finally:
                temporary.unlink()
            return path.read_text().split()


class Clients(PydanticBaseSettingsSource):
    """Variables that name a service: `AREA_<SERVICE>_CLIENT_ID`, `_CLIENT_SECRET`, `_SIGNING_SECRET`, `_TOPIC` and
    `_SERVER`. Later `sources` take precedence.
    """

    def __init__(self, settings_cls: type[BaseSettings], sources: Sequence[PydanticBaseSettingsSource]) -> None:
        super().__init__(settings_cls)
        self._variables: dict[str, str | None] = {}
        for source in sources:
            self._variables |= {name.lower(): value for name, value in getattr(source, "env_vars", {}).items()}

    @override
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False  # `__call__` does it

    @override
    def __call__(self) -> dict[str, Any]:
        clients = {}
        servers = {
            match[1]: value
            for name, value in self._variables.items()
            if value and (match := re.fullmatch(r"area_([a-z][a-z0-9_]*)_server", name))
        }
        for name, value in self._variables.items():
            match = re.fullmatch(r"area_([a-z][a-z0-9_]*)_client_id", name)
            secret = self._variables.get(f"{name.removesuffix('_id')}_secret")
            if match and match[1] != OIDC and value and secret:
                signing = self._variables.get(f"area_{match[1]}_signing_secret")
                topic = self._variables.get(f"area_{match[1]}_topic") or None
                clients[match[1]] = Keys(value, SecretStr(secret), SecretStr(signing) if signing else None, topic)
        return ({"clients": clients} if clients else {}) | ({"servers": servers} if servers else {})


NAMES_A_SERVICE = re.compile(r"area_([a-z][a-z0-9_]*)_(client_id|client_secret|signing_secret|topic|server)")


def variables() -> list[str]:
    """The names of the variables in the environment and in `.env` that start with AREA_, in upper case, sorted."""
    sources = (DotEnvSettingsSource(Settings), EnvSettingsSource(Settings))
    names = {name.upper() for source in sources for name in source.env_vars}
    return sorted(name for name in names if name.startswith("AREA_"))


def unknown_variables() -> list[str]:
    """Those of `variables` that AREA doesn't use, which are probably misspelt."""
    known = {f"AREA_{name.upper()}" for name in Settings.model_fields}
    return [name for name in variables() if name not in known and not NAMES_A_SERVICE.fullmatch(name.lower())]


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


@cache
def settings() -> Settings:
    """The process's settings."""
    return Settings()
