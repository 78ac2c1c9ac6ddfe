"""Accounts: registration, profile, and administration."""

import itertools
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from area import audit
from area.accounts import invitations, pictures, places, rules, sessions, setup, signups
from area.accounts.views import Identity, UserView, find, user, users
from area.db.locks import Lock
from area.db.models import Area, User, UserSettings
from area.db.notify import Channel
from area.db.session import lock, notify
from area.kit.problems import Conflict, Forbidden
from area.settings import Settings

__all__ = [
    "Identity",
    "UserView",
    "alone",
    "anybody",
    "change_password",
    "change_picture",
    "change_profile",
    "change_user",
    "create",
    "delete_account",
    "delete_user",
    "find",
    "finish_registration",
    "register",
    "register_provided",
    "user",
    "users",
]


async def anybody(session: AsyncSession) -> bool:
    """Whether any account exists."""
    return await session.scalar(select(User.id).limit(1)) is not None


async def register(
    session: AsyncSession,
    settings: Settings,
    *,
    email: str,
    username: str,
    password: str,
    invitation: str | None = None,
    setup_code: str | None = None,
    language: str = "en",
    timezone: str | None = None,
    address: str = "",
) -> UserView | None:
    """Create an account, in UTC unless a time zone is given. The first one is the administrator, whatever the
    registration mode, and may need the set-up code.

    Returns None if the address must be confirmed first: a link is mailed to it, in `language`, and
    `finish_registration` follows.

    Raises `Invalid` for invalid fields or a wrong set-up code; `Conflict` for a taken username or, if the account is
    created immediately, e-mail address; `Forbidden` if registration is closed or the invitation is missing or invalid;
    and `TooMany`.
    """
    form = {"email": email, "username": username, "password": password, **_zone(timezone)}
    values = rules.checked(form, own=(email, username))
    hashed = await rules.hash_password(
        values["password"]
    )  # before the session takes a connection, which it would hold meanwhile
    await lock(session, Lock.ACCOUNTS, "")
    first = not await anybody(session)  # under the lock: of two simultaneous first accounts, only one is the first
    if first:
        setup.check(settings, setup_code)
    elif not await invitations.let_in(session, settings, invitation):
        await _free(session, email=None, username=values["username"])
        await signups.keep(
            session,
            email=values["email"],
            username=values["username"],
            password_hash=hashed,
            language=language,
            address=address,
        )
        return None
    user = await _insert(
        session, values["email"], values["username"], hashed, is_admin=first, logs_in=True, timezone=timezone
    )
    await audit.record(session, user.id, "account.registered", f"user {user.id}", {"admin": first}, address)
    return user


async def finish_registration(
    session: AsyncSession,
    settings: Settings,
    token: str,
    username: str | None,
    address: str,
    timezone: str | None = None,
) -> UserView:
    """Create the account of a registration whose link was followed. `username` replaces the one chosen first.

    Raises `Gone`, `Invalid`, `Forbidden` if registration has been closed since, and `Conflict` if the e-mail address or
    username has been taken.
    """
    await lock(session, Lock.ACCOUNTS)
    await invitations.let_in(session, settings, None)
    pending = await signups.find(session, token)
    values = rules.checked({**({"username": username} if username else {}), **_zone(timezone)})
    name = values.get("username", pending.username)
    user = await _insert(
        session, pending.email, name, pending.password_hash, is_admin=False, logs_in=True, timezone=timezone
    )
    await signups.use_up(session, pending)
    await audit.record(
        session, user.id, "account.registered", f"user {user.id}", {"admin": False, "confirmed": True}, address
    )
    return user


async def create(
    session: AsyncSession, *, email: str, username: str, password: str, is_admin: bool = False
) -> UserView:
    """Create an account as an administrator, whatever the registration mode. Raises as `register` does."""
    values = rules.checked({"email": email, "username": username, "password": password}, own=(email, username))
    hashed = await rules.hash_password(values["password"])
    await lock(session, Lock.ACCOUNTS, "")
    first = not await anybody(session)
    user = await _insert(session, values["email"], values["username"], hashed, is_admin=is_admin or first)
    await audit.record(session, None, "account.created", f"user {user.id}", {"admin": user.is_admin})
    return user


