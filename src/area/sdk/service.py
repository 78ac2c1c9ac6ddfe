"""How a connector declares itself: a `Service` and its components, read from the signatures of plain functions.

One module, because every declaration reads a signature the same way and ends up in the same `Service`.
"""

import functools
import inspect
import re
import typing
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from area.kit.http import Client
from area.sdk import lookups, signature
from area.sdk.answers import fill_template, lookup
from area.sdk.context import Context
from area.sdk.credentials import Credentials
from area.sdk.dedupe import OVERLAP
from area.sdk.events import Event, Hook, Reply, Request, Subscription
from area.sdk.fields import Option
from area.sdk.hints import Hint
from area.sdk.http import Authority, Fixed, Http, Pages, Refusal
from area.sdk.model import Model
from area.sdk.oauth2 import OAuth2
from area.sdk.verify import Verify

Quality = Literal["verified", "generated"]
Kind = Literal["poll", "timer", "webhook", "listen", "link"]
OnCrash = Literal["retry", "fail"]
Idempotent = Literal["key", "same"]
Handshake = Callable[[Request], Reply | None]
Challenge = Callable[[Request, Any], Reply | None]
Yielding = Callable[..., AsyncIterator[Event[Any]] | Awaitable[AsyncIterator[Event[Any]]]]
Picker = Callable[[Context, Mapping[str, str]], Awaitable[list[Option]]]
Shown = str | Callable[[dict[str, Any]], str]

Subscribe = TypeVar("Subscribe", bound=Callable[..., Awaitable[Subscription]])
Renew = TypeVar("Renew", bound=Callable[..., Awaitable[Subscription]])
Unsubscribe = TypeVar("Unsubscribe", bound=Callable[..., Awaitable[None]])
Picking = TypeVar("Picking", bound=Callable[..., Awaitable[Any]])


class Nothing(Model):
    """No parameters, or no return values."""


class Anything(Model):
    """Return values that only each run shows."""

    model_config = ConfigDict(extra="allow")


class Firing(Model):
    """What every timer returns: the planned time in the AREA's time zone."""

    time: datetime = Field(description="Planned time, with its UTC offset", examples=["2026-11-23T09:00:00+01:00"])
    date: str = Field(description="Date in the time zone", examples=["2026-11-23"])
    hour: str = Field(description="Time of day in the time zone", examples=["09:00"])
    weekday: str = Field(description="Day of the week, in English", examples=["Monday"])
    late_seconds: int = Field(description="Seconds after the planned time", examples=[0])


@dataclass(frozen=True, slots=True)
class Inbound:
    """One URL for all accounts, `/webhooks/{slug}`, that the vendor calls when something changed.

    `accounts` returns the IDs (as in `Account.id`) of the accounts that a request concerns; AREA then polls them
    immediately. An administrator enters the URL at the vendor when registering AREA there. Use `subscriptions` instead
    if polls subscribe to hints: it returns the IDs (as in `Subscription.id`) of the subscriptions that a request
    concerns. With `topic`, the vendor publishes to `AREA_<CLIENT>_TOPIC`, passed to hints as `hook.url`, and an
    administrator forwards that topic to this URL.

    `verify` gets the signing secret of AREA's registration (`AREA_<CLIENT>_SIGNING_SECRET`), or its client secret.

    `token` is for vendors that first send, unsigned, the token they will sign with, and expect an administrator to
    confirm it: it returns the token in a request, or None. Until a signing secret is set, administrators can see the
    token in AREA.
    """

    verify: Verify
    accounts: Callable[[Request], Sequence[str]] | None = None
    handshake: Handshake | None = None
    token: Callable[[Request], str | None] | None = None
    subscriptions: Callable[[Request], Sequence[str]] | None = None
    topic: bool = False


