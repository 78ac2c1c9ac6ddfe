"""`area runs`: executions with all that they led to."""

from typing import TYPE_CHECKING, Annotated

import typer

from area.cli import console
from area.cli.log import MARKS, owner_of

if TYPE_CHECKING:
    from area.engine.state import State
    from area.runs import ExecutionLine
    from area.runs.whole import RunLine


def runs(
    run: Annotated[
        int | None, typer.Argument(metavar="[ID]", help="Show this run: the id of any of its executions.", min=1)
    ] = None,
    user: console.User = None,
    limit: Annotated[int, typer.Option("-n", "--lines", help="How many.", min=1, max=1000)] = 50,
    as_json: console.AsJson = False,
) -> None:
    """List a user's runs, newest first, or show one with all executions that it led to."""
    if run is not None:
        _show(run, as_json=as_json)
        return
    from area.runs import whole

    async def work(state: "State") -> "list[RunLine]":
        async with state.database.sessions() as session:
            owner = await console.find_user(session, user)
            return await whole.newest(session, owner.id, limit=limit)

    lines = console.with_state(work)
    if as_json:
        console.print_json(lines)
        return
    columns = {
        "id": "ID",
        "created_at": "CREATED",
        "status": "STATUS",
        "executions": "EXECUTIONS",
        "failed": "FAILED",
        "area_name": "NAME",
    }
    console.table([line.model_dump() for line in lines], columns, "No runs yet.")


def _show(run: int, *, as_json: bool) -> None:
    from area.runs import whole

    async def work(state: "State") -> "list[ExecutionLine]":
        user_id = await owner_of(state, run)
        async with state.database.sessions() as session:
            return await whole.whole(session, user_id, run)

    lines = console.with_state(work)
    if as_json:
        console.print_json(lines)
        return
    for depth, line in whole.below(lines):
        console.echo(told(line, depth))


def told(line: "ExecutionLine", depth: int = 0) -> str:
    """An execution of a run as one line, indented by its depth."""
    place = f" [{line.index}]" if line.index is not None else ""
    took = f"  {line.execution_time_ms} ms" if line.execution_time_ms is not None else ""
    why = f"  {console.visible(line.error_message)}" if line.error_message else ""
    name = f"{line.id} {console.visible(line.area_name)}{place}"
    return f"{'  ' * depth}{MARKS[line.status]} {name}: {line.status}{took}{why}"
