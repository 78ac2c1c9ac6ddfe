"""Second factor: codes of an authenticator app (TOTP, RFC 6238) and recovery codes. For passkeys, see `passkeys`."""

import secrets
from datetime import timedelta
from typing import Any

import orjson
from pydantic import BaseModel
from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from area import audit
from area.accounts import alerts
from area.accounts.views import UserView, user
from area.db import contexts
from area.db.models import Passkey, RecoveryCode, TwoFactor
from area.kit import clock, crypto
from area.kit.crypto import Keyring, Undecryptable
from area.kit.problems import Conflict, Gone, Invalid
from area.kit.sentences import Sentence
from area.settings import Settings

ISSUER = "AREA"
STEP = 30  # seconds
CODES = 10
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # without look-alikes
SETUP = timedelta(minutes=30)
WRONG = "Incorrect code. Codes change every 30 seconds; check your device's clock."


class Totp(BaseModel):
    """A TOTP secret awaiting its first code: as text, as a URI for apps, and encrypted in `setup`, to be sent back."""

    secret: str
    uri: str
    setup: str


class Status(BaseModel):
    """The account's second factors."""

    app: bool
    recovery_codes: int
    passkeys: int
    required: bool


def required(settings: Settings, user: UserView) -> bool:
    """Whether this account must have a second factor."""
    rule = settings.require_two_factor
    return rule == "everybody" or (rule == "admins" and user.is_admin)


async def status(session: AsyncSession, settings: Settings, user: UserView) -> Status:
    """The account's second factors."""
    app = select(TwoFactor.user_id).where(TwoFactor.user_id == user.id, TwoFactor.secret.is_not(None))
    codes = select(func.count()).select_from(RecoveryCode).where(RecoveryCode.user_id == user.id)
    keys = select(func.count()).select_from(Passkey).where(Passkey.user_id == user.id)
    return Status(
        app=await session.scalar(app) is not None,
        recovery_codes=await session.scalar(codes) or 0,
        passkeys=await session.scalar(keys) or 0,
        required=required(settings, user),
    )


# The app


def new_app(keyring: Keyring, user: UserView) -> Totp:
    """A new secret, which takes effect once `confirm` receives a code."""
    import pyotp

    secret = pyotp.random_base32()
    ends = (clock.now() + SETUP).timestamp()
    sealed = keyring.encrypt(orjson.dumps([secret, ends]).decode(), contexts.second_factor_setup(user.id))
    return Totp(
        secret=secret, uri=pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=ISSUER), setup=sealed
    )


def opened(keyring: Keyring, user: UserView, setup: str) -> Totp:
    """The secret in a `setup` from `new_app`. Raises `Gone`."""
    import pyotp

    try:
        secret, ends = orjson.loads(keyring.decrypt(setup, contexts.second_factor_setup(user.id)))
    except Undecryptable:
        raise Gone("This took too long. Start again.") from None
    if not 0 < ends - clock.now().timestamp() <= 2 * SETUP.total_seconds():  # later: made by a clock that was ahead
        raise Gone("This took too long. Start again.")
    return Totp(
        secret=secret, uri=pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=ISSUER), setup=setup
    )


async def confirm(
    session: AsyncSession, keyring: Keyring, user: UserView, setup: str, code: str, address: str | None = None
) -> list[str]:
    """Start using this app. Returns recovery codes if there were none. Raises `Gone`, `Invalid`."""
    secret = opened(keyring, user, setup).secret
    step = _step_of(secret, code)
    if step is None:
        raise Invalid.field("code", WRONG)
    values = {"secret": keyring.encrypt(secret, contexts.second_factor(user.id)), "last_step": step}
    row = upsert(TwoFactor).values(user_id=user.id, **values)
    await session.execute(row.on_conflict_do_update(index_elements=["user_id"], set_=values))
    await audit.record(session, user.id, "two_factor.app_added", f"user {user.id}", None, address)
    await alerts.alert(session, user.id, Sentence("An authenticator app was added to your account"))
    return await first_codes(session, user.id)


async def remove_app(session: AsyncSession, settings: Settings, user: UserView, address: str | None = None) -> None:
    """Remove the app. Raises `Conflict` if it is the only second factor where one is required."""
    await keep_one(session, settings, user, app=1, passkeys=0)
    await session.execute(update(TwoFactor).where(TwoFactor.user_id == user.id).values(secret=None, last_step=None))
    await drop_unused_codes(session, user.id)
    await audit.record(session, user.id, "two_factor.app_removed", f"user {user.id}", None, address)
    await alerts.alert(session, user.id, Sentence("The authenticator app was removed from your account"))


