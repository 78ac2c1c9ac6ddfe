"""AREA's registrations at vendors: client ids, secrets, redirect and webhook URLs."""

from pydantic import BaseModel

from area.kit.keys import Keys
from area.kit.problems import Conflict
from area.registry import Registry
from area.sdk import OAuth2
from area.sdk import Service as Connector
from area.sdk.verify import token_of
from area.settings import OIDC, Settings

OIDC_ROW = "OpenID Connect"  # the issuer's name in `services`, whatever its button's label


class Served(BaseModel):
    """A service that a registration is for. `webhook_url` is where it can announce changes."""

    service: str
    name: str
    icon_path: str
    docs: str | None
    webhook_url: str | None


class ClientView(BaseModel):
    """What an administrator needs to register AREA at a vendor: the URLs to paste there, the variables to set and the
    `services` this enables.
    """

    client: str
    name: str
    icon_path: str | None
    configured: bool
    redirect_uri: str
    variables: list[str]
    services: list[Served]


def clients(registry: Registry, settings: Settings) -> list[ClientView]:
    """Every vendor where this server must be registered, by name, then the issuer."""
    sharing: dict[str, list[Connector]] = {}
    for service in sorted(registry.services.values(), key=lambda service: service.name.lower()):
        if isinstance(service.auth, OAuth2) or login_of(service):
            sharing.setdefault(client_of(service), []).append(service)
    views = [
        ClientView(
            client=client,
            name=vendor_of(services[0]),
            icon_path=f"/icons/{client}.svg",
            configured=settings.client(client) is not None,
            redirect_uri=redirect_uri(settings, client),
            variables=[f"AREA_{client.upper()}_{part}" for part in _secrets(services)],
            services=[_served(service, settings) for service in services],
        )
        for client, services in sharing.items()
    ]
    views.sort(key=lambda view: view.name.lower())
    issuer = ClientView(
        client=OIDC,
        name=OIDC_ROW,
        icon_path=None,
        configured=settings.client(OIDC) is not None,
        redirect_uri=redirect_uri(settings, OIDC),
        variables=[f"AREA_OIDC_{part}" for part in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "NAME")],
        services=[],
    )
    return [*views, issuer]


def _served(connector: Connector, settings: Settings) -> Served:
    slug = connector.slug
    url, icon_path = _webhook_url(connector, settings), f"/icons/{slug}.svg"
    return Served(service=slug, name=connector.name, icon_path=icon_path, docs=connector.docs or None, webhook_url=url)


def _secrets(services: list[Connector]) -> tuple[str, ...]:
    inbound = [service.inbound for service in services if service.inbound is not None]
    signs = any(not webhook.verify.uses_client_secret for webhook in inbound)
    topic = any(webhook.topic for webhook in inbound)
    return ("CLIENT_ID", "CLIENT_SECRET", *(("SIGNING_SECRET",) if signs else ()), *(("TOPIC",) if topic else ()))


def _webhook_url(connector: Connector, settings: Settings) -> str | None:
    """The webhook URL to paste at the vendor. None if AREA registers it itself, or can't know it yet."""
    inbound, keys = connector.inbound, keys_of(connector, settings)
    if inbound is None or not (inbound.accounts or inbound.topic) or (inbound.verify.in_address and keys is None):
        return None
    token = f"?token={token_of(keys.secret.get_secret_value())}" if keys and inbound.verify.in_address else ""
    return f"{settings.base_url}/webhooks/{connector.slug}{token}"


def available(connector: Connector, settings: Settings) -> bool:
    """Whether the service can be connected here: OAuth2 needs a client id of this server."""
    return not isinstance(connector.auth, OAuth2) or keys_of(connector, settings) is not None


def client_of(connector: Connector) -> str:
    """The name of a service's client id in the settings."""
    return (isinstance(connector.auth, OAuth2) and connector.auth.client) or connector.slug


def sharing(registry: Registry, connector: Connector) -> list[str]:
    """The names of all services with the connector's client."""
    client = client_of(connector)
    return [service.name for service in registry.services.values() if client_of(service) == client]


def keys_of(connector: Connector, settings: Settings) -> Keys | None:
    """Our client id and secret for the service. None if they aren't set."""
    return settings.client(client_of(connector))


def required_keys(connector: Connector, settings: Settings) -> Keys:
    """Our client id and secret for the service. Raises `Conflict` if they aren't set."""
    keys = keys_of(connector, settings)
    if keys is None:
        raise Conflict(
            "%(name)s isn't available on this server yet. An administrator has to register AREA there.",
            name=connector.name,
        )
    return keys


def redirect_uri(settings: Settings, client: str) -> str:
    """The redirect URI for every purpose, to paste into the vendor's form.

    There is one per registration, since some vendors accept only one.
    """
    return f"{settings.base_url}/api/auth/{client}/callback"


def login_of(connector: Connector) -> OAuth2 | None:
    """How users log in with a service, if they can."""
    declared = connector.login or connector.auth
    return declared if isinstance(declared, OAuth2) and declared.login_scopes is not None else None


def vendor_of(connector: Connector) -> str:
    """The vendor's name, for log-in and registration."""
    declared = login_of(connector) or connector.auth
    return (isinstance(declared, OAuth2) and declared.vendor) or connector.name
