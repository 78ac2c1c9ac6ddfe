"""The log of runs, live and searchable, with replay; and one run."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, assert_never, get_args
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from starlette.responses import Response

from area import areas, runs
from area.doors.body import BoundedRequest
from area.doors.deps import BigId, ScopeDep, SessionDep, StateDep
from area.engine import control
from area.kit.clock import now
from area.kit.problems import Conflict, Invalid, TooMany
from area.registry import Registry
from area.runs import ExecutionLine, history, whole
from area.runs.excerpts import excerpts
from area.runs.record import Reason, Status
from area.runs.whole import RunLine, below
from area.web.details import event, labels, written
from area.web.parts import offers
from area.web.parts.pages import Fields, Page, SignedIn
from area.web.parts.show import pretty

router = APIRouter()

PAGE = 50
BULK = 500  # runs that are run again at once
MOST_LINKS = 200  # runs of a chain that are shown
OPEN = 200  # rows that aren't over and are asked after
LARGEST = 200_000  # characters of JSON that are shown foldable
STATUSES: tuple[Status, ...] = get_args(Status)
OVER = ("success", "failed", "cancelled", "skipped")
LAST = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}


class Filter(BaseModel):
    """Filters from the query string; `from_` and `to` are in the user's time zone."""

    status: list[Status] = []
    area: int | None = None
    service: str = ""
    time: str = ""
    from_: str = ""
    to: str = ""
    q: str = ""

    @property
    def any(self) -> bool:
        """Whether any filter is set."""
        return bool(self.pairs())

    def pairs(self) -> list[tuple[str, str]]:
        """Query parameters without empty ones."""
        query = [("status", status) for status in self.status]
        texts = {"area": self.area or "", "service": self.service, "time": self.time, "q": self.q}
        if self.time == "between":
            texts |= {"from": self.from_, "to": self.to}
        return query + [(name, str(value)) for name, value in texts.items() if value]

    def address(self, **more: object) -> str:
        """URL of the list, with `more` parameters added."""
        query = urlencode([*self.pairs(), *((name, str(value)) for name, value in more.items())])
        return f"/runs?{query}" if query else "/runs"


class Logos(BaseModel):
    """The two services of an AREA: names and icons."""

    name: str
    icon_path: str | None


def wanted(request: Request) -> Filter:
    """Filters from the query string; invalid values are ignored."""
    query = request.query_params
    return read(query.getlist("status"), {name: query.get(name, "") for name in query})


def read(statuses: Sequence[str], given: dict[str, str]) -> Filter:
    """Filters from an address or a form."""
    area = given.get("area", "")
    return Filter(
        status=[status for status in STATUSES if status in statuses],
        area=int(area) if area.isascii() and area.isdigit() and 0 < int(area[:10]) < 2**31 else None,
        service=given.get("service", "")[:64],
        time=given.get("time", "") if given.get("time") in (*LAST, "between") else "",
        from_=given.get("from", "")[:20],
        to=given.get("to", "")[:20],
        q=given.get("q", "").strip()[:200].replace("\0", ""),
    )


Wanted = Annotated[Filter, Depends(wanted)]


@router.get("/runs")
async def listed(page: SignedIn, request: Request, chosen: Wanted, scope: ScopeDep, session: SessionDep) -> Response:
    """The list of runs, or parts of it for htmx."""
    before = _number(request.query_params.get("before", ""))
    again = request.query_params.get("again") == "1"
    problem, rows = "", []
    try:
        rows = await _find(session, scope.registry, page, chosen, limit=PAGE + 1, before=None if again else before)
    except (Invalid, TooMany) as error:
        problem = page.tell(error)
    more = rows[PAGE - 1].id if len(rows) > PAGE else None
    values = await _with_logos(page, session, rows[:PAGE])
    values |= {"wanted": chosen, "more": more, "first": before is None or again, "problem": problem}
    if page.partial:
        if before is not None and not again:
            return await page.show("_runs_rows.html", **values)
        response = await page.show("_runs.html", **values)
        response.headers["HX-Push-Url"] = chosen.address()
        return response
    mine = await history.names(session, page.user.id)
    services = offers.named(page, await areas.services_in_use(session, scope.registry, page.user.id))
    ask = None
    if again and not problem:
        ask = await _fitting(session, scope.registry, page, chosen, before)
    return await page.show(
        "runs.html", nav="runs", mine=mine, services=services, ask=ask, ask_before=before, bulk=BULK, **values
    )