async def check(session: AsyncSession, keyring: Keyring, user_id: int, code: str) -> str:
    """Use up a code of the app or a recovery code; returns which it was. Raises `Invalid`."""
    entered = "".join(code.split()).replace("-", "").lower()[:100]
    if entered.isdigit():
        row = (await session.execute(select(TwoFactor.secret).where(TwoFactor.user_id == user_id))).scalar_one_or_none()
        step = _step_of(keyring.decrypt(row, contexts.second_factor(user_id)), entered) if row else None
        if step is not None and await _use_step(session, user_id, step):
            return "app"
    else:
        mine = (RecoveryCode.user_id == user_id, RecoveryCode.code_hash == crypto.hash_token(entered))
        if await session.scalar(delete(RecoveryCode).where(*mine).returning(RecoveryCode.user_id)) is not None:
            return "recovery_code"
    raise Invalid.field("code", WRONG)


async def _use_step(session: AsyncSession, user_id: int, step: int) -> bool:
    """Whether no code of this or a later time step has been used."""
    later = or_(TwoFactor.last_step.is_(None), TwoFactor.last_step < step)
    used = update(TwoFactor).where(TwoFactor.user_id == user_id, later).values(last_step=step)
    return await session.scalar(used.returning(TwoFactor.user_id)) is not None


def _step_of(secret: str, code: str) -> int | None:
    """The time step of this code: the current one, or one before or after, since clocks differ."""
    import pyotp

    digits = "".join(code.split())
    now = int(clock.now().timestamp()) // STEP
    steps = (now, now - 1, now + 1)
    return next((step for step in steps if secrets.compare_digest(_code(pyotp, secret, step), digits.encode())), None)


def _code(pyotp: Any, secret: str, step: int) -> bytes:
    return str(pyotp.TOTP(secret).generate_otp(step)).encode()


# Recovery codes


async def new_codes(session: AsyncSession, user_id: int, address: str | None = None) -> list[str]:
    """Ten new recovery codes, shown only once; the old ones stop working. Raises `Conflict` without a second factor."""
    if not (await user(session, user_id)).two_factor:
        raise Conflict("Add an app or a passkey before you create recovery codes.")
    await session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    await audit.record(session, user_id, "two_factor.recovery_codes_made", f"user {user_id}", None, address)
    return await first_codes(session, user_id)


async def first_codes(session: AsyncSession, user_id: int) -> list[str]:
    """Ten recovery codes, if there are none yet."""
    if await session.scalar(select(RecoveryCode.user_id).where(RecoveryCode.user_id == user_id).limit(1)) is not None:
        return []
    codes = ["-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(4)) for _ in range(CODES)]
    rows = [{"user_id": user_id, "code_hash": crypto.hash_token(code.replace("-", ""))} for code in codes]
    await session.execute(insert(RecoveryCode), rows)
    return codes


# Removal


async def keep_one(session: AsyncSession, settings: Settings, user: UserView, *, app: int, passkeys: int) -> None:
    """Raise `Conflict` if removing this many apps and passkeys leaves none where a second factor is required."""
    now = await status(session, settings, user)
    if now.required and now.app - app + now.passkeys - passkeys <= 0:
        raise Conflict("A second factor is required here. Add another one before you remove this one.")


async def drop_unused_codes(session: AsyncSession, user_id: int) -> None:
    """Delete recovery codes once there is no second factor."""
    if not (await user(session, user_id)).two_factor:
        await session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))


async def reset(session: AsyncSession, admin_id: int | None, user_id: int, address: str | None = None) -> UserView:
    """Remove an account's second factor, as an administrator. Raises `NotFound`."""
    account = await user(session, user_id)
    for model in (TwoFactor, RecoveryCode, Passkey):
        await session.execute(delete(model).where(model.user_id == user_id))
    await audit.record(session, admin_id, "two_factor.reset", f"user {user_id}", None, address)
    if account.two_factor:
        await alerts.alert(session, user_id, Sentence("An administrator removed the second factor from your account"))
    return await user(session, user_id)
