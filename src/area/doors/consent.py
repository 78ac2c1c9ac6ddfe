"""The OAuth2 round trip, shared by connecting a service and logging in.

The state is used up in its own transaction, whatever happens next, and no transaction waits for the vendor.
"""

from dataclasses import dataclass

import structlog
from fastapi import Request, Response
from sqlalchemy.ext.asyncio import AsyncSession
from typing_extensions import override

from area import accounts, connections
from area.accounts import Identity, UserView, attempts, places, providers, sessions
from area.connections import ConnectionView, Tested, consent, grants, registrations, vault
from area.connections.consent import FinishedTrip, RoundTrip
from area.connections.vault import Ref
from area.doors import login
from area.doors.deps import Visitor, token_of
from area.engine import proof
from area.engine.access import Tokens
from area.engine.state import State
from area.kit.crypto import new_token
from area.kit.problems import Forbidden, Invalid, Problem, SecondFactorRequired
from area.kit.sentences import Sentence
from area.kit.text import clean_text
from area.sdk import OAuth2
from area.sdk import Service as Connector

LONGEST_REFUSAL = 300  # characters
COOKIE = "area_consent"  # binds a log-in to the browser that started it

log = structlog.get_logger(__name__)


# Callback


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a server sent back instead of a code (RFC 6749 §4.1.2.1). It is for people, and anyone could have written
    it.
    """

    error: str = ""
    description: str = ""

    @override
    def __str__(self) -> str:
        text = clean_text(f"{self.error}: {self.description}")
        words = "".join(char if char.isprintable() else " " for char in " ".join(text.split())).strip(" :")
        return words if len(words) <= LONGEST_REFUSAL else f"{words[:LONGEST_REFUSAL]}…"


def read_state(state: State, client: str, token: str) -> RoundTrip:
    """The purpose of a callback at this client's redirect URI. Raises `Invalid`, `Gone`."""
    return consent.read_state(state.keyring, token, registrations.redirect_uri(state.settings, client))


def _here(state: State, connector: Connector) -> str:
    return registrations.redirect_uri(state.settings, registrations.client_of(connector))


# Connect a service


def bound_to(identity: Identity) -> str:
    """What binds a signed-in user's round trip."""
    return f"session {identity.token_id}"


async def finish_connecting(
    state: State, session: AsyncSession, identity: Identity, trip: RoundTrip, *, code: str, refusal: Refusal
) -> tuple[ConnectionView, FinishedTrip]:
    """Complete a connection: exchange the code and store the tokens. Raises `NotDone`, `Gone`, `Conflict`."""
    connector, auth = grants.connectable(state.registry, trip.slug)
    keys = registrations.required_keys(connector, state.settings)
    async with state.database.transaction() as using:
        finished = await consent.finish(using, state.keyring, trip, bound_to(identity))
    _agreed(connector.name, code, refusal, finished)
    try:
        linked = await grants.exchange(
            state.client, state.guard, connector, auth, keys,
            code=code, redirect_uri=_here(state, connector), verifier=finished.verifier.get_secret_value(),
            requested=finished.scopes, nonce=finished.nonce,
        )  # fmt: skip
        view = await grants.keep(
            session, state.keyring, state.registry, identity.user.id, trip.slug, linked, name=finished.connection
        )
    except Problem as problem:
        raise NotDone(problem, finished.next) from problem
    return view, finished


async def connect_client(
    state: State, session: AsyncSession, user_id: int, slug: str, fields: dict[str, object], *, name: str = ""
) -> ConnectionView:
    """A client received the code itself: exchange it and store the tokens. Raises `Invalid`."""
    connector, auth = grants.connectable(state.registry, slug)
    keys = registrations.required_keys(connector, state.settings)
    names = ("code", "redirect_uri", "code_verifier")
    values = {name: value for name in names if isinstance(value := fields.get(name), str) and value}
    if set(values) != set(names) or set(fields) - set(names):
        raise Invalid(
            errors=[
                {
                    "field": name,
                    "message": Sentence("This must be text.") if name in names else Sentence("Unknown field."),
                }
                for name in [*(name for name in names if name not in values), *(set(fields) - set(names))]
            ]
        )
    async with state.database.transaction() as reading:
        scopes = await grants.wanted_scopes(reading, state.registry, user_id, slug, name=name)
    linked = await grants.exchange(
        state.client, state.guard, connector, auth, keys,
        code=values["code"], redirect_uri=values["redirect_uri"], verifier=values["code_verifier"], requested=scopes,
    )  # fmt: skip
    return await grants.keep(session, state.keyring, state.registry, user_id, slug, linked, name=name)


async def try_connection(state: State, user_id: int, slug: str, name: str) -> Tested | None:
    """Test a stored connection of either kind. None if there is none that can be read. Raises `NotFound`."""
    connector, auth = connections.connectable(state.registry, slug)
    async with state.database.transaction() as reading:  # ended before waiting for the vendor
        ref = Ref(user_id, slug, await vault.number(reading, connector, user_id, name))
        credential = await connections.credential(
            reading, state.keyring, state.registry, user_id, slug, number=ref.number
        )
    if isinstance(auth, OAuth2):
        tokens = Tokens(state)
        known = await tokens.current(ref, connector)
        return None if known is None else await proof.try_tokens(state, tokens, connector, auth, ref)
    return None if credential is None else await connections.try_out(state.client, state.guard, connector, credential)