@router.get("/runs/changes")
async def changes(page: SignedIn, request: Request, chosen: Wanted, scope: ScopeDep, session: SessionDep) -> Response:
    """The newest matching rows, and the given unfinished ones, for runs.js to update in place."""
    numbers = [_number(text) for text in request.query_params.getlist("open")[:OPEN]]
    try:
        rows = await _find(session, scope.registry, page, chosen, limit=PAGE)
    except (Invalid, TooMany):
        rows = []
    fresh = {row.id for row in rows}
    rows += await whole.lines(session, page.user.id, [number for number in numbers if number and number not in fresh])
    return await page.show("_runs_changes.html", fresh=fresh, **await _with_logos(page, session, rows))


@router.post("/runs/replay")
async def replay_many(
    page: SignedIn, request: Request, scope: ScopeDep, state: StateDep, session: SessionDep
) -> Response:
    """Rerun the selected runs, or all failed ones that match, with their AREAs' current settings."""
    async with BoundedRequest(request.scope, request.receive).form(max_fields=2000) as form:
        fitting = form.get("do") == "fitting"
        texts = {name: value for name, value in form.items() if isinstance(value, str)}
        filter_ = read([str(text) for text in form.getlist("status")], texts)
        marked = [number for number in (_number(str(number)) for number in form.getlist("run")) if number]
    oldest, left = None, 0
    if fitting:
        rows, left, oldest = await _fitting(session, scope.registry, page, filter_, _number(texts.get("before", "")))
    else:
        rows = [row for row in await whole.lines(session, page.user.id, marked[:BULK]) if row.status in OVER]
    for row in reversed(rows):
        await control.replay(session, state, page.user.id, row.id, "present")
    message = [page.say("%(number)s started again.", number=len(rows))]
    if not fitting and len(rows) < min(len(marked), BULK):
        waiting = min(len(marked), BULK) - len(rows)
        message.append(page.say("%(number)s left out because they haven't finished.", number=waiting))
    if len(marked) > BULK:
        message.append(page.say("Limited to %(number)s at a time; select the others again.", number=BULK))
    if left:
        message.append(page.say("%(number)s left out because they were already run again.", number=left))
    address = filter_.address(again=1, before=oldest) if oldest else "/runs"
    return page.to(address, said=" ".join(message))


@router.post("/runs/cancel")
async def cancel_many(page: SignedIn, request: Request, session: SessionDep) -> Response:
    """Cancel the selected runs that haven't finished."""
    async with BoundedRequest(request.scope, request.receive).form(max_fields=2000) as form:
        marked = [number for number in (_number(str(number)) for number in form.getlist("run")) if number]
        back = str(form.get("back", "/runs"))
    rows = await whole.lines(session, page.user.id, marked[:BULK])
    cancelled = 0
    for row in rows:
        if row.status not in OVER:
            try:
                await control.cancel_run(session, page.user.id, row.id)
            except Conflict:
                continue  # it ended in between
            cancelled += 1
    address = back if back.startswith("/runs") else "/runs"
    return page.to(address, said=page.say("%(number)s cancelled.", number=cancelled))


# One run


@router.get("/runs/{run_id:int}")
async def one(page: SignedIn, run_id: BigId, scope: ScopeDep, session: SessionDep) -> Response:
    """One run, refreshed until it finishes."""
    return await _show(page, session, scope, run_id)


