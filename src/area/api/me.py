"""Your own account: profile, password, sessions, API tokens."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from area import accounts
from area.accounts import addresses, pictures, providers, sessions
from area.accounts.views import Scope
from area.api.connections import Elsewhere
from area.api.paging import Page
from area.api.problems import answers
from area.api.proof import PasskeyAnswer, Password, Proof
from area.doors import body, browser, consent, login
from area.doors.deps import (
    COOKIE,
    Address,
    BigId,
    In,
    InPerson,
    Line,
    Moment,
    SessionDep,
    Slug,
    Someone,
    StateDep,
    Unenforced,
)
from area.doors.route import Route
from area.runs import figures

router = APIRouter(prefix="/me", tags=["me"], route_class=Route)


class ProfilePatch(Proof):
    """The fields to change. Omitted fields stay as they are. A new e-mail address requires the password."""

    email: Line = Field("", max_length=320)
    username: Line = Field("", max_length=200)
    icon_path: Annotated[Line, Field(max_length=2000)] | None = Field(
        None, description="https:// address of a picture, or null", examples=["https://example.org/ann.png"]
    )
    timezone: Line = Field("", max_length=64, examples=["Europe/Paris"])
    language: Literal["en", "fr"] | None = Field(None, description="Language of the pages; null: the browser's")


class NewPassword(In):
    """The current password (omitted if the account has none) and the new one."""

    current_password: Password | None = None
    code: Annotated[Line, Field(max_length=100)] | None = Field(None, description="For an account without a password")
    passkey: PasskeyAnswer | None = Field(None, description="Instead of the current password")
    new_password: Password = Field(description="8 characters or more, 72 bytes at most")
    revoke_tokens: bool = Field(False, description="Also revoke API tokens")


class AddLogin(Proof):
    """The provider to add."""

    next: Line = Field("/", max_length=2000, description="Where to redirect a browser afterwards")


class NewToken(Proof):
    """The API token to create."""

    name: Line = Field(min_length=1, max_length=255, examples=["backup script"])
    scope: Scope = Field("manage", description="What the token can do; each scope includes the ones before it")
    expires_at: Moment | None = Field(None, description="When it expires; null: never", examples=[None])


class MadeToken(BaseModel):
    """The token, shown only once, and its entry in the list."""

    token: str
    item: sessions.TokenView


class SignOut(In):
    """What to end besides the other sessions."""

    tokens: bool = Field(False, description="Also revoke API tokens")


class SignedOut(BaseModel):
    """How many ended."""

    sessions: int
    tokens: int


class Ended(BaseModel):
    """How many sessions ended."""

    ended: int


@router.get("", responses=answers(401), summary="Get my profile")
async def read(identity: Unenforced) -> accounts.UserView:
    """Your account."""
    return identity.user


@router.patch("", responses=answers(400, 401, 403, 409, 410, 413, 422, 429), summary="Change my profile")
async def change(
    form: ProfilePatch, identity: InPerson, state: StateDep, session: SessionDep, address: Address
) -> accounts.UserView:
    """Change your e-mail address, username, picture or time zone. If this server sends mail, a new address must be
    confirmed first; `GET /api/me/email` shows it.
    """
    changes = form.model_dump(exclude_unset=True, exclude={"password", "code", "passkey"})
    user_id = identity.user.id
    if "email" in changes:
        await login.prove(state, session, identity, form.proof(), address)
        await addresses.change(session, state.settings, user_id, changes.pop("email"), address)
    return await accounts.change_profile(session, user_id, changes, address)


@router.put(
    "/picture",
    responses=answers(401, 403, 413, 422, 429),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
    summary="Upload my picture",
)
async def upload_picture(
    request: Request, identity: InPerson, session: SessionDep, address: Address
) -> accounts.UserView:
    """Upload a profile picture as the request's body: JPEG, PNG, WebP or GIF, at most 5 MB, sent as any media type. It
    is cropped to a square of 256 pixels, without metadata, and served at `icon_path`.
    """
    content = await body.file(request, identity.user.id, pictures.MOST_BYTES)
    return await accounts.change_picture(session, identity.user.id, await pictures.shrink(content), address)


@router.delete("/picture", responses=answers(401, 403), summary="Remove my picture")
async def remove_picture(identity: InPerson, session: SessionDep, address: Address) -> accounts.UserView:
    """Remove the profile picture."""
    return await accounts.change_picture(session, identity.user.id, None, address)


@router.delete(
    "", status_code=204, responses=answers(400, 401, 403, 409, 410, 413, 422, 429), summary="Delete my account"
)
async def delete(
    form: Proof, identity: InPerson, response: Response, state: StateDep, session: SessionDep, address: Address
) -> None:
    """Delete your account and everything in it: AREAs, connections, executions."""
    user_id = identity.user.id
    await login.prove(state, session, identity, form.proof(), address)
    await accounts.delete_account(session, user_id, address)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")


@router.post(
    "/password", status_code=204, responses=answers(400, 401, 403, 410, 413, 422, 429), summary="Change my password"
)
async def change_password(
    form: NewPassword, identity: InPerson, state: StateDep, session: SessionDep, address: Address
) -> None:
    """Set a new password. All other sessions end; API tokens stay valid unless `revoke_tokens` is set."""
    user_id = identity.user.id
    ticket, credential = (form.passkey.ticket, form.passkey.credential) if form.passkey else ("", None)
    proof = login.Proof(form.current_password, form.code, ticket, credential)
    await login.prove(state, session, identity, proof, address, "current_password")
    await accounts.change_password(
        session, user_id, form.new_password, keep=identity.token_id, tokens=form.revoke_tokens, address=address
    )
    await addresses.tell_password_changed(session, state.settings, user_id)


@router.post("/sign-out-everywhere", responses=answers(400, 401, 403, 413, 422), summary="Sign out everywhere")
async def sign_out_everywhere(form: SignOut, identity: InPerson, session: SessionDep, address: Address) -> SignedOut:
    """End all other sessions and, with `tokens`, revoke all API tokens."""
    ended = await sessions.sign_out_everywhere(
        session, identity.user.id, keep=identity.token_id, tokens=form.tokens, address=address
    )
    return SignedOut(sessions=ended.sessions, tokens=ended.tokens)


@router.get("/sessions", name="sessions", responses=answers(401), summary="List sessions")
async def my_sessions(identity: Someone, session: SessionDep) -> Page[sessions.TokenView]:
    """Your sessions."""
    rows = await sessions.access(session, identity.user.id, "session", identity.token_id)
    return Page(items=rows)


@router.delete("/sessions", responses=answers(401, 403), summary="End my other sessions")
async def end_sessions(identity: InPerson, session: SessionDep) -> Ended:
    """End all other sessions."""
    return Ended(ended=await sessions.end_sessions(session, identity.user.id, keep=identity.token_id))


@router.delete(
    "/sessions/{session_id}", status_code=204, responses=answers(401, 403, 404, 422), summary="End a session"
)
async def end_session(session_id: BigId, identity: InPerson, session: SessionDep, address: Address) -> None:
    """End one session."""
    await sessions.revoke(session, identity.user.id, "session", session_id, address)


@router.get("/tokens", responses=answers(401), summary="List API tokens")
async def tokens(identity: Someone, session: SessionDep) -> Page[sessions.TokenView]:
    """Your API tokens, without their secrets."""
    return Page(items=await sessions.access(session, identity.user.id, "api", identity.token_id))


@router.post(
    "/tokens", status_code=201, responses=answers(400, 401, 403, 409, 410, 413, 422, 429), summary="Create an API token"
)
async def make_token(
    form: NewToken, identity: InPerson, state: StateDep, session: SessionDep, address: Address
) -> MadeToken:
    """Create an API token. Requires the password. The token is shown only in this response."""
    await login.prove(state, session, identity, form.proof(), address)
    token, item = await sessions.create_token(
        session, identity.user, name=form.name, scope=form.scope, expires_at=form.expires_at, address=address
    )
    return MadeToken(token=token, item=item)


@router.delete(
    "/tokens/{token_id}", status_code=204, responses=answers(401, 403, 404, 422), summary="Revoke an API token"
)
async def revoke_token(token_id: BigId, identity: InPerson, session: SessionDep, address: Address) -> None:
    """Revoke an API token."""
    await sessions.revoke(session, identity.user.id, "api", token_id, address)


@router.get("/logins", responses=answers(401), summary="List my log-in providers")
async def logins(identity: Someone, state: StateDep, session: SessionDep) -> Page[providers.LoginView]:
    """The providers you can log in with."""
    return Page(items=await providers.logins(session, state.registry, state.settings, identity.user.id))


@router.post(
    "/logins/{provider}",
    responses=answers(400, 401, 403, 404, 409, 410, 413, 422, 429),
    summary="Link a log-in provider",
)
async def add_login(
    provider: Slug,
    form: AddLogin,
    identity: InPerson,
    request: Request,
    response: Response,
    state: StateDep,
    session: SessionDep,
    address: Address,
) -> Elsewhere:
    """The URL of the provider's page, to link it to your account. Requires the password. Return with this response's
    cookie within ten minutes.
    """
    await login.prove(state, session, identity, form.proof(), address)
    secret = consent.new_secret()
    url = await consent.log_in_address(
        state, session, provider,
        secret=secret, next=browser.local(form.next), identity=identity, invitation=None, address=address,
    )  # fmt: skip
    consent.remember(response, request, state, secret)
    return Elsewhere(url=url)


@router.delete(
    "/logins/{provider}",
    status_code=204,
    responses=answers(401, 403, 404, 409, 422),
    summary="Unlink a log-in provider",
)
async def remove_login(
    provider: Slug, identity: InPerson, state: StateDep, session: SessionDep, address: Address
) -> None:
    """Unlink a provider. Your only way to sign in can't be removed."""
    await providers.detach(session, state.registry, state.settings, identity.user.id, provider, address)


@router.get("/stats", responses=answers(401), summary="Get my statistics")
async def stats(identity: Someone, session: SessionDep) -> figures.Stats:
    """Executions of your AREAs over the last hour, day and week."""
    return await figures.stats(session, identity.user.id)
