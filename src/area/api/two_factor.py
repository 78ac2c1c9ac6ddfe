"""The second factor of one's own account, and signing in with it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from area.accounts import passkeys, tickets, two_factor
from area.api.auth import LoggedIn
from area.api.paging import Page
from area.api.problems import answers
from area.api.proof import PasskeyAnswer, Proof
from area.doors import login
from area.doors.body import Route
from area.doors.deps import (
    Address,
    BigId,
    In,
    Line,
    SessionDep,
    SettingUp,
    StateDep,
    VisitorDep,
    not_foreign,
    set_cookie,
)

router = APIRouter(tags=["two-factor"], route_class=Route)

Ticket = Annotated[Line, Field(max_length=1000)]
Code = Annotated[Line, Field(max_length=100, examples=["123456"])]


class SecondFactor(In):
    """What `second_factor_required` asked for: its ticket, and one of the two."""

    ticket: Ticket
    code: Code | None = Field(None, description="Of the authenticator app, or a recovery code")
    credential: dict[str, Any] | None = Field(None, description="The passkey's answer to `passkey`")


class Asked(BaseModel):
    """A challenge for a passkey, for `navigator.credentials`, and the ticket that goes with the answer."""

    ticket: str
    options: dict[str, Any]


class Confirm(In):
    """The first code of an app."""

    setup: Annotated[Line, Field(max_length=2000)] = Field(description="As it was given out")
    code: Code


class NewPasskey(PasskeyAnswer):
    """What the browser made, and what to call it."""

    name: Line = Field(min_length=1, max_length=100, examples=["Laptop"])


class Codes(BaseModel):
    """Recovery codes, shown this once; none when those there are go on being good."""

    recovery_codes: list[str]


class MadePasskey(Codes):
    """The passkey, and recovery codes if there were none."""

    item: passkeys.PasskeyView


@router.post(
    "/auth/second-factor",
    responses=answers(400, 403, 410, 413, 422, 429),
    dependencies=[Depends(not_foreign)],
    summary="Show the second factor",
)
async def second_factor(
    form: SecondFactor, request: Request, response: Response, state: StateDep, session: SessionDep, visitor: VisitorDep
) -> LoggedIn:
    """Go on where logging in was answered with `second_factor_required`. The ticket is good once, for ten minutes."""
    token, user = await login.second_factor(
        state, session, form.ticket, visitor, code=form.code, passkey=form.credential
    )
    set_cookie(response, request, state, token)
    return LoggedIn(token=token, user=user)


@router.post(
    "/auth/passkey/options",
    responses=answers(403, 409),
    dependencies=[Depends(not_foreign)],
    summary="Begin to log in with a passkey",
)
async def passkey_options(state: StateDep, session: SessionDep) -> Asked:
    """A challenge for any passkey that the browser has for this server."""
    ticket = tickets.issue(state.keyring, "passkey")
    return Asked(ticket=ticket, options=await passkeys.request(session, state.settings, ticket))


@router.post(
    "/auth/passkey",
    responses=answers(400, 403, 409, 410, 413, 422),
    dependencies=[Depends(not_foreign)],
    summary="Log in with a passkey",
)
async def passkey_log_in(
    form: PasskeyAnswer,
    request: Request,
    response: Response,
    state: StateDep,
    session: SessionDep,
    visitor: VisitorDep,
) -> LoggedIn:
    """Begin a session without a password: a passkey is both factors."""
    token, user = await login.with_passkey(state, session, form.ticket, form.credential, visitor)
    set_cookie(response, request, state, token)
    return LoggedIn(token=token, user=user)


@router.get("/me/two-factor", responses=answers(401, 403), summary="My second factor")
async def read(identity: SettingUp, state: StateDep, session: SessionDep) -> two_factor.Status:
    """What I have, and whether an administrator asks for it."""
    return await two_factor.status(session, state.settings, identity.user)


@router.post("/me/prove", responses=answers(401, 403, 409), summary="Prove it is me with a passkey")
async def prove_options(identity: SettingUp, state: StateDep, session: SessionDep) -> Asked:
    """A challenge; its ticket and the answer stand in for the password wherever `passkey` is a field."""
    ticket, options = await login.prove_options(state, session, identity)
    return Asked(ticket=ticket, options=options)


@router.post("/me/two-factor/app", responses=answers(400, 401, 403, 410, 413, 422, 429), summary="Begin to add an app")
async def begin_app(
    form: Proof, identity: SettingUp, state: StateDep, session: SessionDep, address: Address
) -> two_factor.Totp:
    """A secret for an authenticator app (TOTP), which counts once it is confirmed by a code; needs the password."""
    await login.prove(state, session, identity, form.proof(), address)
    return two_factor.new_app(state.keyring, identity.user)


@router.post("/me/two-factor/app/confirm", responses=answers(400, 401, 403, 410, 413, 422), summary="Confirm an app")
async def confirm_app(
    form: Confirm, identity: SettingUp, state: StateDep, session: SessionDep, address: Address
) -> Codes:
    """Ask for codes of this app from now on, in place of the one before."""
    codes = await two_factor.confirm(session, state.keyring, identity.user, form.setup, form.code, address)
    return Codes(recovery_codes=codes)


@router.delete(
    "/me/two-factor/app",
    status_code=204,
    responses=answers(400, 401, 403, 409, 410, 413, 422, 429),
    summary="Remove the app",
)
async def remove_app(form: Proof, identity: SettingUp, state: StateDep, session: SessionDep, address: Address) -> None:
    """Ask for no codes any more; needs the password."""
    await login.prove(state, session, identity, form.proof(), address)
    await two_factor.remove_app(session, state.settings, identity.user, address)


@router.post(
    "/me/two-factor/recovery-codes",
    responses=answers(400, 401, 403, 409, 410, 413, 422, 429),
    summary="Make new recovery codes",
)
async def new_codes(form: Proof, identity: SettingUp, state: StateDep, session: SessionDep, address: Address) -> Codes:
    """Ten codes, each good once in place of the second factor; those before are worthless. Needs the password."""
    await login.prove(state, session, identity, form.proof(), address)
    return Codes(recovery_codes=await two_factor.new_codes(session, identity.user.id, address))


@router.get("/me/passkeys", responses=answers(401, 403), summary="My passkeys")
async def list_passkeys(identity: SettingUp, session: SessionDep) -> Page[passkeys.PasskeyView]:
    """The passkeys, newest first."""
    return Page(items=await passkeys.of_user(session, identity.user.id))


@router.post(
    "/me/passkeys/options",
    responses=answers(400, 401, 403, 409, 410, 413, 422, 429),
    summary="Begin to add a passkey",
)
async def passkey_creation(
    form: Proof, identity: SettingUp, state: StateDep, session: SessionDep, address: Address
) -> Asked:
    """What the browser needs to make one; needs the password."""
    await login.prove(state, session, identity, form.proof(), address)
    ticket = tickets.issue(state.keyring, "add-passkey", str(identity.token_id))
    return Asked(ticket=ticket, options=await passkeys.creation(session, state.settings, identity.user, ticket))


@router.post(
    "/me/passkeys",
    status_code=201,
    responses=answers(400, 401, 403, 409, 410, 413, 422),
    summary="Add a passkey",
)
async def add_passkey(
    form: NewPasskey, identity: SettingUp, state: StateDep, session: SessionDep, address: Address
) -> MadePasskey:
    """Keep what the browser made."""
    login.bound(state, identity, "add-passkey", form.ticket)
    item, codes = await passkeys.add(
        session, state.settings, identity.user, form.ticket, form.credential, form.name, address
    )
    return MadePasskey(item=item, recovery_codes=codes)


@router.delete(
    "/me/passkeys/{passkey_id}",
    status_code=204,
    responses=answers(400, 401, 403, 404, 409, 410, 413, 422, 429),
    summary="Remove a passkey",
)
async def remove_passkey(
    passkey_id: BigId, form: Proof, identity: SettingUp, state: StateDep, session: SessionDep, address: Address
) -> None:
    """Sign in with it no more; needs the password."""
    await login.prove(state, session, identity, form.proof(), address)
    await passkeys.remove(session, state.settings, identity.user, passkey_id, address)