@router.post("/runs/{run_id:int}/replay")
async def replay(page: SignedIn, run_id: BigId, form: Fields, state: StateDep, session: SessionDep) -> Response:
    """Run again with the settings from then or the current ones."""
    mode: control.Mode = "as_it_was" if form.get("mode") == "as_it_was" else "present"
    number = await control.replay(session, state, page.user.id, run_id, mode)
    return page.to(f"/runs/{number}", said=page.say("This is the new run."))


@router.post("/runs/{run_id:int}/edited")
async def edited(
    page: SignedIn, run_id: BigId, form: Fields, scope: ScopeDep, state: StateDep, session: SessionDep
) -> Response:
    """Run the AREA with this run's edited data."""
    view = await runs.get(session, scope, page.user.id, run_id)
    try:
        data = event(page, form.get("data", ""))
    except Invalid as error:
        return await _show(page, session, scope, run_id, 422, typed=form.get("data", ""), problem=page.tell(error))
    number = await control.run(session, state, page.user.id, view.area_id, data)
    return page.to(f"/runs/{number}", said=page.say("This is the new run, with your edited data."))


@router.post("/runs/{run_id:int}/try")
async def try_now(page: SignedIn, run_id: BigId, session: SessionDep) -> Response:
    """Run a pending run now."""
    try:
        await control.hurry(session, page.user.id, run_id)
    except Conflict as error:
        return page.to(f"/runs/{run_id}", said=page.tell(error))
    return page.to(f"/runs/{run_id}")


@router.post("/runs/{run_id:int}/cancel")
async def cancel(page: SignedIn, run_id: BigId, session: SessionDep) -> Response:
    """Cancel a pending or running run."""
    await control.cancel(session, page.user.id, run_id)
    return page.to(f"/runs/{run_id}")


async def _show(
    page: Page, session: Any, scope: areas.Scope, run_id: int, status: int = 200, *, typed: str = "", problem: str = ""
) -> Response:
    view = await runs.get(session, scope, page.user.id, run_id)
    area = await areas.get(session, scope, page.user.id, view.area_id)
    then = await history.then(session, scope, view)
    older, newer = await history.around(session, view.area_id, run_id)
    replays = await history.replays(session, [run_id])
    values: dict[str, Any] = {"run": view, "area": area, "then": then, "older": older, "newer": newer}
    values |= {"replayed": replays.get(run_id), "over": view.status in OVER, "typed": typed, "problem": problem}
    values["data_text"] = pretty(view.trigger_data if view.trigger_data is not None else {})
    values |= {"largest": LARGEST, "key": f"{page.state.instance}-{run_id}", "waits": _waits(page, view.waits_for)}
    if then:
        reaction = scope.registry.reaction(then.reaction)
        named = labels(page, reaction)
        values["title"] = page.words(reaction.service.slug)(reaction.title) if reaction else then.reaction
        parameters = {name: "" for name in view.parameters or {} if name not in then.reaction_parameters}
        values["written"] = written({**then.reaction_parameters, **parameters}, named)
        values["changed"] = [
            name
            for name in {**then.reaction_parameters, **area.reaction.parameters}
            if then.reaction_parameters.get(name) != area.reaction.parameters.get(name)
        ]
    lines = await runs.find(session, page.user.id, limit=MOST_LINKS, run=view.run) if view.run else []
    again = await history.replays(session, [line.id for line in lines])
    broken = {line.id for line in lines if line.status == "failed" and line.parent and line.id not in again}
    values |= {"whole": _folded(below(lines[::-1]), run_id), "links": len(lines), "most_links": MOST_LINKS}
    values |= {"broken": broken, "going": any(line.status not in OVER for line in lines)}
    values |= await _with_logos(page, session, [view])
    return await page.show("_run.html" if page.partial else "run.html", status, nav="runs", **values)