@dataclass(kw_only=True)
class Action:
    """A trigger. `kind` says how its events arrive; `function` yields them or, for a timer, returns the next time.

    Actions that are not `translated` are generated in bulk from a vendor's description: they need no translation, page
    or fixture, and `sample` is the data of an example event.
    """

    service: "Service"
    name: str
    title: str
    description: str
    translated: bool = True
    sample: Mapping[str, Any] | None = None
    kind: Kind
    params: type[BaseModel]
    returns: type[BaseModel]
    function: Callable[..., Any]
    every: timedelta | None = None
    overlap: timedelta | None = OVERLAP
    hint: Hint | None = None
    verify: Verify | None = None
    handshake: Handshake | None = None
    challenge: Challenge | None = None
    respond: Challenge | None = None
    awaits: Callable[[Any], bool] | None = None
    max_body: int = 0
    scopes: tuple[str, ...] = ()
    on_subscribe: Callable[[Context, Any, Hook], Awaitable[Subscription]] | None = None
    on_renew: Callable[[Context, Any, Hook, str], Awaitable[Subscription]] | None = None
    on_unsubscribe: Callable[[Context, Any, Hook, str], Awaitable[None]] | None = None

    @property
    def key(self) -> str:
        """`service.component`, as in URLs and AREAs."""
        return f"{self.service.slug}.{self.name}"

    def greeting(self, request: Request, params: BaseModel) -> Reply | None:
        """The reply to a request that only verifies the URL; None for all others."""
        reply = self.handshake(request) if self.handshake else None
        return self.challenge(request, params) if reply is None and self.challenge else reply

    @property
    def lookback(self) -> timedelta:
        """How far before the last poll to request rows."""
        return OVERLAP if self.overlap is None else self.overlap

    @property
    def generated(self) -> bool:
        """Whether it was generated from a vendor's description."""
        return self.sample is not None

    def subscribe(self, function: Subscribe) -> Subscribe:
        """Declare `async def f(ctx, hook, …) -> Subscription`: ask the vendor to send events to `hook.url`.

        Called when the AREA is switched on, and again after a crash: reuse an existing subscription for this URL.
        Without it, users enter the URL at the vendor themselves.
        """
        self.on_subscribe = _of_webhook(self, function, ("ctx", "params", "hook"))
        return function

    def renew(self, function: Renew) -> Renew:
        """Declare `async def f(ctx, hook, subscription, …) -> Subscription`: extend a subscription in the last third of
        its life.

        Without it, AREA creates a new subscription before the old one ends, then removes the old one.
        """
        self.on_renew = _of_webhook(self, function, ("ctx", "params", "hook", "subscription"))
        return function

    def unsubscribe(self, function: Unsubscribe) -> Unsubscribe:
        """Declare `async def f(ctx, hook, subscription, …) -> None`, called when the AREA is switched off, changed or
        deleted.
        """
        self.on_unsubscribe = _of_webhook(self, function, ("ctx", "params", "hook", "subscription"))
        return function


@dataclass(frozen=True, slots=True)
class Webhooks:
    """The webhooks declared by `Service.webhooks`, each with the values that its functions receive."""

    each: Sequence[tuple[Action, Mapping[str, Any]]]

    def subscribe(self, function: Subscribe) -> Subscribe:
        """Declare `Action.subscribe` for each webhook."""
        for action, values in self.each:
            action.subscribe(signature.given(function, values))
        return function

    def renew(self, function: Renew) -> Renew:
        """Declare `Action.renew` for each webhook."""
        for action, values in self.each:
            action.renew(signature.given(function, values))
        return function

    def unsubscribe(self, function: Unsubscribe) -> Unsubscribe:
        """Declare `Action.unsubscribe` for each webhook."""
        for action, values in self.each:
            action.unsubscribe(signature.given(function, values))
        return function


@dataclass(kw_only=True)
class Reaction:
    """Something to do. With `on_crash="fail"`, an attempt that a crash cut off is recorded as failed, not repeated.
    One that `finds` only reads, and a dry run asks it for real.

    Reactions that are not `translated` are generated in bulk from a vendor's description and need no translation.
    """

    service: "Service"
    name: str
    title: str
    description: str
    translated: bool = True
    params: type[BaseModel]
    returns: type[BaseModel]
    function: Callable[[Context, Any], Awaitable[Any]]
    on_crash: OnCrash = "retry"
    idempotent: Idempotent | None = None
    scopes: tuple[str, ...] = ()
    finds: bool = False

    @property
    def key(self) -> str:
        """`service.component`, as in URLs and AREAs."""
        return f"{self.service.slug}.{self.name}"