# Log in


async def log_in_address(
    state: State,
    session: AsyncSession,
    slug: str,
    *,
    secret: str,
    next: str,  # noqa: A002 - as it is called in addresses
    identity: Identity | None,
    invitation: str | None,
    address: str,
) -> str:
    """The URL of a provider's page. With `identity`, to link the provider to that account; without, to log in."""
    connector, auth = await providers.provider(state.client, state.registry, state.settings, slug)
    return await consent.start(
        session,
        state.keyring,
        "log_in",
        slug,
        auth.login_server,
        registrations.required_keys(connector, state.settings),
        bound_to=secret,
        redirect_uri=_here(state, connector),
        scopes=auth.login_scopes or (),
        next=next,
        user_id=identity.user.id if identity else None,
        invitation=invitation,
        address=None if identity else places.network(address),
    )


async def finish_log_in(
    state: State,
    session: AsyncSession,
    trip: RoundTrip,
    *,
    code: str,
    refusal: Refusal,
    secret: str,
    identity: Identity | None,
    visitor: Visitor,
) -> tuple[str, UserView, FinishedTrip]:
    """Complete a log-in: the new session's token (none if already signed in), and its user.

    Raises `NotDone`, `NotFound`, `Gone`, `Conflict`, and `SecondFactorNext` for an account with a second factor.
    """
    address = visitor.address
    connector, auth = await providers.provider(state.client, state.registry, state.settings, trip.slug)
    keys = registrations.required_keys(connector, state.settings)
    async with state.database.transaction() as using:
        finished = await consent.finish(using, state.keyring, trip, secret)
    _agreed(registrations.vendor_of(connector), code, refusal, finished)
    try:
        linked = await grants.exchange(
            state.client, state.guard, connector, auth, keys,
            code=code, redirect_uri=_here(state, connector), verifier=finished.verifier.get_secret_value(),
            requested=finished.scopes, nonce=finished.nonce,
        )  # fmt: skip
        if finished.user_id is not None:
            if identity is None or identity.kind != "session" or identity.user.id != finished.user_id:
                raise Forbidden("You signed out or switched accounts in the meantime. Start again.")
            await providers.attach(session, finished.user_id, connector, linked.account, address)
            return "", await accounts.user(session, finished.user_id), finished
        async with state.database.transaction() as counting:
            if await providers.known(counting, connector, linked.account) is None:
                await attempts.limit_registrations(counting, state.settings, address)
        invitation = finished.invitation.get_secret_value() if finished.invitation else None
        user = await providers.arrive(
            session, state.settings, connector, linked.account, invitation=invitation, address=address
        )
        token = await login.let_in(state, session, user, visitor, provider=connector.slug)
    except SecondFactorRequired as problem:
        raise SecondFactorNext(problem, finished.next) from problem
    except Problem as problem:
        raise NotDone(problem, finished.next) from problem
    return token, user, finished


async def identity_of(request: Request, state: State) -> Identity | None:
    """The signed-in user, if any."""
    token, _ = token_of(request)
    if not token:
        return None
    async with state.database.transaction() as session:
        return await sessions.authenticate(session, state.settings, token)


# Browsers


class NotDone(Exception):
    """The round trip failed with `problem`; a browser continues at `next`."""

    def __init__(self, problem: Problem, next: str) -> None:  # noqa: A002 - as it is called in addresses
        super().__init__(str(problem))
        self.problem = problem
        self.next = next


class SecondFactorNext(Exception):
    """The provider has authenticated the user; the second factor is next, then a browser continues at `next`."""

    def __init__(self, problem: SecondFactorRequired, next: str) -> None:  # noqa: A002 - as it is called in addresses
        super().__init__(str(problem))
        self.problem = problem
        self.next = next


def _agreed(name: str, code: str, refusal: Refusal, finished: FinishedTrip) -> None:
    if refusal.error == "access_denied":
        raise NotDone(
            Forbidden("You didn't give AREA access to %(name)s. Nothing has changed.", name=name), finished.next
        )
    if not refusal.error and code:
        return
    log.warning("consent.refused", name=name, error=refusal.error, description=refusal.description[:LONGEST_REFUSAL])
    if not refusal.error:
        raise NotDone(Invalid("%(name)s sent neither a code nor an error. Try again.", name=name), finished.next)
    raise NotDone(
        Invalid(
            "%(name)s denied AREA access: %(error)s. Try again; if it keeps happening, tell an administrator.",
            name=name,
            error=str(refusal).rstrip("."),
        ),
        finished.next,
    )


def new_secret() -> str:
    """A secret that only this browser has."""
    return new_token()


def remember(response: Response, request: Request, state: State, secret: str) -> None:
    """Bind the browser to its log-in."""
    response.set_cookie(
        COOKIE,
        secret,
        max_age=int(consent.GOOD_FOR.total_seconds()),
        path="/api/auth",
        secure=state.settings.base_url.startswith("https://") or request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
