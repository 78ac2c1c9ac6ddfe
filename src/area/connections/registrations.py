"""AREA's registrations at vendors: client ids and secrets, redirect and webhook addresses, and what they make available."""

from pydantic import BaseModel

from area.kit.oauth2 import Keys
from area.kit.problems import Conflict
from area.registry import Registry
from area.sdk import OAuth2
from area.sdk import Service as Connector
from area.sdk.verify import token_of
from area.settings import OIDC, Settings

OIDC_ROW = "OpenID Connect"  # what the issuer is called in `services`, whatever its button says


class Served(BaseModel):
    """A service that a registration is for. `webhook_url` is where it may tell at once that there is news."""

    service: str
    name: str
    icon_path: str
    docs: str | None
    webhook_url: str | None


class ClientView(BaseModel):
    """What an administrator does so that a vendor's `services` can be used: register AREA there, paste the address, set the variables."""

    client: str
    name: str
    icon_path: str | None
    configured: bool
    redirect_uri: str
    variables: list[str]
    services: list[Served]


def clients(registry: Registry, settings: Settings) -> list[ClientView]:
    """Every vendor that this server has to be registered at, by name, and the issuer."""
    sharing: dict[str, list[Connector]] = {}
    for one in sorted(registry.services.values(), key=lambda one: one.name.lower()):
        if isinstance(one.auth, OAuth2) or login_of(one):
            sharing.setdefault(client_of(one), []).append(one)
    found = [
        ClientView(
            client=client,
            name=vendor_of(services[0]),
            icon_path=f"/icons/{client}.svg",
            configured=settings.client(client) is not None,
            redirect_uri=redirect_uri(settings, client),
            variables=[f"AREA_{client.upper()}_{part}" for part in _secrets(services)],
            services=[_served(one, settings) for one in services],
        )
        for client, services in sharing.items()
    ]
    found.sort(key=lambda one: one.name.lower())
    issuer = ClientView(
        client=OIDC,
        name=OIDC_ROW,
        icon_path=None,
        configured=settings.client(OIDC) is not None,
        redirect_uri=redirect_uri(settings, OIDC),
        variables=[f"AREA_OIDC_{part}" for part in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "NAME")],
        services=[],
    )
    return [*found, issuer]


def _served(connector: Connector, settings: Settings) -> Served:
    slug = connector.slug
    url, icon_path = _webhook_url(connector, settings), f"/icons/{slug}.svg"
    return Served(service=slug, name=connector.name, icon_path=icon_path, docs=connector.docs or None, webhook_url=url)


def _secrets(services: list[Connector]) -> tuple[str, ...]:
    inbound = [one.inbound for one in services if one.inbound is not None]
    signs = any(not one.verify.uses_client_secret for one in inbound)
    topic = any(one.topic for one in inbound)
    return ("CLIENT_ID", "CLIENT_SECRET", *(("SIGNING_SECRET",) if signs else ()), *(("TOPIC",) if topic else ()))


def _webhook_url(connector: Connector, settings: Settings) -> str | None:
    """Where a vendor is to be told to call by hand; None where AREA tells it by itself, or can't say it yet."""
    inbound, keys = connector.inbound, keys_of(connector, settings)
    if inbound is None or not (inbound.accounts or inbound.topic) or (inbound.verify.in_address and keys is None):
        return None
    token = f"?token={token_of(keys.secret.get_secret_value())}" if keys and inbound.verify.in_address else ""
    return f"{settings.base_url}/webhooks/{connector.slug}{token}"


def available(connector: Connector, settings: Settings) -> bool:
    """Whether it can be connected here: what is agreed to at the service's own site needs a client id of this server."""
    return not isinstance(connector.auth, OAuth2) or keys_of(connector, settings) is not None


def client_of(connector: Connector) -> str:
    """What a service's client id is called in the settings."""
    return (isinstance(connector.auth, OAuth2) and connector.auth.client) or connector.slug


def keys_of(connector: Connector, settings: Settings) -> Keys | None:
    """What the vendor knows this installation by; None when it was not set."""
    return settings.client(client_of(connector))


def required_keys(connector: Connector, settings: Settings) -> Keys:
    """What the vendor knows this installation by. Raises `Conflict` when it was not set."""
    keys = keys_of(connector, settings)
    if keys is None:
        raise Conflict(
            "%(name)s can't be used on this server yet: its administrator has to register AREA there.",
            name=connector.name,
        )
    return keys


def redirect_uri(settings: Settings, client: str) -> str:
    """The address that a vendor sends people back to, whatever they set out for, to be pasted as it is into the vendor's form.

    There is one for each registration: some vendors take no more than one.
    """
    return f"{settings.base_url}/api/auth/{client}/callback"


def login_of(connector: Connector) -> OAuth2 | None:
    """How people log in with a service, if they can."""
    declared = connector.login or connector.auth
    return declared if isinstance(declared, OAuth2) and declared.login_scopes is not None else None


def vendor_of(connector: Connector) -> str:
    """Whom people log in with, and where AREA is registered for it."""
    declared = login_of(connector) or connector.auth
    return (isinstance(declared, OAuth2) and declared.vendor) or connector.name