@dataclass
class Service:
    """A service and its components. `slug` is its folder and its name in URLs; `name` is what people see.

    Users who watch the same thing with the same parameters share one source, unless the service has `auth` or is
    `personal`: then each user has their own. `ctx.http` authorizes requests to the host of `base_url` and to `hosts`,
    where `*.example.com` matches every subdomain.

    With OAuth2, each component lists the `scopes` it needs beyond those of every connection. Set `login` for a service
    that people log in with differently from how they connect it. With `own_server` (and the vendor's origin as
    `base_url`), an installation can use its own server: `AREA_<SERVICE>_SERVER`.

    `pages` says how the vendor paginates, for `ctx.http.rows`. `refusal` sees every response of the service's own hosts
    that `ctx.http` checks, with its JSON object (or an empty one), before the status is looked at; it returns the error
    to raise, or None. `retry` lists statuses, and words in 4xx answers, that are temporary. `headers` go with every
    request to those hosts. `limited` lists the error codes by which a GraphQL server says that there were too many
    requests.

    `synonyms` are words and phrases, separated by commas, by which people search for a component when they don't know
    its title, by the component's name; those under an empty name are for all of the service's.
    """

    slug: str
    name: str
    description: str
    docs: str = ""
    base_url: str = ""
    auth: Credentials[Any] | OAuth2 | None = None
    login: OAuth2 | None = None
    hosts: tuple[str, ...] = ()
    quality: Quality = "generated"
    personal: bool = False
    own_server: bool = False
    inbound: Inbound | None = None
    pages: Pages = field(default_factory=Pages)
    refusal: Refusal | None = None
    retry: tuple[int | str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    limited: tuple[str, ...] = ()
    synonyms: Mapping[str, str] = field(default_factory=dict)
    actions: dict[str, Action] = field(default_factory=dict)
    reactions: dict[str, Reaction] = field(default_factory=dict)
    pickers: dict[str, Picker] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.slug):
            raise TypeError(f"Service {self.slug!r}: the slug must be lower case letters, digits and underscores.")

    @property
    def requires_auth(self) -> bool:
        """Whether it needs a connection to do anything."""
        return self.auth is not None and not (isinstance(self.auth, Credentials) and self.auth.optional)

    def http(self, client: Client, authority: Authority | None = None, app: Authority | None = None) -> Http:
        """The client for the connector's functions. `authority` authorizes the user's requests, `app` those that AREA
        makes for itself.
        """
        return Http(
            client,
            self.base_url,
            authority=authority,
            app=app,
            hosts=self.hosts,
            connected=self.requires_auth,
            name=self.name,
            pages=self.pages,
            refusal=self.refusal,
            retry=self.retry,
            headers=self.headers,
            limited=self.limited,
        )

    def fixed(self, credential: Any) -> Fixed | None:
        """The authority for a form's credential, if requests need one."""
        access = self.auth.access if isinstance(self.auth, Credentials) else None
        return Fixed(access(credential)) if access is not None and credential is not None else None

    def poll(
        self,
        title: str,
        *,
        every: timedelta,
        overlap: timedelta | None = OVERLAP,
        scopes: tuple[str, ...] = (),
        hint: Hint | None = None,
        newest_first: bool = False,
    ) -> Callable[[Yielding], Action]:
        """Declare `async def f(ctx, since, …) -> Events[Model]`, called once per `every`.

        Yield what the source shows (or return an async iterator), in any order; the engine decides what is new. `since`
        (aware) is the start of the window and only saves requests. A row that appears more than `overlap` after rows
        with later dates counts as old; if `overlap` is None, each poll shows the complete list, and no date makes a row
        old. With a `hint`, the vendor reports changes, and AREA polls less often while the hint is active. With
        `newest_first`, AREA stops reading at the first event before `since`.
        """
        names = ("ctx", "params", "since")

        def declare(function: Yielding) -> Action:
            more: dict[str, Any] = {"every": every, "overlap": overlap, "scopes": scopes, "hint": hint}
            action = self._action(title, "poll", function, names, **more)
            if newest_first:
                action.function = _until_old(action.function)
            return action

        return declare

    def timer(self, title: str) -> Callable[[Callable[[Any, datetime], datetime | None]], Action]:
        """Declare `def f(after, …) -> datetime | None`: the first time strictly after `after` (both aware), or None.

        Its parameters should extend `sdk.timers.Timer`, which adds the time zone and what to do about a missed run.
        """
        return lambda function: self._action(title, "timer", function, ("params", "after"))

    def webhook(
        self,
        title: str,
        *,
        verify: Verify,
        handshake: Handshake | None = None,
        challenge: Challenge | None = None,
        respond: Challenge | None = None,
        awaits: Callable[[Any], bool] | None = None,
        max_body: int = 0,
        scopes: tuple[str, ...] = (),
    ) -> Callable[[Yielding], Action]:
        """Declare `async def f(ctx, request, …) -> Events[Model]`, called for each verified request.

        `handshake` runs first, also on unsigned requests: if it returns a reply, AREA sends that and triggers nothing.
        `challenge` does the same with the AREA's parameters. `respond` returns the response to the sender once the
        events are stored; None for AREA's own response. `awaits` says, by the AREA's parameters, whether the sender
        waits for what its run answers (`Platform.answer`) or returns. `max_body`, in bytes, is for vendors whose
        deliveries can have more than 1 MB: JSON objects, whose longest lists are shortened before the function gets
        them (see `area.hooks.shorten`).
        """
        names = ("ctx", "params", "request")
        more: dict[str, Any] = {"verify": verify, "handshake": handshake, "challenge": challenge, "respond": respond}
        return lambda function: self._action(
            title, "webhook", function, names, scopes=scopes, max_body=max_body, awaits=awaits, **more
        )

    def webhooks(
        self, *kinds: tuple[str, str, type[BaseModel], str, str], **more: Any
    ) -> Callable[[Yielding], Webhooks]:
        """Declare `async def f(ctx, request, kind, model, …) -> Events[Any]`: one webhook for each of `kinds`.

        Each has a name, the vendor's name for the event, the model of its data, a title and a description. The
        function, and those of its subscription, can take the vendor's name as `kind`, and the `model`. `more` is passed
        on to `webhook`.
        """

        def declare(function: Yielding) -> Webhooks:
            each: list[tuple[Action, Mapping[str, Any]]] = []
            for name, kind, model, title, description in kinds:
                values = {"kind": kind, "model": model}
                arguments = signature.given(function, values)
                arguments.__name__, arguments.__doc__ = name, description
                arguments.__annotations__["return"] = AsyncIterator[Event[model]]  # type: ignore[valid-type]
                each.append((self.webhook(title, **more)(arguments), values))
            return Webhooks(each)

        return declare

    def listen(self, title: str, *, scopes: tuple[str, ...] = ()) -> Callable[[Yielding], Action]:
        """Declare `async def f(ctx, …) -> Events[Model]` that must not return.

        It runs on one worker at a time and restarts with back-off. When it resumes after a `yield`, that event is
        committed: acknowledge it to the vendor then.
        """
        return lambda function: self._action(title, "listen", function, ("ctx", "params"), scopes=scopes)

    def reaction(
        self,
        title: str,
        *,
        on_crash: OnCrash = "retry",
        idempotent: Idempotent | None = None,
        scopes: tuple[str, ...] = (),
    ) -> Callable[[Callable[..., Awaitable[Any]]], Reaction]:
        """Declare `async def f(ctx, …) -> Model`. It may run more than once, always with the same
        `ctx.idempotency_key`.

        `idempotent` says why that is harmless: `key` if the service recognises attempts of one execution by that key,
        `same` if a second attempt changes nothing more. If neither applies, declare `on_crash="fail"`.
        """

        def declare(function: Callable[..., Awaitable[Any]]) -> Reaction:
            place = f"{self.slug}.{function.__name__}"
            params, call = signature.components(function, ("ctx", "params"), place, title)
            returns = signature.hints(function).get("return")
            if typing.get_origin(returns) in (dict, Mapping) or returns is dict:
                returns = Anything
            reaction = Reaction(
                service=self,
                name=function.__name__,
                title=title,
                description=inspect.getdoc(function) or title,
                params=params,
                returns=typing.cast(type[BaseModel], returns) if signature.is_model(returns) else Nothing,
                function=call,
                on_crash=on_crash,
                idempotent=idempotent,
                scopes=scopes,
            )
            return self._add_reaction(reaction)

        return declare

    def link(self, title: str, returns: type[BaseModel]) -> Callable[[Callable[..., None]], Action]:
        """Declare `def f(…) -> None`, whose arguments are parameters: its events are the runs of other AREAs.

        The engine starts them, and calls nothing. `returns` is what placeholders read.
        """

        def declare(function: Callable[..., None]) -> Action:
            place = f"{self.slug}.{function.__name__}"
            params, call = signature.components(function, ("params",), place, title)
            return self.add(
                Action(
                    service=self,
                    name=function.__name__,
                    title=title,
                    description=inspect.getdoc(function) or title,
                    kind="link",
                    params=params,
                    returns=returns,
                    function=call,
                )
            )

        return declare

    def lookup(
        self, title: str, *, scopes: tuple[str, ...] = ()
    ) -> Callable[[Callable[..., Awaitable[BaseModel | None]]], Reaction]:
        """Declare `async def f(ctx, …) -> Model | None`: a reaction that finds something, changes nothing, and returns
        None when there is nothing.

        AREA adds the parameter `if_nothing` (stop there, or go on with empty values) and the return value `found`.
        """

        def declare(function: Callable[..., Awaitable[BaseModel | None]]) -> Reaction:
            place = f"{self.slug}.{function.__name__}"
            hint = signature.hints(function).get("return")
            model = next((part for part in typing.get_args(hint) if signature.is_model(part)), None)
            if model is None or len(typing.get_args(hint)) != 2 or type(None) not in typing.get_args(hint):
                raise TypeError(f"{place}: the return must be annotated Model | None.")
            params, call = signature.components(function, ("ctx", "params"), place, title, lookups.LookupParams)
            returns = lookups.result_of(model, place)
            reaction = Reaction(
                service=self,
                name=function.__name__,
                title=title,
                description=inspect.getdoc(function) or title,
                params=params,
                returns=returns,
                function=lookups.asking(call, returns),
                idempotent="same",
                scopes=scopes,
                finds=True,
            )
            return self._add_reaction(reaction)

        return declare

    def add(self, action: Action) -> Action:
        """Add an action that was generated from a vendor's description."""
        self._claim(action.name, self.actions)
        self.actions[action.name] = action
        return action

    def _add_reaction(self, reaction: Reaction) -> Reaction:
        self._claim(reaction.name, self.reactions)
        self.reactions[reaction.name] = reaction
        return reaction

    def move(self, server: str) -> None:
        """Use the installation's own server instead of the vendor's. Raises `TypeError` for a service without
        `own_server`.
        """
        if not self.own_server:
            raise TypeError(f"{self.name} has no servers of one's own.")
        old, new = self.base_url, server.rstrip("/")
        self.base_url = new
        if isinstance(self.auth, OAuth2):
            addresses = {
                name: value.replace(old, new, 1)
                for name in ("authorize_url", "token_url", "revoke_url")
                if (value := getattr(self.auth, name))
            }
            self.auth = replace(self.auth, **addresses)

    def picker(self, function: Picking) -> Picking:
        """Declare `async def f(ctx, …) -> list[Option]`: the options for fields with `pick="f"`.

        Its other arguments are other fields of the form, as text; while one of them is empty, there are no options.
        Take `form` instead to get all fields filled in so far. May raise the three errors.
        """
        self._claim(function.__name__, self.pickers)
        self.pickers[function.__name__] = _picking(function, f"{self.slug}.{function.__name__}")
        return function

    def options(
        self,
        name: str,
        url: str,
        value: Shown = "id",
        label: Shown = "name",
        hint: Shown = "",
        *,
        params: Mapping[str, str] | None = None,
        first: Sequence[Option] = (),
        **more: Any,
    ) -> None:
        """Declare the picker `name`: the `first` options, then the rows of one of the vendor's lists.

        `value`, `label` and `hint` are paths in a row (as for `output`), templates (as for `composed`), or functions of
        the row. Names in braces in `url` and `params` are other fields of the form; while one of them is empty, there
        are no options. `more` is passed on to `ctx.http.rows`: `at`, `where`, `json`.
        """

        async def options(ctx: Context, form: Mapping[str, str]) -> list[Option]:
            address = fill_template(url, {key: quote(text, safe="") for key, text in form.items() if text})
            query = {
                key: fill_template(text, {k: v for k, v in form.items() if v}) for key, text in (params or {}).items()
            }
            if address is None or None in query.values():
                return []
            rows = [row async for row in ctx.http.rows(address, params=query, **more)]
            results = [(_text(value, row), _text(label, row), _text(hint, row)) for row in rows]
            return [*first, *(Option(value, called or value, hint) for value, called, hint in results)]

        self._claim(name, self.pickers)
        self.pickers[name] = options

    def _action(
        self, title: str, kind: Kind, function: Callable[..., Any], names: tuple[str, ...], **more: Any
    ) -> Action:
        place = f"{self.slug}.{function.__name__}"
        params, call = signature.components(function, names, place, title)
        returns: Any = Firing
        if kind != "timer":
            returns = _event_model(signature.hints(function).get("return"), place)
            call = signature.yielding(call)
        action = Action(
            service=self,
            name=function.__name__,
            title=title,
            description=inspect.getdoc(function) or title,
            kind=kind,
            params=params,
            returns=returns,
            function=call,
            **more,
        )
        return self.add(action)

    def _claim(self, name: str, taken: dict[str, Any]) -> None:
        if name in taken:
            raise TypeError(f"{self.slug}.{name} is declared twice.")


