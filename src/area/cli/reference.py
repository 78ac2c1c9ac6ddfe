"""Generates docs/reference/ from the code: `python -m area.cli.reference [FOLDER]`."""

import sys
import typing
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Column, DefaultClause
from sqlalchemy.dialects.postgresql.base import PGDialect

from area.cli import monitoring, rooms
from area.cli.verified import anchor

FOLDER = Path("docs/reference")
# settings with one variable per service
NAMED = {
    "clients": "`AREA_<SERVICE>_CLIENT_ID`, `AREA_<SERVICE>_CLIENT_SECRET`",
    "servers": "`AREA_<SERVICE>_SERVER`",
}
NOTE = "<!-- Made by `make docs` from the code: don't edit. -->\n"


def pages() -> dict[str, str]:
    """Each page by file name."""
    makers: Mapping[str, Callable[[], Iterator[str]]] = {
        "settings.md": _settings,
        "cli.md": _cli,
        "api.md": _api,
        "components.md": _components,
        "tables.md": _tables,
        "metrics.md": monitoring.page,
        "rooms.md": _rooms,
        "../images/rooms.svg": rooms.picture,
        "../services.md": _verified,
    }
    return {name: "\n".join([NOTE, *maker()]).rstrip() + "\n" for name, maker in makers.items()}


# Settings


def _settings() -> Iterator[str]:
    from area.settings import Settings

    yield "# Settings\n"
    yield "Set these in the environment, or in a `.env` file in the directory where you start AREA. The"
    yield "environment takes precedence."
    yield "AREA refuses to start with an invalid value, and says why.\n"
    rows = []
    for name, field in Settings.model_fields.items():
        value = field.get_default(call_default_factory=True)
        default = f"`{value}`" if value or value in (False, 0) else "none"
        choices = typing.get_args(field.annotation) if typing.get_origin(field.annotation) is Literal else ()
        description = (
            f"{field.description} One of {', '.join(f'`{choice}`' for choice in choices)}."
            if choices
            else field.description
        )
        rows.append((NAMED.get(name, f"`AREA_{name.upper()}`"), default, description or ""))
    yield from _table(("setting", "default", "description"), rows)


# The command line


def _cli() -> Iterator[str]:
    from typer.main import get_command

    from area.cli.commands import app

    yield "# Command line\n"
    yield "`area --help` and `area COMMAND --help` (or `-h`) print the same; `area --version` prints the version."
    yield "Commands read the [settings](settings.md) from the environment. Errors go to standard error. The exit code"
    yield "is 1 for errors that you can fix, and 2 for an invalid setting or option. With `--json`, standard output is"
    yield "JSON.\n"
    for words, command in _commands(get_command(app), ["area"]):
        arguments = [param for param in command.params if param.param_type_name == "argument"]
        options = [param for param in command.params if param.param_type_name == "option" and param.name != "help"]
        usage = " ".join([*words, *map(_usage, arguments)])
        yield f"## `{usage}`\n"
        yield f"{_flat(command.help)}\n"
        rows = [(f"`{_usage(argument)}`", argument.help) for argument in arguments if getattr(argument, "help", None)]
        rows += [(f"`{_option(option)}`", _default(option)) for option in options]
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
    shown = metavar if argument.required else f"[{metavar}]"
    return f"{shown}..." if argument.nargs == -1 else shown


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
    yield "AREA serves this page at `/api/docs`, with every field of every response, and OpenAPI at"
    yield "`/api/openapi.json`.\n"
    yield f"{document['info']['description'].strip()}\n"
    yield "Outside `/api`:\n"
    yield from _table(("path", "description"), OUTSIDE)
    by_tag = defaultdict(list)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            by_tag[operation.get("tags", ["other"])[0]].append((f"{method.upper()} {path}", operation))
    for tag, operations in by_tag.items():
        yield f"## {tag}\n"
        for address, operation in operations:
            yield f"### `{address}`\n"
            described = _flat(operation.get("description") or operation.get("summary", ""))
            yield f"{described} Responds with {', '.join(operation['responses'])}.\n"
            rows = [
                (f"`{param['name']}`", param["in"], _kind(param["schema"], schemas), param.get("description", ""))
                for param in operation.get("parameters", [])
            ]
            rows += _body(operation, schemas)
            if rows:
                yield from _table(("name", "in", "type", ""), rows)