# Helpers


def _folded(lines: Sequence[tuple[int, ExecutionLine]], shown: int) -> list[list[tuple[int, ExecutionLine]]]:
    """The links of a run in order; items of one list that succeeded and led to nothing together, but for `shown`."""
    groups: list[list[tuple[int, ExecutionLine]]] = []
    parents = {line.parent for _, line in lines}
    for depth, line in lines:
        plain = line.index is not None and line.status == "success" and line.id not in parents and line.id != shown
        last = groups[-1][-1][1] if groups else None
        same = last is not None and (last.area_id, last.parent) == (line.area_id, line.parent)
        if plain and same and last and last.status == "success" and last.id not in parents and last.id != shown:
            groups[-1].append((depth, line))
        else:
            groups.append([(depth, line)])
    return groups


def _waits(page: Page, reason: Reason | None) -> str:
    """What a pending run waits for."""
    match reason:
        case "delay":
            return page.say("Waiting for its delay.")
        case "connection":
            return page.say("Waiting for a connection. It runs as soon as you reconnect.")
        case "parked":
            return page.say("Waiting for the service's rate limit.")
        case "retry":
            return page.say("The last attempt failed. Retrying automatically.")
        case "run" | "replay" | "chain" | "crowded" | "handed_back" | None:
            return page.say("About to run.")
        case _:
            assert_never(reason)


async def _find(
    session: Any, registry: Registry, page: Page, chosen: Filter, *, limit: int, before: int | None = None
) -> list[RunLine]:
    filters = _filters(registry, page, chosen)
    return await whole.newest(session, page.user.id, limit=limit, before=before, **filters)


def _filters(registry: Registry, page: Page, chosen: Filter) -> dict[str, Any]:
    """The filters as `runs.find` and `whole.newest` take them."""
    since, until = _times(chosen, page.user.timezone)
    service = registry.services.get(chosen.service)
    name = (service.name if service else chosen.service) or None
    return {
        "area_id": chosen.area,
        "service": name,
        "status": chosen.status,
        "q": chosen.q or None,
        "since": since,
        "until": until,
    }


async def _fitting(
    session: Any, registry: Registry, page: Page, chosen: Filter, before: int | None
) -> tuple[list[ExecutionLine], int, int | None]:
    """Matching failed runs not yet run again, of chains the links that failed, up to `BULK`; how many were left out;
    and where to continue, if there are more.
    """
    failed = chosen.model_copy(update={"status": ["failed"]})
    filters = _filters(registry, page, failed)
    rows = await runs.find(session, page.user.id, limit=BULK + 1, before=before, **filters)
    oldest = rows[BULK - 1].id if len(rows) > BULK else None
    rows = rows[:BULK]
    known = await history.replays(session, [row.id for row in rows])
    return [row for row in rows if row.id not in known], len(known), oldest


def _times(chosen: Filter, zone: str) -> tuple[datetime | None, datetime | None]:
    if chosen.time in LAST:
        return now() - LAST[chosen.time], None
    if chosen.time != "between":
        return None, None

    def aware(text: str) -> datetime | None:
        try:
            return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        except (ValueError, OverflowError):
            return None

    return aware(chosen.from_), aware(chosen.to)


async def _with_logos(page: Page, session: Any, rows: Sequence[Any]) -> dict[str, Any]:
    slugs = await history.services_of(session, page.state.registry, {row.area_id for row in rows})
    logos = {key: [_logo(page, slug) for slug in both] for key, both in slugs.items()}
    return {"rows": rows, "logos": logos, "excerpts": await excerpts(session, [row.id for row in rows])}


def _logo(page: Page, slug: str) -> Logos:
    service = page.state.registry.services.get(slug)
    icon = f"/icons/{slug}.svg" if slug in page.state.registry.folders else None
    return Logos(name=page.words(slug)(service.name) if service else slug, icon_path=icon)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
