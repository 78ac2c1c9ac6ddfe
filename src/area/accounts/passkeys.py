"""Passkeys (WebAuthn, https://www.w3.org/TR/webauthn-3/): as a second factor, and to sign in without a password.

Each is discoverable and verifies its user (fingerprint, PIN), so one counts as two factors.
"""

import ipaddress
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
import structlog
from pydantic import BaseModel
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from area import audit
from area.accounts import alerts, tickets, two_factor
from area.accounts.views import UserView
from area.db.models import Passkey, TwoFactor
from area.kit.problems import Conflict, Invalid, NotFound
from area.kit.sentences import Sentence
from area.settings import Settings

log = structlog.get_logger(__name__)

MAX_PASSKEYS = 20
Options = dict[str, Any]  # for navigator.credentials, binary values in base64url


class PasskeyView(BaseModel):
    """A passkey as its owner sees it."""

    id: int
    name: str
    created_at: datetime
    last_used_at: datetime | None


def possible(settings: Settings) -> bool:
    """Whether browsers allow passkeys at the public URL: https with a host name, or localhost."""
    url = urlsplit(settings.base_url)
    host = url.hostname or ""
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return url.scheme == "https"
    return False


def _origin(settings: Settings) -> tuple[str, str]:
    """The relying party's id and origin. Raises `Conflict`."""
    if not possible(settings):
        raise Conflict(
            "Passkeys need AREA_PUBLIC_URL to be https:// with a host name, or http://localhost. It is %(url)s.",
            url=settings.base_url,
        )
    url = urlsplit(settings.base_url)
    return str(url.hostname), f"{url.scheme}://{url.netloc}"


async def of_user(session: AsyncSession, user_id: int) -> list[PasskeyView]:
    """The user's passkeys, newest first."""
    columns = (Passkey.id, Passkey.name, Passkey.created_at, Passkey.last_used_at)
    rows = await session.execute(select(*columns).where(Passkey.user_id == user_id).order_by(Passkey.id.desc()))
    return [PasskeyView(**row._mapping) for row in rows]  # noqa: SLF001 - Row's public API


# Add one