OUTSIDE = [
    ("`/hooks/{token}`", "an AREA's webhook URL; responds with 2xx once the event is committed"),
    ("`/hints/{token}`", "a vendor reports a change of something AREA polls"),
    ("`/webhooks/{service}`", "a vendor reports changes for all accounts of a service"),
    ("`/about.json`", "services, actions and reactions, machine-readable"),
    (
        "`/healthz`",
        "200 while the process is alive; reports a database that can't be written to, such as a full disk",
    ),
    ("`/readyz`", "200 if the database is up and its schema current, else 503"),
    ("`/metrics`", "Prometheus metrics, for loopback or with `AREA_METRICS_TOKEN` as bearer token"),
    ("`/icons/{service}.svg`", "the logo of a service"),
]


def _body(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    content: Mapping[str, Any] = operation.get("requestBody", {}).get("content", {})
    schema: Mapping[str, Any] = {}
    for media in content.values():
        schema = _resolved(media["schema"], schemas)
    needed = set(schema.get("required", []))
    return [
        (
            f"`{name}`",
            "body",
            _kind(field, schemas),
            f"{'' if name in needed else 'optional; '}{field.get('description', '')}".rstrip("; "),
        )
        for name, field in schema.get("properties", {}).items()
    ]


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    """Resolve a reference; of a choice with null, take the other schema."""
    if "$ref" in schema:
        return _resolved(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    for option in schema.get("anyOf", []):
        if option.get("type") != "null":
            return _resolved(option, schemas)
    return schema


def _kind(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(option, schemas) for option in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}), schemas)}"
    return str(schema.get("format") or schema.get("type") or "anything")


# Services


def _components() -> Iterator[str]:
    from area.registry import registry
    from area.sdk import OAuth2
    from area.sdk.fields import fields, form_fields

    yield "# Services\n"
    yield "What each service offers. *Verified* services were tested against a real server, or a double that enforces"
    yield "the vendor's API description; *generated* ones have never run against the vendor. Every action also"
    yield "accepts `only_if`, and every reaction `delay` ([templates](templates.md)).\n"
    services = sorted(registry().services.values(), key=lambda service: service.name.lower())
    rows = [
        (
            f"[{service.name}](#{anchor(service.name)})",
            service.description,
            ", ".join(name for name, action in service.actions.items() if action.translated),
            ", ".join(service.reactions),
        )
        for service in services
    ]
    yield from _table(("service", "", "actions", "reactions"), rows)
    for service in services:
        yield f"## {service.name}\n"
        needs = "Needs a connection." if service.auth else "Needs no connection."
        yield f"{service.description} *{service.quality.title()}.* {needs}\n"
        if isinstance(service.auth, OAuth2):
            yield "Connects with OAuth2.\n"
        elif service.auth:
            yield "To connect, enter:\n"
            yield from _fields(fields(service.auth.model), entered=True)
        written = [action for action in service.actions.values() if action.translated]
        if len(written) < len(service.actions):
            yield "More actions are generated from the vendor's API description."
            yield f"`area catalog show {service.slug}` and the service's help page list them.\n"
        for action in written:
            yield f"### Action `{action.key}`: {action.title}\n"
            yield f"{_flat(action.description)}\n"
            every = f", every {int(action.every.total_seconds())} s" if action.every else ""
            verified = f"; verification: {action.verify.name}" if action.verify else ""
            yield f"Kind: {action.kind}{every}{verified}.\n"
            yield from _fields(form_fields(action.params), entered=True)
            yield from _fields(fields(action.returns), entered=False)
        for reaction in service.reactions.values():
            yield f"### Reaction `{reaction.key}`: {reaction.title}\n"
            yield f"{_flat(reaction.description)}\n"
            yield from _fields(form_fields(reaction.params), entered=True)
            yield from _fields(fields(reaction.returns), entered=False)


