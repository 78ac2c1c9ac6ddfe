"""The pages of docs/reference/ that are made from the code: `python -m area.cli.reference [FOLDER]`."""

import sys
import typing
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from area.cli import rooms
from area.cli.verified import anchor

FOLDER = Path("docs/reference")
NOTE = "<!-- Made by `make docs` from the code: don't edit. -->\n"


def pages() -> dict[str, str]:
    """Each page by the name of its file."""
    makers: Mapping[str, Callable[[], Iterator[str]]] = {
        "settings.md": _settings,
        "cli.md": _cli,
        "api.md": _api,
        "components.md": _components,
        "rooms.md": _rooms,
        "../images/rooms.svg": rooms.picture,
        "../services.md": _verified,
    }
    return {name: "\n".join([NOTE, *maker()]).rstrip() + "\n" for name, maker in makers.items()}


# Settings


def _settings() -> Iterator[str]:
    from area.settings import Settings

    yield "# Settings\n"
    yield "Set in the environment, or in a file `.env` in the directory that AREA is started in; the environment wins."
    yield "A value that can't be used stops the start with a sentence.\n"
    rows = []
    for name, field in Settings.model_fields.items():
        default = "none" if field.default in (None, "") else f"`{field.default}`"
        choices = typing.get_args(field.annotation) if typing.get_origin(field.annotation) is Literal else ()
        said = (
            f"{field.description} One of {', '.join(f'`{one}`' for one in choices)}." if choices else field.description
        )
        rows.append((f"`AREA_{name.upper()}`", default, said or ""))
    yield from _table(("setting", "default", "what it does"), rows)


# The command line


def _cli() -> Iterator[str]:
    from typer.main import get_command

    from area.cli import app

    yield "# Command line\n"
    yield "`area --help` and `area COMMAND --help` tell the same. Settings come from the environment ([settings](settings.md))."
    yield "What you can set right is told in a sentence on standard error, with exit code 1; a wrong setting or option with 2."
    yield "With `--json`, what is printed on standard output is JSON.\n"
    for words, command in _commands(get_command(app), ["area"]):
        arguments = [one for one in command.params if one.param_type_name == "argument"]
        options = [one for one in command.params if one.param_type_name == "option" and one.name != "help"]
        usage = " ".join([*words, *(_usage(one) for one in arguments)])
        yield f"## `{usage}`\n"
        yield f"{_flat(command.help)}\n"
        rows = [(f"`{_usage(one)}`", one.help) for one in arguments if getattr(one, "help", None)]
        rows += [(f"`{_option(one)}`", _default(one)) for one in options]
        if rows:
            yield from _table(("", ""), rows)


def _commands(command: Any, words: list[str]) -> Iterator[tuple[list[str], Any]]:
    if not hasattr(command, "commands"):
        yield words, command
        return
    for name, inner in command.commands.items():
        yield from _commands(inner, [*words, name])


def _usage(argument: Any) -> str:
    metavar = argument.metavar or argument.name.upper()
    return metavar if argument.required or metavar.startswith("[") else f"[{metavar}]"


def _option(option: Any) -> str:
    names = ", ".join(option.opts)
    return names if option.is_flag else f"{names} {option.metavar or option.name.upper()}"


def _default(option: Any) -> str:
    shown = f" Default: `{option.default}`." if option.default not in (None, False, ()) else ""
    return f"{option.help or ''}{shown}"


# The REST API


def _api() -> Iterator[str]:
    from area.api import make_api

    document = make_api().openapi()
    schemas = document["components"]["schemas"]
    yield "# REST API\n"
    yield "The same, with every field of every answer, is served at `/api/docs`, and as OpenAPI at `/api/openapi.json`.\n"
    yield f"{document['info']['description'].strip()}\n"
    yield "Outside of `/api`:\n"
    yield from _table(("address", "what it is"), OUTSIDE)
    by_tag = defaultdict(list)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            by_tag[operation.get("tags", ["other"])[0]].append((f"{method.upper()} {path}", operation))
    for tag, operations in by_tag.items():
        yield f"## {tag}\n"
        for address, operation in operations:
            yield f"### `{address}`\n"
            described = _flat(operation.get("description") or operation.get("summary", ""))
            yield f"{described} Answers {', '.join(operation['responses'])}.\n"
            rows = [
                (f"`{one['name']}`", one["in"], _kind(one["schema"], schemas), one.get("description", ""))
                for one in operation.get("parameters", [])
            ]
            rows += _body(operation, schemas)
            if rows:
                yield from _table(("name", "in", "type", ""), rows)


OUTSIDE = [
    ("`/hooks/{token}`", "where an AREA's webhooks go; answered 2xx once the event is committed"),
    ("`/hints/{token}`", "where a vendor says that there is news of what is polled"),
    ("`/webhooks/{service}`", "where a vendor says so of all accounts of a service"),
    ("`/about.json`", "services, actions and reactions, for programs that look for them"),
    (
        "`/healthz`",
        "200 while the process lives; says when it waits for a database that can't be written, as on a full disk",
    ),
    ("`/readyz`", "200 while the database answers and is up to date, else 503"),
    ("`/metrics`", "for Prometheus; to loopback addresses, or with `AREA_METRICS_TOKEN` as a bearer token"),
    ("`/icons/{service}.svg`", "a service's logo"),
]


