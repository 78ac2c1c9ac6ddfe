"""`area apply` and `area export`: AREAs as a file."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from area.cli import console

if TYPE_CHECKING:
    from area.areas import AreaIn
    from area.engine.state import State


class _TriedOnly(Exception):
    """Ends the transaction of a dry run without a commit."""


def apply(
    file: Annotated[
        str,
        typer.Option("-f", "--file", help="YAML or JSON: a list of AREAs, or {areas: [...]}; - for standard input."),
    ],
    user: console.User = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    as_json: console.AsJson = False,
) -> None:
    """Make a user's AREAs be like those in a file: all of them or, when one can't be used, none.

    They are known by their names. AREAs that the file doesn't name are left alone.
    """
    from area import areas
    from area.engine.control import scope

    wanted = _read(file)
    report: dict[str, list[str]] = {}

    async def work(state: "State") -> None:
        async with state.database.transaction() as session:
            owner = await console.find_user(session, user)
            report.update(await areas.apply(session, scope(state), owner.id, wanted))
            if dry_run:
                raise _TriedOnly

    try:
        console.with_state(work)
    except _TriedOnly:
        console.echo("A dry run: nothing was changed.", err=True)
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
    """Print a user's AREAs in the form that `area apply` takes, secrets left out."""
    import yaml

    from area import areas
    from area.engine.control import scope

    async def work(state: "State") -> "list[AreaIn]":
        async with state.database.sessions() as session:
            owner = await console.find_user(session, user)
            return await areas.export(session, scope(state), owner.id)

    bundle = console.plain({"areas": console.with_state(work)})
    if as_json:
        console.print_json(bundle)
    else:
        typer.echo(
            yaml.safe_dump(bundle, sort_keys=False, allow_unicode=True, width=120), nl=False
        )  # it writes control characters as escapes itself


def _read(file: str) -> "list[AreaIn]":
    """The AREAs of a file. Raises `Failed` with what is wrong, AREA by AREA."""
    from pydantic import ValidationError

    from area.areas import AreaIn

    found = _parse(console.read_text(file), file)
    if isinstance(found, dict):
        found = found.get("areas")
    if not isinstance(found, list):
        raise console.Failed(f"{file} must hold a list of AREAs, or {{areas: [...]}}, as `area export` prints it.")
    wanted, wrong, names = [], [], set()
    for place, one in enumerate(found, 1):
        named = one.get("name") if isinstance(one, dict) else None
        try:
            area = AreaIn.model_validate(one)
        except ValidationError as error:
            wrong += [
                f"AREA {place} ({named}): {'.'.join(str(part) for part in each['loc'])}: {each['msg']}"
                for each in error.errors(include_url=False, include_context=False, include_input=False)
            ]
            continue
        if area.name in names:
            wrong.append(f"AREA {place} ({named}): another one in the file has the same name.")
        names.add(area.name)
        wanted.append(area)
    if wrong:
        raise console.Failed("\n".join(wrong))
    return wanted


def _parse(text: str, file: str) -> Any:
    import yaml

    if text.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:
            pass  # YAML's flow style begins so, too
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise console.Failed(f"{file} is neither YAML nor JSON: {' '.join(str(error).split())}.") from error
