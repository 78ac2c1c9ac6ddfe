"""Your own second factor, and logging in with it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from area.accounts import passkeys, tickets, two_factor
from area.api.auth import LoggedIn
from area.api.paging import Page
from area.api.problems import answers
from area.api.proof import PasskeyAnswer, Proof
from area.doors import login
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
from area.doors.route import Route

router = APIRouter(tags=["two-factor"], route_class=Route)

Ticket = Annotated[Line, Field(max_length=1000)]
Code = Annotated[Line, Field(max_length=100, examples=["123456"])]


class SecondFactor(In):
    """The ticket from `second_factor_required`, and either a code or a passkey."""

    ticket: Ticket
    code: Code | None = Field(None, description="A code from the authenticator app, or a recovery code")
    credential: dict[str, Any] | None = Field(None, description="The passkey's response to the challenge")


class Asked(BaseModel):
    """A passkey challenge for `navigator.credentials`, and its ticket."""

    ticket: str
    options: dict[str, Any]


class Confirm(In):
    """The first code of an app."""

    setup: Annotated[Line, Field(max_length=2000)] = Field(description="The `setup` value from the previous step")
    code: Code


class NewPasskey(PasskeyAnswer):
    """The new passkey, and its name."""

    name: Line = Field(min_length=1, max_length=100, examples=["Laptop"])


class Codes(BaseModel):
    """Recovery codes, shown only once. Empty if the existing ones stay valid."""

    recovery_codes: list[str]


class MadePasskey(Codes):
    """The passkey, and recovery codes if there were none."""

    item: passkeys.PasskeyView


@router.post(
    "/auth/second-factor",
    responses=answers(400, 403, 410, 413, 422, 429),
    dependencies=[Depends(not_foreign)],
    summary="Complete a two-factor log-in",
)
async def second_factor(
    form: SecondFactor, request: Request, response: Response, state: StateDep, session: SessionDep, visitor: VisitorDep
) -> LoggedIn:
    """Complete a log-in that returned `second_factor_required`. The ticket works once, for ten minutes."""
    token, user = await login.second_factor(
        state, session, form.ticket, visitor, code=form.code, passkey=form.credential
    )
    set_cookie(response, request, state, token)
    return LoggedIn(token=token, user=user)


@router.post(
    "/auth/passkey/options",
    responses=answers(403, 409),
    dependencies=[Depends(not_foreign)],
    summary="Start a passkey log-in",
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
    """Log in with a passkey alone. It counts as both factors."""
    token, user = await login.with_passkey(state, session, form.ticket, form.credential, visitor)
    set_cookie(response, request, state, token)
    return LoggedIn(token=token, user=user)


@router.get("/me/two-factor", responses=answers(401, 403), summary="Get my second factors")
async def read(identity: SettingUp, state: StateDep, session: SessionDep) -> two_factor.Status:
    """Your second factors, and whether one is required."""
    return await two_factor.status(session, state.settings, identity.user)


@router.post("/me/prove", responses=answers(401, 403, 409), summary="Start passkey re-authentication")
async def prove_options(identity: SettingUp, state: StateDep, session: SessionDep) -> Asked:
    """A challenge. Its ticket and the passkey's response replace the password wherever `passkey` is a field."""
    ticket, options = await login.prove_options(state, session, identity)
    return Asked(ticket=ticket, options=options)


@router.post("/me/two-factor/app", responses=answers(400, 401, 403, 410, 413, 422, 429), summary="Start adding an app")
async def begin_app(
    form: Proof, identity: SettingUp, state: StateDep, session: SessionDep, address: Address
) -> two_factor.Totp:
    """A secret for an authenticator app (TOTP). It takes effect once you confirm a code. Requires the password."""
    await login.prove(state, session, identity, form.proof(), address)
    return two_factor.new_app(state.keyring, identity.user)


@router.post("/me/two-factor/app/confirm", responses=answers(400, 401, 403, 410, 413, 422), summary="Confirm an app")
async def confirm_app(
    form: Confirm, identity: SettingUp, state: StateDep, session: SessionDep, address: Address
) -> Codes:
    """Start using this app. It replaces the previous one."""
    codes = await two_factor.confirm(session, state.keyring, identity.user, form.setup, form.code, address)
    return Codes(recovery_codes=codes)


@router.delete(
    "/me/two-factor/app",
    status_code=204,
    responses=answers(400, 401, 403, 409, 410, 413, 422, 429),
    summary="Remove the app",
)
async def remove_app(form: Proof, identity: SettingUp, state: StateDep, session: SessionDep, address: Address) -> None:
    """Remove the app. Requires the password."""
    await login.prove(state, session, identity, form.proof(), address)
    await two_factor.remove_app(session, state.settings, identity.user, address)


@router.post(
    "/me/two-factor/recovery-codes",
    responses=answers(400, 401, 403, 409, 410, 413, 422, 429),
    summary="Generate recovery codes",
)
async def new_codes(form: Proof, identity: SettingUp, state: StateDep, session: SessionDep, address: Address) -> Codes:
    """Generate ten recovery codes, each valid once. The old ones stop working. Requires the password."""
    await login.prove(state, session, identity, form.proof(), address)
    return Codes(recovery_codes=await two_factor.new_codes(session, identity.user.id, address))


@router.get("/me/passkeys", responses=answers(401, 403), summary="List passkeys")
async def list_passkeys(identity: SettingUp, session: SessionDep) -> Page[passkeys.PasskeyView]:
    """Your passkeys, newest first."""
    return Page(items=await passkeys.of_user(session, identity.user.id))


@router.post(
    "/me/passkeys/options",
    responses=answers(400, 401, 403, 409, 410, 413, 422, 429),
    summary="Start adding a passkey",
)
async def passkey_creation(
    form: Proof, identity: SettingUp, state: StateDep, session: SessionDep, address: Address
) -> Asked:
    """Options for the browser to create a passkey. Requires the password."""
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
    """Add the passkey that the browser created."""
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
    """Remove a passkey. Requires the password."""
    await login.prove(state, session, identity, form.proof(), address)
    await passkeys.remove(session, state.settings, identity.user, passkey_id, address)
