"""`area executions`: the execution log as lists, and cancelling."""

from typing import TYPE_CHECKING, Annotated

import typer

from area.cli import console
from area.cli.log import owner_of

if TYPE_CHECKING:
    from area.db.session import Database
    from area.engine.state import State
    from area.runs import ExecutionLine, ExecutionView
    from area.settings import Settings

app = typer.Typer(no_args_is_help=True, help="List, show and cancel executions.")

Id = Annotated[int, typer.Argument(metavar="EXECUTION_ID", min=1, max=2**63 - 1)]


@app.command("list")
def list_(
    user: console.User = None,
    area: Annotated[int | None, typer.Option("--area", help="Only this AREA's executions.", min=1)] = None,
    status: Annotated[
        str | None,
        typer.Option("--status", help="Only these: pending, running, success, failed, cancelled or skipped."),
    ] = None,
    search: Annotated[str | None, typer.Option("--search", help="Part of the event or of the error.")] = None,
    limit: Annotated[int, typer.Option("-n", "--lines", help="How many.", min=1, max=1000)] = 50,
    as_json: console.AsJson = False,
) -> None:
    """List a user's executions, newest first."""
    from typing import get_args

    from area import runs
    from area.runs.record import Status

    if status is not None and status not in get_args(Status):
        raise console.Failed(f"There is no status {status!r}. Choose one of {', '.join(get_args(Status))}.")
    statuses: tuple[Status, ...] = (status,) if status else ()  # type: ignore[assignment] # checked above

    async def work(database: "Database", _: "Settings") -> "list[ExecutionLine]":
        async with database.sessions() as session:
            owner = await console.find_user(session, user)
            return await runs.find(session, owner.id, limit=limit, area_id=area, status=statuses, q=search)

    lines = console.with_database(work)
    if as_json:
        console.print_json(lines)
        return
    columns = {
        "id": "ID",
        "created_at": "CREATED",
        "status": "STATUS",
        "area_id": "AREA",
        "area_name": "NAME",
        "error_message": "ERROR",
    }
    console.table([line.model_dump() for line in lines], columns, "No such executions.")


@app.command()
def show(execution_id: Id) -> None:
    """Print one execution as JSON: event, parameters, result and failed attempts."""
    from area import runs
    from area.engine.control import scope
    from area.runs import history

    async def work(state: "State") -> "ExecutionView":
        user_id = await owner_of(state, execution_id)
        async with state.database.sessions() as session:
            view = await runs.get(session, scope(state), user_id, execution_id)
            if view.parameters is None and (then := await history.then(session, scope(state), view)):
                view.parameters = then.filled
            return view

    console.print_json(console.with_state(work))


@app.command()
def cancel(execution_id: Id, as_json: console.AsJson = False) -> None:
    """Cancel a waiting or running execution."""
    from area import runs
    from area.engine import control

    async def work(state: "State") -> "ExecutionView":
        user_id = await owner_of(state, execution_id)
        async with state.database.transaction() as session:
            await control.cancel(session, user_id, execution_id)
            return await runs.get(session, control.scope(state), user_id, execution_id)

    view = console.with_state(work)
    if as_json:
        console.print_json(view)
    else:
        console.echo(f"Execution {view.id} of {view.area_name}: {view.error_message}")
