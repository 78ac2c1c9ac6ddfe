"""Log-in providers: which ones exist, and how their accounts map to ours.

The account is determined by the provider's own user id, `(service_id, service_account_id)`, never by a name. The e-mail
address only matters if that id is unknown and nobody is signed in, and then:

- The provider must have verified the address; otherwise, anyone may have entered it there.
- The account with the address must have proven it too, by being linked to a provider that verified the same address. An
  attacker may have registered with someone else's address and their own password, waiting for the owner.
- Otherwise nothing is linked: the owner must sign in and link the provider from there.

`user_oauth2_accounts.email` is only set if the provider had verified the address, so it counts as such a proof.
"""

import hashlib
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from area import accounts, audit
from area.accounts import UserView, rules
from area.connections import registrations
from area.db.models import Service, User, UserOAuth2Account
from area.kit.http import Client, RequestFailed
from area.kit.net import Blocked
from area.kit.oauth2 import Quirks
from area.kit.problems import Conflict, Forbidden, Invalid, NotFound
from area.kit.sentences import Sentence
from area.registry import Registry
from area.sdk import Account, Context, OAuth2, Permanent
from area.sdk import Service as Connector
from area.settings import OIDC, Settings

DISCOVERY_FOR = 3600.0  # seconds

_discovered: dict[str, tuple[float, Mapping[str, Any]]] = {}


class ProviderView(BaseModel):
    """A provider to log in with."""

    provider: str
    name: str
    icon_path: str | None


class LoginView(BaseModel):
    """A provider linked to the account. `email` is the address it has verified, if any.

    The `only_way_in` can't be removed.
    """

    provider: str
    name: str
    icon_path: str | None
    email: str | None
    only_way_in: bool
    created_at: datetime


# Which


def offered(registry: Registry, settings: Settings) -> list[ProviderView]:
    """The providers configured on this server."""
    providers = [
        ProviderView(provider=service.slug, name=registrations.vendor_of(service), icon_path=_icon(service))
        for service in registry.services.values()
        if registrations.login_of(service) and registrations.keys_of(service, settings)
    ]
    providers.sort(key=lambda provider: provider.name.lower())
    if settings.client(OIDC):
        providers.append(ProviderView(provider=OIDC, name=settings.oidc_name, icon_path=None))
    return providers


async def provider(client: Client, registry: Registry, settings: Settings, slug: str) -> tuple[Connector, OAuth2]:
    """A provider, ready for use. Raises `NotFound`, or `Conflict` if the issuer's discovery can't be fetched."""
    if all(provider.provider != slug for provider in offered(registry, settings)):
        raise NotFound("Signing in with %(name)s isn't available.", name=repr(slug))
    connector = await _issuer(client, settings) if slug == OIDC else registry.services[slug]
    login = registrations.login_of(connector)
    assert login is not None  # noqa: S101 - what is offered has it
    return connector, login


def _icon(connector: Connector) -> str:
    return f"/icons/{registrations.client_of(connector)}.svg"


async def _issuer(client: Client, settings: Settings) -> Connector:
    """The OpenID Connect issuer of the settings, by its discovery document (OpenID Connect Discovery 1.0 §4)."""
    issuer = (settings.oidc_issuer or "").rstrip("/")
    entry = _discovered.get(issuer)
    if entry is None or entry[0] < time.monotonic():
        entry = time.monotonic() + DISCOVERY_FOR, await _discover(client, issuer)
        _discovered[issuer] = entry
    document = entry[1]
    methods = document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    userinfo = document["userinfo_endpoint"]

    async def account(ctx: Context) -> Account:
        """The account, from userinfo (Core §5.3). The token came directly from the issuer, so no ID token needs
        checking.
        """
        claims = await ctx.http.get(userinfo)
        subject = str(claims.get("sub") or "")
        if not subject:
            raise Permanent(Sentence("It has no subject."))
        return Account(
            id=_bounded(f"{issuer} {subject}"),
            name=str(claims.get("preferred_username") or claims.get("name") or subject),
            email=claims.get("email"),
            email_verified=claims.get("email_verified") in (True, "true"),
        )

    return Connector(
        OIDC,
        settings.oidc_name,
        "",
        base_url=userinfo,
        auth=OAuth2(
            document["authorization_endpoint"],
            document["token_endpoint"],
            account,
            login_scopes=("openid", "profile", "email"),
            quirks=Quirks(client_auth="basic" if "client_secret_basic" in methods else "post"),
        ),
    )


