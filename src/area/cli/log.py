"""`area run`, `area replay`, `area tail`: the execution log from the command line."""

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from area.cli import console

if TYPE_CHECKING:
    from area.engine.state import State
    from area.runs import ExecutionLine, ExecutionView

LOOK_EVERY = 0.2  # seconds
AREAS = "select id, user_id from areas where id = $1 or ($1 is null and name = $2) order by id limit 2"
OWNER_OF_EXECUTION = "select a.user_id from area_executions e join areas a on a.id = e.area_id where e.id = $1"
NEWEST = (
    "select e.id, a.user_id from area_executions e join areas a on a.id = e.area_id"
    " where ($1::int is null or a.user_id = $1) and ($2::int is null or a.id = $2) order by e.id desc limit $3"
)
MARKS = {"success": "✓", "failed": "✗", "skipped": "-", "cancelled": "-", "pending": "…", "running": "…"}

Wait = Annotated[
    float, typer.Option("--wait", help="Seconds to wait for it to finish; 0 doesn't wait.", min=0, max=3600)
]


def run(
    area: Annotated[str, typer.Argument(metavar="ID", help="The AREA's id, or its name if it is unique.")],
    data: Annotated[str | None, typer.Option("--data", help="The action's return values, as JSON.")] = None,
    wait: Wait = 30,
    follow: Annotated[
        bool, typer.Option("--follow", help="Also wait for the AREAs that follow it, and print each as it ends.")
    ] = False,
    as_json: console.AsJson = False,
) -> None:
    """Run an AREA once, for real, even if it is switched off. In a chain, the AREAs that follow it run too.

    The event is --data, or else the AREA's last event, or else the action's sample. Ignores only_if and the delay.
    """
    from area.engine import control

    event = console.read_object(data, "--data") if data is not None else None

    async def work(state: "State") -> "ExecutionView":
        area_id, user_id = await area_of(state, area)
        async with state.database.transaction() as session:
            number = await control.run(session, state, user_id, area_id, event)
        if follow:
            lines.extend(await _follow_run(state, user_id, number, wait, as_json=as_json))
        return await _until_over(state, user_id, number, 0 if follow else wait)

    lines: list[ExecutionLine] = []
    view = console.with_state(work)
    if not follow:
        _tell(view, waited=wait, as_json=as_json)
        return
    if as_json:
        console.print_json(lines)
    if any(line.status in ("failed", "pending", "running") for line in lines):
        raise typer.Exit(1)


async def _follow_run(
    state: "State", user_id: int, run: int, seconds: float, *, as_json: bool
) -> "list[ExecutionLine]":
    """Print a run's executions as they end, until all have or the time is up. Returns all of them."""
    import asyncio

    from area.cli.chains import told
    from area.runs import whole

    end, printed = time.monotonic() + seconds, set()
    while True:
        async with state.database.sessions() as session:
            lines = await whole.whole(session, user_id, run)
        for depth, line in whole.below(lines):
            if line.status not in ("pending", "running") and line.id not in printed:
                printed.add(line.id)
                if not as_json:
                    console.echo(told(line, depth))
        if len(printed) == len(lines):
            return lines
        if time.monotonic() > end:
            console.echo(f"{len(lines) - len(printed)} not finished after {seconds:.0f} seconds.", err=True)
            return lines
        await asyncio.sleep(LOOK_EVERY)


def replay(
    execution_id: Annotated[int, typer.Argument(metavar="EXECUTION_ID")],
    present: Annotated[
        bool, typer.Option("--present", help="Use the AREA's current parameters instead of the original ones.")
    ] = False,
    wait: Wait = 30,
    as_json: console.AsJson = False,
) -> None:
    """Replay an execution's event, for real."""
    from area.engine import control

    async def work(state: "State") -> "ExecutionView":
        user_id = await owner_of(state, execution_id)
        async with state.database.transaction() as session:
            number = await control.replay(session, state, user_id, execution_id, "present" if present else "as_it_was")
        return await _until_over(state, user_id, number, wait)

    _tell(console.with_state(work), waited=wait, as_json=as_json)


async def area_of(state: "State", name: str) -> tuple[int, int]:
    """The AREA's id and its owner's."""
    from area.kit.problems import Conflict, NotFound

    number = int(name) if name.isascii() and name.isdigit() and len(name) < 10 else None
    pool = await state.database.pool()
    rows = await pool.fetch(AREAS, number, name)
    if not rows:
        raise NotFound(f"No AREA {name}.")
    if len(rows) > 1:
        raise Conflict(f"Several AREAs are called {name!r}. Use the id, which `area tail` and the API show.")
    return rows[0]["id"], rows[0]["user_id"]