def _verified() -> Iterator[str]:
    from area.cli import verified
    from area.registry import registry

    yield from verified.page(registry())


# The database

# documented in schema.md, against which the database is tested
DATA_MODEL = frozenset(
    {
        "users",
        "user_oauth2_accounts",
        "services",
        "user_services",
        "components",
        "variables",
        "areas",
        "area_parameters",
        "area_executions",
        "hook_states",
    }
)


def _tables() -> Iterator[str]:
    from area.db.models import Base

    about = {mapper.local_table.description: mapper.class_.__doc__ or "" for mapper in Base.registry.mappers}
    yield "# AREA's own tables\n"
    yield "AREA's tables besides the ten of the [data model](schema.md). They can change with every release; the REST"
    yield "API doesn't. There are also:\n"
    yield "- `connections` is a view of `user_services` (with the `connection_id` 0) and `named_connections`."
    yield "- `pgqueuer`, `pgqueuer_log`, `pgqueuer_statistics` and `pgqueuer_schedules` belong to the job queue, [PgQueuer](https://pgqueuer.readthedocs.io)."
    yield "- `alembic_version` holds the revision of the schema.\n"
    for table in sorted(Base.metadata.tables.values(), key=lambda table: table.name):
        if table.name in DATA_MODEL:
            continue
        yield f"## `{table.name}`\n"
        yield f"{_flat(about[table.name])}\n"
        rows = [
            (f"`{column.name}`", f"`{_type(column)}`", _constraints(column), column.doc or "")
            for column in table.columns
        ]
        yield from _table(("column", "type", "constraints", ""), rows)


def _type(column: Column[Any]) -> str:
    return column.type.compile(PGDialect()).lower()  # type: ignore[no-untyped-call]


def _constraints(column: Column[Any]) -> str:
    """In the notation of schema.md."""
    notes = ["PK"] if column.primary_key else []
    notes += [f"FK -> `{key.target_fullname.replace('.', '(')})`" for key in column.foreign_keys]
    notes += ["UK"] if column.unique else []
    notes += ["Auto-increment"] if column.identity else []
    if not column.primary_key:
        notes.append("Nullable" if column.nullable else "NOT NULL")
    if isinstance(column.server_default, DefaultClause):
        notes.append(f"DEFAULT {column.server_default.arg}")
    return ", ".join(notes)


# The code


def _rooms() -> Iterator[str]:
    yield "# Rooms\n"
    yield "The packages and modules of `src/area/`, by the floors of the import contract in `pyproject.toml`. A room"
    yield "imports only from lower floors; `lint-imports` (in `make check`) rejects anything else."
    yield "[Architecture](../explanation/architecture.md) shows how they work together. In the picture, a dot means"
    yield "that the room on its left imports the room above it.\n"
    yield "![Rooms by floor, and which other rooms each imports](../images/rooms.svg)\n"
    yield from _table(("floor", "room", "description", "imports"), list(rooms.rows()))


def _fields(declared: Sequence[Any], *, entered: bool) -> Iterator[str]:
    if not declared:
        return
    rows = []
    for field in declared:
        notes = ["secret"] if field.secret else []
        if entered:
            notes.append("optional" if field.nullable else "required")
        name = f"`{field.name}`" if entered else f"`{{{{{field.name}}}}}`"
        example = "" if field.placeholder is None else f"`{field.placeholder}`"
        rows.append((name, ", ".join([field.type, *notes]), f"{field.description}.", example))
    yield from _table(("parameter" if entered else "return value", "type", "", "example"), rows)


# Markdown


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"
    yield ""


def _cell(text: str) -> str:
    """Text escaped for a table cell: bars and line breaks would break the row."""
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