async def _discover(client: Client, issuer: str) -> Mapping[str, Any]:
    try:
        answer = await client.request("GET", f"{issuer}/.well-known/openid-configuration", max_bytes=1_000_000)
        document = answer.json() if answer.status == 200 else None
    except (RequestFailed, Blocked) as error:
        raise Conflict("The sign-in provider is unavailable: %(error)s", error=error) from None
    if not isinstance(document, dict) or str(document.get("issuer", "")).rstrip("/") != issuer:
        raise Conflict("The sign-in provider is misconfigured: AREA_OIDC_ISSUER doesn't match its discovery document.")
    for name in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint"):
        if not isinstance(document.get(name), str):
            raise Conflict("The sign-in provider is misconfigured: its discovery document has no %(name)s.", name=name)
    return document


# Who


async def known(session: AsyncSession, connector: Connector, account: Account) -> int | None:
    """The user linked to the provider's account, if any."""
    user_id: int | None = await session.scalar(
        select(UserOAuth2Account.user_id).where(
            UserOAuth2Account.service_id == await _row(session, connector),
            UserOAuth2Account.service_account_id == _bounded(account.id),
        )
    )
    return user_id


async def arrive(
    session: AsyncSession,
    settings: Settings,
    connector: Connector,
    account: Account,
    *,
    invitation: str | None = None,
    address: str | None = None,
) -> UserView:
    """The account of a user returning from a provider, created if needed. For the role of the e-mail address, see
    above.

    Raises `Forbidden` if it is disabled or registration is closed to them, `Conflict` if another account has the e-mail
    address, and `Invalid` if the provider shares none, or an unverified one where addresses must be confirmed.
    """
    await accounts.alone(session)
    user_id = await known(session, connector, account)
    if user_id is None:
        if settings.registration == "confirm" and not account.email_verified and await accounts.anybody(session):
            # before looking up the address, which may be anyone's
            raise Invalid(
                "%(name)s hasn't verified your e-mail address. Sign up with a password, then link %(name)s in your"
                " profile.",
                name=registrations.vendor_of(connector),
            )
        user_id = await _by_email(session, connector, account)
        if user_id is None:
            if not account.email:
                raise Invalid(
                    "%(name)s doesn't share your e-mail address. Sign up with a password, then link %(name)s in your"
                    " profile.",
                    name=registrations.vendor_of(connector),
                )
            user = await accounts.register_provided(
                session, settings, email=account.email, name=account.name, invitation=invitation, address=address
            )
            user_id = user.id
        await _link(session, user_id, connector, account, address)
    user = await accounts.user(session, user_id)
    if not user.is_active:
        raise Forbidden("This account is disabled. Ask an administrator.")
    await session.execute(
        update(User).where(User.id == user_id).values(last_connection_at=func.now(), updated_at=User.updated_at)
    )
    return await accounts.user(session, user_id)


async def _by_email(session: AsyncSession, connector: Connector, account: Account) -> int | None:
    """The owner of the verified e-mail address. Raises `Conflict` if the address isn't proven."""
    email = _email(account)
    if email is None:
        return None
    user_id = await session.scalar(select(User.id).where(User.email == email))
    if user_id is None:
        return None
    proven = select(UserOAuth2Account.user_id).where(
        UserOAuth2Account.user_id == user_id, UserOAuth2Account.email == email
    )
    same = proven.where(UserOAuth2Account.service_id == await _row(session, connector))
    # another account at the same provider with the same verified address belongs to another person
    if (
        not account.email_verified
        or await session.scalar(proven.limit(1)) is None
        or await session.scalar(same.limit(1))
    ):
        raise Conflict(
            "This e-mail address already has an account. Sign in to it first, then link %(name)s in your profile.",
            name=registrations.vendor_of(connector),
        )
    return int(user_id)