async def owner_of(state: "State", execution_id: int) -> int:
    """Whose execution it is. Raises `NotFound`."""
    from area.kit.problems import NotFound

    pool = await state.database.pool()
    owner = await pool.fetchval(OWNER_OF_EXECUTION, execution_id) if execution_id < 2**63 else None
    if owner is None:
        raise NotFound(f"No execution {execution_id}.")
    return int(owner)


async def _until_over(state: "State", user_id: int, execution_id: int, seconds: float) -> "ExecutionView":
    """The execution, once it has finished or the time is up."""
    import asyncio

    from area import runs
    from area.engine import control

    end = time.monotonic() + seconds
    while True:
        async with state.database.sessions() as session:
            view = await runs.get(session, control.scope(state), user_id, execution_id)
        if view.status not in ("pending", "running") or time.monotonic() > end:
            return view
        await asyncio.sleep(LOOK_EVERY)


def _tell(view: "ExecutionView", *, waited: float, as_json: bool) -> None:
    """Print the outcome of an execution. Exit code 1 if it failed or did not finish in time."""
    over = view.status not in ("pending", "running")
    if as_json:
        console.print_json(view)
    else:
        console.echo(f"{MARKS[view.status]} execution {view.id} of {view.area_name}: {view.status}")
        if view.error_message:
            console.echo(view.error_message)
        if view.result is not None:
            console.print_json(view.result)
        if not over and waited:
            hint = "is a worker running? Check with `area doctor`" if not view.attempts else "it will be retried later"
            console.echo(f"Not finished after {waited:.0f} seconds: {hint}.", err=True)
    if view.status == "failed" or (not over and waited):
        raise typer.Exit(1)


def tail(
    user: Annotated[
        str | None, typer.Option("--user", help="Only this account's executions: e-mail address, username or id.")
    ] = None,
    area: Annotated[int | None, typer.Option("--area", help="Only this AREA's executions.")] = None,
    lines: Annotated[
        int, typer.Option("-n", "--lines", help="How many past executions to print first.", min=0, max=1000)
    ] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Follow the execution log live. Press Ctrl-C to stop."""

    async def work(state: "State") -> None:
        async with state.database.sessions() as session:
            user_id = (await console.find_user(session, user)).id if user else None
        await _follow(state, user_id, area, lines, as_json=as_json)

    try:
        console.with_state(work)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


async def _follow(state: "State", user_id: int | None, area_id: int | None, count: int, *, as_json: bool) -> None:
    """Print the newest executions, then each one that changes, forever."""
    import asyncio

    import asyncpg
    import orjson

    from area.db.notify import Channel

    changed: asyncio.Queue[dict[int, list[int]] | None] = asyncio.Queue()

    def heard(_connection: Any, _process: int, _channel: str, payload: object) -> None:
        users = orjson.loads(str(payload))["users"]
        changed.put_nowait({int(owner): ids for owner, ids in users.items()})

    connection = await asyncpg.connect(state.database.dsn)
    try:
        connection.add_termination_listener(lambda _connection: changed.put_nowait(None))
        await connection.add_listener(Channel.EXECUTIONS_CHANGED, heard)
        newest: dict[int, list[int]] = defaultdict(list)
        for row in await connection.fetch(NEWEST, user_id, area_id, count):
            newest[row["user_id"]].append(row["id"])
        await _print(state, newest, area_id, as_json=as_json)
        while (ids := await changed.get()) is not None:
            mine = {owner: some for owner, some in ids.items() if user_id in (None, owner)}
            await _print(state, mine, area_id, as_json=as_json)
    finally:
        connection.terminate()
    raise console.Failed("The database closed the connection.")


async def _print(state: "State", ids: dict[int, list[int]], area_id: int | None, *, as_json: bool) -> None:
    from area import runs

    executions: list[ExecutionLine] = []
    async with state.database.sessions() as session:
        for owner, some in ids.items():
            executions += await runs.lines(session, owner, some)
    for line in sorted(executions, key=lambda line: line.id):
        if area_id not in (None, line.area_id):
            continue
        if as_json:
            console.print_json(line, indent=None)
            continue
        took = f"  {line.execution_time_ms} ms" if line.execution_time_ms is not None else ""
        tries = f"  {line.attempts + 1} attempts" if line.attempts else ""
        why = f"  {console.visible(line.error_message)}" if line.error_message else ""
        console.echo(
            f"{line.updated_at.astimezone():%H:%M:%S}  {MARKS[line.status]} {line.status:<9}  {line.id}"
            f"  {console.visible(line.area_name)} ({line.area_id}){took}{tries}{why}"
        )