async def creation(session: AsyncSession, settings: Settings, user: UserView, ticket: str) -> Options:
    """Options for the browser to create a passkey. The ticket is for `add-passkey`. Raises `Conflict`."""
    from webauthn import generate_registration_options, options_to_json
    from webauthn.helpers import base64url_to_bytes
    from webauthn.helpers.structs import (
        AuthenticatorSelectionCriteria,
        PublicKeyCredentialDescriptor,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    host, _ = _origin(settings)
    have = (await session.scalars(select(Passkey.credential_id).where(Passkey.user_id == user.id))).all()
    if len(have) >= MAX_PASSKEYS:
        raise Conflict("You already have %(number)s passkeys. Remove one you no longer use.", number=MAX_PASSKEYS)
    options = generate_registration_options(
        rp_id=host,
        rp_name="AREA",
        user_id=await _handle(session, user.id),
        user_name=user.email,
        user_display_name=user.username,
        challenge=tickets.challenge(ticket),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[
            PublicKeyCredentialDescriptor(id=base64url_to_bytes(credential_id)) for credential_id in have
        ],
    )
    public: Options = orjson.loads(options_to_json(options))
    return public


async def add(
    session: AsyncSession,
    settings: Settings,
    user: UserView,
    ticket: str,
    credential: Mapping[str, Any],
    name: str,
    address: str | None = None,
) -> tuple[PasskeyView, list[str]]:
    """Store the created passkey. Returns it, and recovery codes if there were none. Raises `Invalid`, `Conflict`,
    `Gone`.
    """
    from webauthn import verify_registration_response
    from webauthn.helpers import bytes_to_base64url

    host, origin = _origin(settings)
    try:
        verified = verify_registration_response(
            credential=dict(credential),
            expected_challenge=tickets.challenge(ticket),
            expected_rp_id=host,
            expected_origin=origin,
            require_user_verification=True,
        )
    except Exception as error:  # noqa: BLE001 - the library's own, and what hostile CBOR raises below it
        raise _refused(error) from None
    await tickets.use_up(session, ticket)
    values = {
        "user_id": user.id,
        "credential_id": bytes_to_base64url(verified.credential_id),
        "public_key": bytes_to_base64url(verified.credential_public_key),
        "sign_count": verified.sign_count,
        "name": name[:100],
    }
    row = upsert(Passkey).values(values).on_conflict_do_nothing().returning(Passkey.id)
    passkey_id = await session.scalar(row)
    if passkey_id is None:
        raise Conflict("This passkey is already registered.")
    await audit.record(session, user.id, "two_factor.passkey_added", f"passkey {passkey_id}", {"name": name}, address)
    await alerts.alert(session, user.id, Sentence("A passkey was added to your account"))
    codes = await two_factor.first_codes(session, user.id)
    return next(passkey for passkey in await of_user(session, user.id) if passkey.id == passkey_id), codes


async def remove(
    session: AsyncSession, settings: Settings, user: UserView, passkey_id: int, address: str | None = None
) -> None:
    """Delete a passkey. Raises `NotFound`, or `Conflict` if it is the only second factor where one is required."""
    await two_factor.keep_one(session, settings, user, app=0, passkeys=1)
    mine = (Passkey.id == passkey_id, Passkey.user_id == user.id)
    if await session.scalar(delete(Passkey).where(*mine).returning(Passkey.id)) is None:
        raise NotFound("No such passkey.")
    await two_factor.drop_unused_codes(session, user.id)
    await audit.record(session, user.id, "two_factor.passkey_removed", f"passkey {passkey_id}", None, address)
    await alerts.alert(session, user.id, Sentence("A passkey was removed from your account"))


# Use one


async def request(session: AsyncSession, settings: Settings, ticket: str, user_id: int | None = None) -> Options:
    """Options for the browser to use a passkey: one of the user's or, without a user, any it has. Raises `Conflict`."""
    from webauthn import generate_authentication_options, options_to_json
    from webauthn.helpers import base64url_to_bytes
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor, UserVerificationRequirement

    host, _ = _origin(settings)
    mine = select(Passkey.credential_id).where(Passkey.user_id == user_id)
    have = (await session.scalars(mine)).all() if user_id is not None else []
    options = generate_authentication_options(
        rp_id=host,
        challenge=tickets.challenge(ticket),
        allow_credentials=[
            PublicKeyCredentialDescriptor(id=base64url_to_bytes(credential_id)) for credential_id in have
        ],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    public: Options = orjson.loads(options_to_json(options))
    return public


async def used(
    session: AsyncSession, settings: Settings, ticket: str, credential: Mapping[str, Any], user_id: int | None = None
) -> int:
    """The user whose passkey answered the ticket's challenge; must be `user_id` if given. Uses up the ticket. Raises
    `Invalid`, `Gone`.
    """
    from webauthn import verify_authentication_response
    from webauthn.helpers import base64url_to_bytes

    host, origin = _origin(settings)
    credential_id = credential.get("id")
    row = None
    if isinstance(credential_id, str):
        statement = select(Passkey).where(Passkey.credential_id == credential_id[:1400]).with_for_update()
        row = (await session.scalars(statement)).one_or_none()
    if row is None or (user_id is not None and row.user_id != user_id):
        raise Invalid.field("passkey", "Unknown passkey. Use another one.")
    try:
        answer = verify_authentication_response(
            credential=dict(credential),
            expected_challenge=tickets.challenge(ticket),
            expected_rp_id=host,
            expected_origin=origin,
            credential_public_key=base64url_to_bytes(row.public_key),
            credential_current_sign_count=row.sign_count,
            require_user_verification=True,
        )
    except Exception as error:  # noqa: BLE001 - the library's own, and what hostile CBOR raises below it
        raise _refused(error) from None
    if not await _is_handle_of(session, row.user_id, credential, asked_for=user_id):
        raise _refused(ValueError("the user handle is another account's"))
    await tickets.use_up(session, ticket)
    values = {"sign_count": answer.new_sign_count, "last_used_at": func.now()}
    await session.execute(update(Passkey).where(Passkey.id == row.id).values(values))
    return int(row.user_id)


async def _is_handle_of(
    session: AsyncSession, owner_id: int, credential: Mapping[str, Any], *, asked_for: int | None
) -> bool:
    """Whether the answer's user handle is the owner's. It may be missing if the user was known before the passkey was
    asked for (https://www.w3.org/TR/webauthn-3/#sctn-verifying-assertion, step 6).
    """
    user_handle = credential["response"].get("userHandle")
    if not user_handle:
        return asked_for is not None
    handle = await session.scalar(select(TwoFactor.handle).where(TwoFactor.user_id == owner_id))
    return isinstance(user_handle, str) and handle is not None and user_handle.rstrip("=") == handle


def _refused(error: Exception) -> Invalid:
    log.info("passkey.refused", error=f"{type(error).__name__}: {error}"[:300])
    return Invalid.field("passkey", "The passkey was not accepted. Try again, or use another one.")


async def _handle(session: AsyncSession, user_id: int) -> bytes:
    """The account's handle for authenticators: random, so that it reveals nothing (WebAuthn 14.6.1)."""
    from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

    row = upsert(TwoFactor).values(user_id=user_id, handle=bytes_to_base64url(secrets.token_bytes(32)))
    handle = func.coalesce(TwoFactor.handle, row.excluded.handle)
    row = row.on_conflict_do_update(index_elements=["user_id"], set_={"handle": handle})
    return base64url_to_bytes((await session.execute(row.returning(TwoFactor.handle))).scalar_one() or "")
