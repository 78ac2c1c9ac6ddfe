"""`area apply` and `area export`: AREAs as a file."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from area.cli import console
from area.cli.log import area_of

if TYPE_CHECKING:
    from area.areas import AreaIn, AreaOut
    from area.engine.state import State


app = typer.Typer(no_args_is_help=True, help="List, show, switch and delete AREAs.")

Area = Annotated[str, typer.Argument(metavar="AREA", help="The AREA's id, or its name if it is unique.")]


@app.command("list")
def list_(
    user: console.User = None,
    search: Annotated[str | None, typer.Option("--search", help="Part of the name.")] = None,
    as_json: console.AsJson = False,
) -> None:
    """List a user's AREAs, newest first."""
    from area import areas
    from area.engine.control import scope

    async def work(state: "State") -> "list[AreaOut]":
        exported: list[AreaOut] = []
        async with state.database.sessions() as session:
            owner = await console.find_user(session, user)
            before = None
            while page := await areas.find(session, scope(state), owner.id, limit=500, before=before, q=search):
                exported += page
                before = page[-1].id
        return exported

    selected = console.with_state(work)
    if as_json:
        console.print_json(selected)
        return
    rows = [
        {**area.model_dump(), "action": area.action.component, "reaction": area.reaction.component} for area in selected
    ]
    columns = {
        "id": "ID",
        "name": "NAME",
        "is_active": "ON",
        "state": "STATE",
        "action": "ACTION",
        "reaction": "REACTION",
        "last_triggered_at": "LAST RUN",
    }
    console.table(rows, columns, "No such AREA." if search else "No AREAs yet.")


@app.command()
def show(area: Area) -> None:
    """Print one AREA as JSON, with secrets masked."""
    from area import areas
    from area.engine.control import scope

    async def work(state: "State") -> "AreaOut":
        area_id, user_id = await area_of(state, area)
        async with state.database.sessions() as session:
            return await areas.get(session, scope(state), user_id, area_id)

    console.print_json(console.with_state(work))


@app.command()
def enable(area: Area, as_json: console.AsJson = False) -> None:
    """Switch an AREA on."""
    _switch(area, active=True, as_json=as_json)


@app.command()
def disable(area: Area, as_json: console.AsJson = False) -> None:
    """Switch an AREA off."""
    _switch(area, active=False, as_json=as_json)


def _switch(area: str, *, active: bool, as_json: bool) -> None:
    from area import areas
    from area.engine.control import scope

    async def work(state: "State") -> "AreaOut":
        area_id, user_id = await area_of(state, area)
        async with state.database.transaction() as session:
            return await areas.set_active(session, scope(state), user_id, area_id, active=active)

    view = console.with_state(work)
    if as_json:
        console.print_json(view)
    else:
        console.echo(f"{view.name} ({view.id}) is {'on' if view.is_active else 'off'}.")


@app.command()
def delete(area: Area, yes: Annotated[bool, typer.Option("--yes", help="Don't ask for confirmation.")] = False) -> None:
    """Delete an AREA and its executions."""
    from area import areas
    from area.engine.control import scope

    async def find(state: "State") -> "AreaOut":
        area_id, user_id = await area_of(state, area)
        async with state.database.sessions() as session:
            return await areas.get(session, scope(state), user_id, area_id)

    async def work(state: "State") -> None:
        async with state.database.transaction() as session:
            await areas.remove(session, view.user_id, view.id)

    view = console.with_state(find)
    if not yes:
        typer.confirm(f"Delete {view.name} ({view.id}) and its executions?", abort=True)
    console.with_state(work)
    console.echo(f"Deleted {view.name} ({view.id}).")


class _TriedOnly(Exception):
    """Rolls back the transaction of a dry run."""


def apply(
    file: Annotated[
        str,
        typer.Option(
            "-f", "--file", help="YAML or JSON file with a list of AREAs, or {areas: [...]}; - reads standard input."
        ),
    ],
    user: console.User = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change without changing anything.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete the user's AREAs that aren't in the file, with their executions.")
    ] = False,
    as_json: console.AsJson = False,
) -> None:
    """Create or update a user's AREAs from a file.

    AREAs are matched by name; those that aren't in the file are left alone without --prune, and so are secrets that
    the file leaves out (an empty text removes one). All are applied, or none if one is invalid.
    """
    from area.areas import bundles
    from area.engine.control import scope

    desired = _read(file)
    report: dict[str, list[str]] = {}

    async def work(state: "State") -> None:
        async with state.database.transaction() as session:
            owner = await console.find_user(session, user)
            report.update(await bundles.apply(session, scope(state), owner.id, desired))
            if prune:
                report["deleted"] = await bundles.prune(session, owner.id, set(bundles.names_in(desired)))
            if dry_run:
                raise _TriedOnly

    try:
        console.with_state(work)
    except _TriedOnly:
        console.echo("Dry run: nothing was changed.", err=True)
    if as_json:
        console.print_json(report)
        return
    for word, names in report.items():
        for name in names:
            console.echo(f"{word:<8} {name}")


def export(
    user: console.User = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON instead of YAML.")] = False,
) -> None:
    """Print a user's AREAs in the format of `area apply`.

    Secrets are left out.
    """
    import yaml

    from area.areas import bundles
    from area.engine.control import scope

    async def work(state: "State") -> "list[AreaIn]":
        async with state.database.sessions() as session:
            owner = await console.find_user(session, user)
            return await bundles.export(session, scope(state), owner.id)

    bundle = console.plain({"areas": console.with_state(work)})
    if as_json:
        console.print_json(bundle)
    else:
        typer.echo(
            yaml.safe_dump(bundle, sort_keys=False, allow_unicode=True, width=120), nl=False
        )  # safe_dump escapes control characters


def _read(file: str) -> "list[AreaIn]":
    """The AREAs in a file. Raises `Failed` with the errors of each AREA."""
    from pydantic import ValidationError

    from area.areas import AreaIn, bundles

    data = _parse(console.read_text(file), file)
    if isinstance(data, dict):
        data = data.get("areas")
    if not isinstance(data, list):
        raise console.Failed(f"{file} must hold a list of AREAs, or {{areas: [...]}}, as printed by `area export`.")
    areas, errors, names = [], [], set()
    for place, item in enumerate(data, 1):
        named = item.get("name") if isinstance(item, dict) else None
        try:
            area = AreaIn.model_validate(item)
        except ValidationError as error:
            errors += [
                f"AREA {place} ({named}): {'.'.join(map(str, detail['loc']))}: {detail['msg']}"
                for detail in error.errors(include_url=False, include_context=False, include_input=False)
            ]
            continue
        for name in bundles.names_in([area]):
            if name in names:
                errors.append(f"AREA {place} ({name}): another AREA in the file has the same name.")
            names.add(name)
        areas.append(area)
    if errors:
        raise console.Failed("\n".join(errors))
    return areas


def _parse(text: str, file: str) -> Any:
    import yaml

    if text.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:
            pass  # YAML's flow style starts the same way
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise console.Failed(f"{file} is neither YAML nor JSON: {' '.join(str(error).split())}.") from error
