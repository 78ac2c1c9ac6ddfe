"""`area try`: run a trigger or reaction manually without saving anything.

One module, since it is one command from its arguments to what it prints.
"""

import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from area.cli import console

if TYPE_CHECKING:
    from pydantic import BaseModel

    from area.kit.template.condition import Condition
    from area.registry import Registry
    from area.sdk import Action, Context, Event, Reaction, Request, Service

INSTANTS = 5


def try_(
    component: Annotated[str, typer.Argument(metavar="SERVICE.COMPONENT", help="The component, such as rss.new_item.")],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Parameters.")] = None,
    parameters: Annotated[
        str | None,
        typer.Option(
            "--parameters", help="JSON file with parameters, for long or secret values; - reads standard input."
        ),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option("--user", help="The account whose connection to use: e-mail address, username or id."),
    ] = None,
    connection: Annotated[
        str | None, typer.Option("--connection", help="The account's connection with this name; requires --user.")
    ] = None,
    credential: Annotated[
        str | None, typer.Option("--credential", help="JSON file with the fields of the service's connection form.")
    ] = None,
    since: Annotated[str, typer.Option("--since", help="Polls: how far back to look.")] = "7d",
    limit: Annotated[int, typer.Option("--limit", help="Polls and listeners: maximum number of events.", min=1)] = 20,
    seconds: Annotated[float, typer.Option("--seconds", help="Listeners: how long to listen.", min=0.1)] = 10,
    request: Annotated[
        str | None,
        typer.Option("--request", help="Webhooks: JSON file with method, headers, query, body (or json), secret."),
    ] = None,
    send: Annotated[bool, typer.Option("--send", help="Reactions: run it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Try a trigger or reaction for real; nothing is saved.

    A poll prints the events it finds, a timer its next five times, a listener what it receives within --seconds, and a
    webhook the events from --request or else its sample event. A reaction prints its validated parameters; --send runs
    it.
    """
    from area.kit.text import did_you_mean
    from area.registry import registry

    known = registry()
    action, reaction = known.action(component), known.reaction(component)
    if connection is not None and (user is None or credential is not None):
        raise console.Failed("--connection requires --user and can't be combined with --credential.")
    trial = Trial(known, as_json=as_json, connection=connection or "")
    if action is not None:
        params, trial.only_if = _parameters(action, arguments or [], parameters)
        match action.kind:
            case "poll":
                trial.poll(action, params, _duration(since), limit, user=user, credential=credential)
            case "timer":
                trial.timer(action, params)
            case "listen":
                trial.listen(action, params, seconds, limit, user=user, credential=credential)
            case "webhook":
                trial.webhook(action, params, request, user=user)
    elif reaction is not None:
        params, _ = _parameters(reaction, arguments or [], parameters)
        trial.reaction(reaction, params, send=send, user=user, credential=credential)
    else:
        keys = [
            f"{slug}.{name}"
            for slug, service in known.services.items()
            for name in (*service.actions, *service.reactions)
        ]
        raise console.Failed(f"No component {component!r}{did_you_mean(component, keys)}")


class Trial:
    """One run of a component, and how to print it."""

    def __init__(self, registry: "Registry", *, as_json: bool, connection: str = "") -> None:
        self.registry = registry
        self.connection = connection
        self.as_json = as_json
        self.only_if: Condition | None = None
        self.count = 0

    def poll(
        self,
        action: "Action",
        params: "BaseModel",
        back: timedelta,
        limit: int,
        user: str | None,
        credential: str | None,
    ) -> None:
        """Poll once, as the engine does."""
        from area.kit.clock import now

        async def work(context: "Context") -> None:
            async with aclosing(action.function(context, params, now() - back)) as events:
                async for event in events:
                    self._event(event)
                    if self.count >= limit:
                        self._say(f"Stopped at --limit {limit}; there may be more.")
                        return
            self._say(f"{self.count} event{'' if self.count == 1 else 's'}; an AREA triggers only on new ones.")

        self._run(action.service, work, user=user, credential=credential)

    def listen(
        self,
        action: "Action",
        params: "BaseModel",
        seconds: float,
        limit: int,
        user: str | None,
        credential: str | None,
    ) -> None:
        """Listen for some seconds."""
        import asyncio

        async def work(context: "Context") -> None:
            self._say(f"Listening for {seconds:g} seconds ...")
            try:
                async with asyncio.timeout(seconds), aclosing(action.function(context, params)) as events:
                    async for event in events:
                        self._event(event)
                        if self.count >= limit:
                            return
            except TimeoutError:
                self._say(f"{self.count} event{'' if self.count == 1 else 's'} in {seconds:g} seconds.")

        self._run(action.service, work, user=user, credential=credential)

    def timer(self, action: "Action", params: "BaseModel") -> None:
        """Print the next firings."""
        from area.kit.clock import now
        from area.sdk.timers import firing

        after: datetime | None = now()
        for _ in range(INSTANTS):
            after = action.function(params, after)
            if after is None:
                self._say("It doesn't fire again after that." if self.count else "It never fires.")
                return
            self.count += 1
            data = firing(params, after, after)
            if self.as_json:
                console.echo(data.model_dump_json())
            else:
                console.echo(f"{data.weekday:<9}  {data.time.isoformat()}")

    def webhook(self, action: "Action", params: "BaseModel", file: str | None, *, user: str | None) -> None:
        """Verify a request and print its events; without a request, print the sample event."""
        from area.areas.samples import sample_of
        from area.sdk import Refused

        described = console.read_object(console.read_text(file), file) if file else self._fixture(action).get("request")
        if described is None or action.verify is None:
            self._say("This is the sample event. Use --request FILE to process a request.")
            self._print(sample_of(self.registry, action), {})
            return
        request, secret = _request(described)
        try:
            action.verify.check(request, secret, params)
        except Refused as error:
            raise console.Failed(f"Rejected ({action.verify.name}): {error}") from error
        self._say(f"Accepted ({action.verify.name}).")

        async def work(context: "Context") -> None:
            async for event in action.function(context, params, request):
                self._event(event)
            if not self.count:
                self._say("It triggers nothing.")

        self._run(action.service, work, user=user, credential=None, connected=False)

    def _fixture(self, action: "Action") -> dict[str, Any]:
        folder = self.registry.folders.get(action.service.slug)
        path = folder / "fixtures" / f"{action.name}.json" if folder else None
        return console.read_object(path.read_text(), str(path)) if path and path.is_file() else {}

    def reaction(
        self, reaction: "Reaction", params: "BaseModel", *, send: bool, user: str | None, credential: str | None
    ) -> None:
        """Print the parameters or, with `send`, run the reaction and print the result."""
        if not send:
            self._say("Nothing was sent. --send would send:")
            self._print(console.plain(params), {})
            return

        async def work(context: "Context") -> None:
            from pydantic import BaseModel

            result = await reaction.function(context, params)
            self._print(console.plain(result) if isinstance(result, BaseModel) else {}, {})

        self._run(reaction.service, work, user=user, credential=credential)

    def _event(self, event: "Event[Any]") -> None:
        self.count += 1
        data = event.data.model_dump(mode="json")
        head = {"id": event.id, "at": event.at.astimezone(UTC).isoformat() if event.at else None}
        if self.only_if and not self.only_if.evaluate(data):
            head["skipped"] = "only_if is false"
        self._print(data, head)

    def _print(self, data: Any, head: dict[str, Any]) -> None:
        if self.as_json:
            console.echo(json.dumps({**head, "data": data} if head else data, ensure_ascii=False))
            return
        if head:
            console.echo("  ".join(f"{name} {value}" for name, value in head.items() if value is not None))
        console.print_json(data)

    def _say(self, sentence: str) -> None:
        """Print a message for people. Standard output is for programs."""
        console.echo(sentence, err=True)

    def _run(
        self,
        service: "Service",
        work: "Callable[[Context], Awaitable[None]]",
        *,
        user: str | None,
        credential: str | None,
        connected: bool = True,
    ) -> None:
        """Run `work` with a context: the user's, or one without an account."""
        import asyncio

        needs = connected and (service.requires_auth or bool(self.connection))
        if needs and user is None and credential is None:
            raise console.Failed(
                f"{service.name} needs a connection. Use --user, or --credential with a file: {_form(service)}"
            )
        typed = _credential(service, credential) if credential else None
        begun = time.monotonic()
        if user is None:
            asyncio.run(_without_account(service, typed, work))
        else:
            _with_account(service, user, typed, work, needs=needs and typed is None, name=self.connection)
        self._say(f"It took {time.monotonic() - begun:.1f} s.")


async def _without_account(service: "Service", credential: Any, work: "Callable[[Context], Awaitable[None]]") -> None:
    from area.kit.http import Client
    from area.sdk.context import alone

    guard = console.configured(quiet=True).guard()
    client = Client(guard)
    try:
        http = service.http(client, service.fixed(credential))
        error = console.Failed("This needs an account. Choose one with --user.")
        await work(alone(http, guard, credential, error))
    finally:
        await client.close()


def _with_account(
    service: "Service",
    login: str,
    credential: Any,
    work: "Callable[[Context], Awaitable[None]]",
    *,
    needs: bool,
    name: str = "",
) -> None:
    from area import connections
    from area.connections import vault
    from area.connections.vault import Ref
    from area.engine.access import Tokens, context
    from area.engine.state import State
    from area.sdk import OAuth2

    async def with_state(state: State) -> None:
        usable = credential
        async with state.database.sessions() as session:
            user = await console.find_user(session, login)
            if name:
                connections.connectable(state.registry, service.slug)
            ref = Ref(user.id, service.slug, await vault.number(session, service, user.id, name))
            if needs and not isinstance(service.auth, OAuth2):
                usable = await connections.credential(
                    session, state.keyring, state.registry, user.id, service.slug, number=ref.number
                )
        tokens = Tokens(state)
        if needs and isinstance(service.auth, OAuth2):
            there = await tokens.current(ref, service) is not None
        else:
            there = usable is not None or not needs
        if not there:
            raise console.Failed(f"{user.username} has no usable connection to {service.name}. Connect it first.")
        await work(context(state, tokens, service, ref, usable))

    console.with_state(with_state)


# Input


def _parameters(
    component: "Action | Reaction", arguments: Sequence[str], file: str | None
) -> "tuple[BaseModel, Condition | None]":
    """The parameters, validated as in an AREA, and an action's `only_if`."""
    from pydantic import ValidationError

    from area.areas.plans import check_texts, field_errors, parse
    from area.kit.problems import Invalid
    from area.kit.template import condition
    from area.sdk import Action
    from area.sdk.fields import by_name, fields

    values: dict[str, Any] = console.read_object(console.read_text(file), file) if file else {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals:
            raise console.Failed(f"{argument!r} isn't a parameter. Write it as name=value.")
        values[name] = value
    texts, errors = check_texts(
        component, values, "parameters", allow="only_if" if isinstance(component, Action) else ""
    )
    if errors:
        raise Invalid(errors=errors)
    only_if = None
    if text := texts.pop("only_if", None):
        try:
            only_if = condition.parse(text)
        except condition.ConditionError as error:
            raise Invalid.field("parameters.only_if", str(error)) from error
        if sentences := condition.check(only_if, {field.name for field in fields(component.returns)}):
            raise Invalid(errors=[{"field": "parameters.only_if", "message": sentence} for sentence in sentences])
    declared = by_name(component.params)
    try:
        return component.params.model_validate(
            {name: parse(text, declared[name]) for name, text in texts.items()}
        ), only_if
    except ValidationError as error:
        raise Invalid(errors=field_errors(error, "parameters")) from error


def _credential(service: "Service", file: str) -> "BaseModel":
    from pydantic import ValidationError

    from area.areas.plans import field_errors
    from area.kit.problems import Invalid
    from area.sdk import Credentials

    if not isinstance(service.auth, Credentials):
        why = "connects by OAuth2" if service.auth else "needs no connection"
        raise console.Failed(f"{service.name} {why}, so it takes no --credential.")
    try:
        checked: BaseModel = service.auth.read(console.read_object(console.read_text(file), file))
    except ValidationError as error:
        raise Invalid(errors=field_errors(error, "credential")) from error
    return checked


def _form(service: "Service") -> str:
    """The fields of the credential file."""
    from area.sdk import Credentials
    from area.sdk.fields import fields

    if not isinstance(service.auth, Credentials):
        return "it connects by OAuth2, so choose an account with --user"
    return ", ".join(f"{field.name}{'' if field.nullable else ' (required)'}" for field in fields(service.auth.model))


def _request(described: Mapping[str, Any]) -> "tuple[Request, str]":
    """A request described in a file, and its signing secret."""
    from area.kit.clock import now
    from area.sdk import Headers, Request

    unknown = set(described) - {"method", "path", "headers", "query", "body", "json", "secret"}
    if unknown:
        raise console.Failed(
            f"Unknown request keys: {', '.join(sorted(unknown))}. Allowed:"
            " method, path, headers, query, body or json, secret."
        )
    headers = {str(name): str(value) for name, value in (described.get("headers") or {}).items()}
    body = str(described.get("body") or "")
    if "json" in described:
        body = json.dumps(described["json"], separators=(",", ":"), ensure_ascii=False)
        headers = {"content-type": "application/json", **headers}
    request = Request(
        method=str(described.get("method", "POST")).upper(),
        path=str(described.get("path", "/")),
        headers=Headers(headers.items()),
        query={str(name): str(value) for name, value in (described.get("query") or {}).items()},
        body=body.encode(),
        received_at=now(),
    )
    return request, str(described.get("secret") or "")


def _duration(text: str) -> timedelta:
    from area.kit.clock import BadTime, parse_duration

    try:
        return parse_duration(text)
    except BadTime as error:
        raise console.Failed(f"--since: {error}") from error