async def attach(
    session: AsyncSession, user_id: int, connector: Connector, account: Account, address: str | None = None
) -> None:
    """Link the provider to a signed-in user's account. Raises `Conflict`."""
    await accounts.alone(session)
    owner = await known(session, connector, account)
    if owner == user_id:
        return
    if owner is not None:
        raise Conflict("This %(name)s account is linked to another account.", name=registrations.vendor_of(connector))
    other = select(UserOAuth2Account.user_id).where(
        UserOAuth2Account.user_id == user_id, UserOAuth2Account.service_id == await _row(session, connector)
    )
    if await session.scalar(other):
        raise Conflict(
            "You already sign in with another %(name)s account. Remove it first.",
            name=registrations.vendor_of(connector),
        )
    await _link(session, user_id, connector, account, address)


async def logins(session: AsyncSession, registry: Registry, settings: Settings, user_id: int) -> list[LoginView]:
    """The providers linked to the user's account."""
    rows = await session.execute(
        select(Service.name, UserOAuth2Account.email, UserOAuth2Account.created_at)
        .join(Service, Service.id == UserOAuth2Account.service_id)
        .where(UserOAuth2Account.user_id == user_id)
        .order_by(UserOAuth2Account.created_at)
    )
    slugs = {name: service.slug for name, service in registry.by_name.items()} | {registrations.OIDC_ROW: OIDC}
    names = {slug: registrations.vendor_of(service) for slug, service in registry.services.items()} | {
        OIDC: settings.oidc_name
    }
    linked = [(slugs[row.name], row) for row in rows if row.name in slugs]
    usable = {provider.provider for provider in offered(registry, settings)} & {slug for slug, _ in linked}
    has_password = (await accounts.user(session, user_id)).has_password
    return [
        LoginView(
            provider=slug,
            name=names[slug],
            icon_path=None if slug == OIDC else _icon(registry.services[slug]),
            email=row.email,
            only_way_in=not has_password and not usable - {slug},
            created_at=row.created_at,
        )
        for slug, row in linked
    ]


async def detach(
    session: AsyncSession,
    registry: Registry,
    settings: Settings,
    user_id: int,
    slug: str,
    address: str | None = None,
) -> None:
    """Unlink a provider. Raises `NotFound`, or `Conflict` for the last way to log in."""
    await accounts.alone(session)
    mine = await logins(session, registry, settings, user_id)
    login = next((login for login in mine if login.provider == slug), None)
    if login is None:
        raise NotFound("You don't sign in with %(name)s.", name=repr(slug))
    if login.only_way_in:
        raise Conflict(
            "%(name)s is your only way to sign in. Set a password or link another provider first.", name=login.name
        )
    name = registrations.OIDC_ROW if slug == OIDC else registry.services[slug].name
    service = select(Service.id).where(Service.name == name).scalar_subquery()
    await session.execute(
        delete(UserOAuth2Account).where(UserOAuth2Account.user_id == user_id, UserOAuth2Account.service_id == service)
    )
    await audit.record(session, user_id, "login.removed", slug, None, address)


async def _link(
    session: AsyncSession, user_id: int, connector: Connector, account: Account, address: str | None
) -> None:
    await session.execute(
        insert(UserOAuth2Account).values(
            service_id=await _row(session, connector),
            service_account_id=_bounded(account.id),
            user_id=user_id,
            email=_email(account) if account.email_verified else None,
        )
    )
    await audit.record(session, user_id, "login.added", connector.slug, None, address)


async def _row(session: AsyncSession, connector: Connector) -> int:
    """The provider's row. The issuer's, which offers nothing else, is created on first use."""
    name = registrations.OIDC_ROW if connector.slug == OIDC else connector.name
    service_id: int | None = await session.scalar(select(Service.id).where(Service.name == name))
    if service_id is None and connector.slug == OIDC:
        row = insert(Service).values(name=name, description="Log in with it", requires_auth=True, is_active=False)
        await session.execute(row.on_conflict_do_nothing())
        service_id = await session.scalar(select(Service.id).where(Service.name == name))
    if service_id is None:
        raise NotFound("%(name)s is not in the catalog yet.", name=connector.name)
    return service_id


def _email(account: Account) -> str | None:
    """The normalised address. None if it is invalid."""
    try:
        return rules.check_email(account.email) if account.email else None
    except ValueError:
        return None


def _bounded(identity: str) -> str:
    """The provider's user id, bounded to the column's size."""
    return identity if len(identity) <= 255 else f"sha256:{hashlib.sha256(identity.encode()).hexdigest()}"