async def register_provided(
    session: AsyncSession,
    settings: Settings,
    *,
    email: str,
    name: str,
    invitation: str | None = None,
    address: str | None = None,
) -> UserView:
    """`register` for a user of a log-in provider, without a password. `name` becomes the username if possible.

    Raises `Forbidden` if the first account needs the set-up code, since a provider's log-in can't ask for it.
    """
    email = rules.checked({"email": email})["email"]
    await alone(session)
    first = not await anybody(session)
    if not first:
        await invitations.let_in(session, settings, invitation)
    elif setup.code(settings) is not None:
        raise Forbidden("Create the first account with a password and the set-up code, then sign in with a provider.")
    username = await _free_username(session, name, email)
    user = await _insert(session, email, username, None, is_admin=first, logs_in=True)
    await audit.record(
        session, user.id, "account.registered", f"user {user.id}", {"admin": first, "provider": True}, address
    )
    return user


async def _free_username(session: AsyncSession, *wishes: str) -> str:
    """The first of the wishes that is a valid username, numbered if it is taken."""
    for wish in (*wishes, "user"):
        try:
            name = rules.check_username(wish.partition("@")[0][:90])
        except ValueError:
            continue
        taken = set(
            await session.scalars(
                select(func.lower(User.username)).where(func.starts_with(func.lower(User.username), func.lower(name)))
            )
        )
        numbers = (f"{name}{number}" for number in itertools.count(2))
        return next(wish for wish in itertools.chain([name], numbers) if wish.lower() not in taken)
    raise AssertionError("`user` can be a username")


async def alone(session: AsyncSession) -> None:
    """Lock: until the transaction ends, no one else can add an account or a way to log in."""
    await lock(session, Lock.ACCOUNTS, "")


def _zone(timezone: str | None) -> dict[str, str]:
    return {} if timezone is None else {"timezone": timezone}


async def _insert(
    session: AsyncSession,
    email: str,
    username: str,
    hashed: str | None,
    *,
    is_admin: bool,
    logs_in: bool = False,
    timezone: str | None = None,
) -> UserView:
    await _free(session, email=email, username=username)
    values: dict[str, Any] = {"email": email, "username": username, "password_hash": hashed, "is_admin": is_admin}
    if logs_in:
        values["last_connection_at"] = func.now()
    user_id = (await session.execute(insert(User).values(values).returning(User.id))).scalar_one()
    if timezone is not None:
        await session.execute(insert(UserSettings).values(user_id=user_id, timezone=timezone))
    return await user(session, user_id)


async def _free(session: AsyncSession, *, email: str | None, username: str | None, but: int = 0) -> None:
    """Raise `Conflict` if a user other than `but` has the e-mail address or, ignoring case, the username."""
    if email and await session.scalar(select(User.id).where(User.email == email, User.id != but)):
        raise Conflict("This e-mail address already has an account. Sign in, or use another address.")
    same_name = func.lower(User.username) == func.lower(literal(username))
    if username and await session.scalar(select(User.id).where(same_name, User.id != but)):
        raise Conflict("This username is taken. Choose another one.")


# The account itself


async def change_profile(
    session: AsyncSession, user_id: int, changes: Mapping[str, Any], address: str | None = None
) -> UserView:
    """Change any of `email`, `username`, `icon_path`, `timezone` and `language`. A new e-mail address needs `prove`
    first.

    Raises `Invalid` or `Conflict`.
    """
    before = await user(session, user_id)
    changes = {name: value for name, value in rules.checked(changes).items() if value != getattr(before, name)}
    if not changes:
        return before
    values = dict(changes)
    own = {name: values.pop(name) for name in ("timezone", "language") if name in values}
    if own:
        row = upsert(UserSettings).values(user_id=user_id, **own)
        await session.execute(row.on_conflict_do_update(index_elements=["user_id"], set_=own))
    if values:
        await lock(session, Lock.ACCOUNTS, "")
        await _free(session, email=values.get("email"), username=values.get("username"), but=user_id)
        await session.execute(update(User).where(User.id == user_id).values(values))
    if "icon_path" in values:
        await pictures.forget(session, user_id, but=values["icon_path"])
    await audit.record(session, user_id, "account.changed", f"user {user_id}", {"fields": sorted(changes)}, address)
    return await user(session, user_id)


async def change_picture(
    session: AsyncSession, user_id: int, picture: bytes | None, address: str | None = None
) -> UserView:
    """Set or remove the profile picture, which `pictures.shrink` made."""
    icon_path = await pictures.keep(session, user_id, picture) if picture else None
    return await change_profile(session, user_id, {"icon_path": icon_path}, address)


async def change_password(
    session: AsyncSession, user_id: int, new: str, *, keep: int, tokens: bool = False, address: str | None = None
) -> None:
    """Set a new password, after `prove`. Ends every session but `keep`, and with `tokens` the API tokens. Raises
    `Invalid`.
    """
    account = await user(session, user_id)
    chosen = rules.checked({"new_password": new}, own=(account.email, account.username))["new_password"]
    hashed = await rules.hash_password(chosen)
    await session.execute(update(User).where(User.id == user_id).values(password_hash=hashed))
    ended = {"sessions_ended": await sessions.end_sessions(session, user_id, keep=keep)}
    if tokens:
        ended["tokens_ended"] = await sessions.end_tokens(session, user_id)
    await audit.record(session, user_id, "account.password_changed", f"user {user_id}", ended, address)
    await places.forget(session, user_id)