def _until_old(function: Callable[..., AsyncGenerator[Event[Any]]]) -> Callable[..., AsyncIterator[Event[Any]]]:
    """The events of a poll, up to the first from before the window."""

    @functools.wraps(function)
    async def call(ctx: Context, params: Any, since: datetime) -> AsyncIterator[Event[Any]]:
        async with aclosing(function(ctx, params, since)) as events:
            async for event in events:
                yield event
                if event.at is not None and event.at < since:
                    return

    return call


def _of_webhook(action: Action, function: Any, names: tuple[str, ...]) -> Any:
    if action.kind != "webhook":
        raise TypeError(f"{action.key}: only a webhook has subscriptions.")
    requested = tuple(inspect.signature(function).parameters)
    if "params" in requested:
        signature.named(function, names, action.key)
    elif unknown := set(requested) - set(names) - set(action.params.model_fields):
        raise TypeError(f"{action.key}: {', '.join(sorted(unknown))} is no parameter of it.")
    return signature.applied(function, names)


def _picking(function: Callable[..., Awaitable[list[Option]]], place: str) -> Picker:
    names = tuple(inspect.signature(function).parameters)
    if not names or names[0] != "ctx":
        raise TypeError(f"{place}: the first parameter must be ctx.")
    if names[1:] == ("form",):
        return function

    async def picking(ctx: Context, form: Mapping[str, str]) -> list[Option]:
        chosen = {name: form.get(name, "") for name in names[1:]}
        return await function(ctx, **chosen) if all(chosen.values()) else []

    return picking


def _text(path: Shown, row: Any) -> str:
    if callable(path):
        return path(row)
    return (fill_template(path, row) or "") if "{" in path else str(lookup(path, row, "")) if path else ""


def _event_model(hint: Any, place: str) -> type[BaseModel]:
    """The model in `Events[Model]`."""
    event = next(iter(typing.get_args(hint)), None)
    model = next(iter(typing.get_args(event)), None)
    if typing.get_origin(event) is not Event or not signature.is_model(model):
        raise TypeError(f"{place}: the return must be annotated AsyncIterator[Event[Model]].")
    return typing.cast(type[BaseModel], model)


__all__ = ["Action", "Credentials", "Firing", "Nothing", "Reaction", "Request", "Service"]