def _body(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    content: Mapping[str, Any] = operation.get("requestBody", {}).get("content", {})
    schema: Mapping[str, Any] = {}
    for one in content.values():
        schema = _resolved(one["schema"], schemas)
    needed = set(schema.get("required", []))
    return [
        (
            f"`{name}`",
            "body",
            _kind(one, schemas),
            f"{'' if name in needed else 'optional; '}{one.get('description', '')}".rstrip("; "),
        )
        for name, one in schema.get("properties", {}).items()
    ]


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference stands for; of a choice with null, the other."""
    if "$ref" in schema:
        return _resolved(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    for one in schema.get("anyOf", []):
        if one.get("type") != "null":
            return _resolved(one, schemas)
    return schema


def _kind(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(one, schemas) for one in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{one}`" for one in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}), schemas)}"
    return str(schema.get("format") or schema.get("type") or "anything")


# Services


def _components() -> Iterator[str]:
    from area.registry import registry
    from area.sdk import OAuth2
    from area.sdk.fields import fields

    yield "# Services\n"
    yield "What each service offers. *Verified* was exercised against a real peer, or a double that enforces the vendor's own"
    yield "description; *generated* never ran against the vendor. Every action also takes `only_if`, every reaction `delay`"
    yield "([templates](templates.md)).\n"
    services = sorted(registry().services.values(), key=lambda one: one.name.lower())
    rows = [
        (
            f"[{one.name}](#{anchor(one.name)})",
            one.description,
            ", ".join(name for name, action in one.actions.items() if action.translated),
            ", ".join(one.reactions),
        )
        for one in services
    ]
    yield from _table(("service", "", "actions", "reactions"), rows)
    for service in services:
        yield f"## {service.name}\n"
        needs = "Needs a connection." if service.auth else "Needs no connection."
        yield f"{service.description} *{service.quality.title()}.* {needs}\n"
        if isinstance(service.auth, OAuth2):
            yield "It is connected at its own site (OAuth2).\n"
        elif service.auth:
            yield "The connection asks for:\n"
            yield from _fields(fields(service.auth.model), given=True)
        written = [action for action in service.actions.values() if action.translated]
        if len(written) < len(service.actions):
            yield f"Besides these, actions are made from the vendor's own description: `area catalog show {service.slug}` and the"
            yield "help page of the service list them.\n"
        for action in written:
            yield f"### Action `{action.key}`: {action.title}\n"
            yield f"{_flat(action.description)}\n"
            every = f", asked every {int(action.every.total_seconds())} s" if action.every else ""
            verified = f"; requests are checked by: {action.verify.name}" if action.verify else ""
            yield f"Kind: {action.kind}{every}{verified}.\n"
            yield from _fields(fields(action.params), given=True)
            yield from _fields(fields(action.returns), given=False)
        for reaction in service.reactions.values():
            yield f"### Reaction `{reaction.key}`: {reaction.title}\n"
            yield f"{_flat(reaction.description)}\n"
            yield from _fields(fields(reaction.params), given=True)
            yield from _fields(fields(reaction.returns), given=False)


def _verified() -> Iterator[str]:
    from area.cli import verified
    from area.registry import registry

    yield from verified.page(registry())


# The code


def _rooms() -> Iterator[str]:
    yield "# Rooms\n"
    yield "The packages and modules of `src/area/`, by the floors of the import contract in `pyproject.toml`: a room imports only from"
    yield "floors below its own, and `lint-imports` (in `make check`) refuses anything else. How they work together:"
    yield "[architecture](../explanation/architecture.md). In the picture, a dot stands for the import of the room above it by the room"
    yield "to its left.\n"
    yield "![Rooms by floor, and which other rooms each imports](../images/rooms.svg)\n"
    yield from _table(("floor", "room", "what it is", "imports"), list(rooms.rows()))


def _fields(declared: Sequence[Any], *, given: bool) -> Iterator[str]:
    if not declared:
        return
    rows = []
    for one in declared:
        notes = ["secret"] if one.secret else []
        if given:
            notes.append("optional" if one.nullable else "needed")
        name = f"`{one.name}`" if given else f"`{{{{{one.name}}}}}`"
        example = "" if one.placeholder is None else f"`{one.placeholder}`"
        rows.append((name, ", ".join([one.type, *notes]), f"{one.description}.", example))
    yield from _table(("parameter" if given else "return value", "type", "", "example"), rows)


# Markdown


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(_cell(one) for one in row)} |"
    yield ""


def _cell(text: str) -> str:
    """Text in a table: a bar would end the cell, a line the row."""
    return _flat(text).replace("|", "\\|")


def _flat(text: str) -> str:
    return " ".join(text.split())


def main() -> None:
    """Write the pages."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, "utf-8")
        print(folder / name)


if __name__ == "__main__":
    main()