async def delete_account(session: AsyncSession, user_id: int, address: str | None = None) -> None:
    """Delete the account, after `prove`, and everything in it. Raises `Conflict` for the last admin if there are other
    accounts.

    The only account can't be deleted either: the next visitor would become the administrator. A worker then revokes
    its tokens at the vendors, and ends its subscriptions (`engine.cleanups`).
    """
    await _delete(session, user_id)
    await audit.record(session, None, "account.deleted", f"user {user_id}", None, address)


async def delete_user(
    session: AsyncSession, admin_id: int | None, user_id: int, address: str | None = None
) -> UserView:
    """Delete another account (from the CLI: any) with everything in it. Returns what it was.

    Raises `NotFound`, and `Conflict` as `delete_account` does, or for one's own account.
    """
    deleted = await user(session, user_id)
    if user_id == admin_id:
        raise Conflict("To delete your own account, use your profile.")
    await _delete(session, user_id)
    await audit.record(
        session, admin_id, "admin.user_deleted", f"user {user_id}", {"username": deleted.username}, address
    )
    return deleted


async def _delete(session: AsyncSession, user_id: int) -> None:
    await lock(session, Lock.ACCOUNTS, "")
    if not await session.scalar(select(User.id).where(User.id != user_id).limit(1)):
        raise Conflict("You can't delete the only account. To remove this installation, delete its data.")
    await _keep_an_admin(session, user_id)
    from area import areas  # heavy, and needed here only
    from area.areas import links

    ids = list(await session.scalars(select(Area.id).where(Area.user_id == user_id)))
    for area_id in await links.last_first(session, user_id, ids):
        await areas.remove(session, user_id, area_id)
    await session.execute(delete(User).where(User.id == user_id))
    await notify(session, Channel.ACCESS_CHANGED, str(user_id))


async def _keep_an_admin(session: AsyncSession, user_id: int) -> None:
    """Raise `Conflict` if other accounts would be left without an active admin."""
    is_admin = await session.scalar(select(User.is_admin).where(User.id == user_id))
    others = await session.scalar(select(User.id).where(User.id != user_id).limit(1))
    left = await session.scalar(select(User.id).where(User.id != user_id, User.is_admin, User.is_active).limit(1))
    if is_admin and others and not left:
        raise Conflict("Make someone else an administrator first: one active administrator must remain.")


# Administration


async def change_user(
    session: AsyncSession,
    admin_id: int | None,
    user_id: int,
    *,
    is_admin: bool | None = None,
    is_active: bool | None = None,
    password: str | None = None,
    address: str | None = None,
) -> UserView:
    """Grant or revoke the administrator role, enable or disable, or reset the password of another account (from the
    CLI: any).

    Disabling ends the account's sessions immediately and suspends its API tokens; a new password ends both for good.
    Raises `NotFound`, `Invalid`, and `Conflict` for the last active admin.
    """
    values: dict[str, Any] = {
        name: value for name, value in (("is_admin", is_admin), ("is_active", is_active)) if value is not None
    }
    if password is not None:
        account = await user(session, user_id)
        chosen = rules.checked({"password": password}, own=(account.email, account.username))["password"]
        values["password_hash"] = await rules.hash_password(chosen)
    await lock(session, Lock.ACCOUNTS, "")
    await user(session, user_id)
    if is_admin is False or is_active is False:
        await _keep_an_admin(session, user_id)
    if values:
        await session.execute(update(User).where(User.id == user_id).values(values))
    if is_active is False or password is not None:
        await sessions.end_sessions(session, user_id)
    if password is not None:
        await sessions.end_tokens(session, user_id)
    if is_admin is not None:
        await notify(session, Channel.ACCESS_CHANGED, str(user_id))
    if is_active is not None:  # the engine caches whose AREAs can run
        for area_id in await session.scalars(select(Area.id).where(Area.user_id == user_id)):
            await notify(session, Channel.AREA_CHANGED, str(area_id))
    done = {"is_admin": is_admin, "is_active": is_active, "password": None if password is None else "reset"}
    detail = {name: value for name, value in done.items() if value is not None}
    await audit.record(session, admin_id, "admin.user_changed", f"user {user_id}", detail, address)
    return await user(session, user_id)
