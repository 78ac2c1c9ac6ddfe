"""One AREA: state, settings, live runs and figures; test, run, export and delete it."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import orjson
import yaml
from babel.dates import format_date, format_time
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from area import areas
from area.areas import bundles
from area.areas.views import AreaOut, ChainLink, PartOut
from area.doors.deps import CacheDep, Id, ScopeDep, SessionDep, StateDep
from area.engine import control, nudges
from area.kit.problems import Conflict, Invalid
from area.registry import Registry
from area.runs import history, whole
from area.runs.excerpts import excerpts
from area.sdk import Action, Reaction
from area.sdk.fields import Field, by_name, form_fields
from area.sdk.sensitive import MASK
from area.web import steps
from area.web.details.curl import curl
from area.web.editor.forms import LINK
from area.web.editor.inputs import readable
from area.web.editor.trying import tried
from area.web.parts.pages import Fields, Page, SignedIn
from area.web.parts.sentences import sentences
from area.web.parts.show import pretty

router = APIRouter()

RUNS = 20
PLACEHOLDER = re.compile(r"(\{\{.*?\}\})", re.DOTALL)
MOST_DATA = 200_000  # characters of an event that somebody writes


class Parameter(BaseModel):
    """A parameter as written: `pieces` are its text, each with whether it is a placeholder."""

    name: str
    label: str
    pieces: list[tuple[str, bool]]
    secret: bool = False


class Known(BaseModel):
    """What the page shows besides the AREA itself."""

    kind: str  # how its events arrive; nothing when the action is gone
    verify: str  # how its webhooks are signed, where AREA made the secret


@router.get("/areas/{area_id:int}")
async def one(page: SignedIn, area_id: Id, scope: ScopeDep, session: SessionDep, by: history.By = "hour") -> Response:
    """The page of one AREA."""
    area = await areas.get(session, scope, page.user.id, area_id)
    latest = await whole.newest(session, page.user.id, limit=RUNS, area_id=area_id)
    names = await areas.names(session, page.user.id, _followed(area.chain)) if area.chain else {}
    chain = steps.steps(page, area.chain, names) if area.chain else []
    return await page.show(
        "details.html",
        nav="home",
        area=area,
        known=known(scope.registry, area),
        chain_steps=chain,
        place=next((step for step in chain if step.id == area_id), None),
        sentence=sentences(scope.registry, [area], page.language)[0],
        action_parameters=parameters(page, area.action, "action", names),
        reaction_parameters=parameters(page, area.reaction, "reaction"),
        curl=curl(area),
        runs=latest,
        excerpts=await excerpts(session, [run.id for run in latest]),
        chart=await _chart(page, session, area_id, by),
        by=by,
    )


@router.get("/areas/{area_id:int}/state")
async def state_part(page: SignedIn, area_id: Id, scope: ScopeDep, session: SessionDep) -> Response:
    """The state card, refreshed live."""
    return await _state(page, await areas.get(session, scope, page.user.id, area_id), scope.registry)


@router.get("/areas/{area_id:int}/runs")
async def runs_part(page: SignedIn, area_id: Id, scope: ScopeDep, session: SessionDep) -> Response:
    """The latest runs, refreshed live."""
    area = await areas.get(session, scope, page.user.id, area_id)
    latest = await whole.newest(session, page.user.id, limit=RUNS, area_id=area_id)
    lines = await excerpts(session, [run.id for run in latest])
    return await page.show(
        "_details_runs.html", area=area, runs=latest, excerpts=lines, known=known(scope.registry, area), curl=curl(area)
    )


@router.get("/areas/{area_id:int}/chart")
async def chart_part(
    page: SignedIn, area_id: Id, scope: ScopeDep, session: SessionDep, by: history.By = "hour"
) -> Response:
    """The figures, refreshed live."""
    area = await areas.get(session, scope, page.user.id, area_id)
    return await page.show("_details_chart.html", area=area, chart=await _chart(page, session, area_id, by), by=by)


@router.post("/areas/{area_id:int}/power")
async def power(page: SignedIn, area_id: Id, form: Fields, scope: ScopeDep, session: SessionDep) -> Response:
    """Switch it on or off."""
    area = await areas.set_active(session, scope, page.user.id, area_id, active=form.get("on") == "1")
    if not page.partial:
        return page.to(f"/areas/{area_id}")
    return await _state(page, area, scope.registry)


@router.post("/areas/{area_id:int}/chain")
async def switch_chain(page: SignedIn, area_id: Id, form: Fields, scope: ScopeDep, session: SessionDep) -> Response:
    """Switch all AREAs of its chain on or off."""
    await areas.switch_chain(session, scope, page.user.id, area_id, active=form.get("on") == "1")
    return page.to(f"/areas/{area_id}")


@router.post("/areas/{area_id:int}/try")
async def try_out(
    page: SignedIn, area_id: Id, form: Fields, state: StateDep, cache: CacheDep, session: SessionDep
) -> Response:
    """Dry run: show what would be sent without sending it, and what a look-up finds."""
    area = await areas.get(session, control.scope(state), page.user.id, area_id)  # before the session is given back
    try:
        data = event(page, form["data"]) if form.get("data", "").strip() else None
        preview = await control.preview(session, state, page.user.id, area_id, data, cache=cache)
    except Invalid as error:
        sentences = [problem["message"] for problem in error.errors] or [error.message]
        return await page.show(
            "_details_try.html", area_id=area_id, preview=None, problems=sentences, form=form, kind=""
        )
    reaction = state.registry.reaction(preview.reaction)
    named = labels(page, reaction)
    kind = known(state.registry, area).kind
    return await page.show(
        "_details_try.html", area_id=area_id, preview=preview, problems=[], form=form, labels=named, kind=kind,
        followed=tried(page, preview, area.name)[1:],
        title=page.words(reaction.service.slug)(reaction.title) if reaction else preview.reaction,
    )  # fmt: skip


@router.post("/areas/{area_id:int}/run")
async def run(page: SignedIn, area_id: Id, form: Fields, state: StateDep, session: SessionDep) -> Response:
    """Run the AREA once."""
    data = event(page, form["data"]) if form.get("data", "").strip() else None
    try:
        await control.run(session, state, page.user.id, area_id, data)
    except Conflict as error:
        return page.to(f"/areas/{area_id}", said=page.tell(error))
    return page.to(f"/areas/{area_id}", said=page.say("Started. See the latest run below."))


@router.post("/areas/{area_id:int}/check")
async def check(page: SignedIn, area_id: Id, session: SessionDep) -> Response:
    """Look for news now."""
    try:
        await nudges.check_now(session, page.user.id, area_id)
    except Conflict as error:
        return page.to(f"/areas/{area_id}", said=page.tell(error))
    return page.to(f"/areas/{area_id}", said=page.say("Checking. New events show below."))


@router.post("/areas/{area_id:int}/renew")
async def renew(page: SignedIn, area_id: Id, scope: ScopeDep, session: SessionDep) -> Response:
    """Replace the webhook URL."""
    await areas.renew_address(session, scope, page.user.id, area_id)
    return page.to(f"/areas/{area_id}", said=page.say("This AREA has a new webhook URL. The old one no longer works."))


@router.post("/areas/{area_id:int}/when-off")
async def when_off(page: SignedIn, area_id: Id, form: Fields, scope: ScopeDep, session: SessionDep) -> Response:
    """Set what happens to webhook requests while the AREA is off."""
    patch = areas.AreaPatch(when_off="skip" if form.get("when_off") == "skip" else "retry")
    await areas.change(session, scope, page.user.id, area_id, patch)
    return page.to(f"/areas/{area_id}", said=page.say("Saved."))


@router.get("/areas/{area_id:int}/export")
async def export(
    page: SignedIn, area_id: Id, scope: ScopeDep, session: SessionDep, form: Literal["yaml", "json"] = "yaml"
) -> Response:
    """Export the AREA as a file for `area apply -f`, without secrets."""
    await areas.get(session, scope, page.user.id, area_id)
    exported = await bundles.export(session, scope, page.user.id, [area_id])
    bundle = {"areas": [area.model_dump(mode="json") for area in exported]}
    if form == "json":
        content, kind = orjson.dumps(bundle, option=orjson.OPT_INDENT_2), "application/json"
    else:
        content = yaml.safe_dump(bundle, sort_keys=False, allow_unicode=True, width=120).encode()
        kind = "application/yaml"
    word = re.sub(r"[^a-z0-9]+", "-", exported[0].name.lower()).strip("-")[:60] or "area"
    headers = {"Content-Disposition": f'attachment; filename="{word}.{form}"', "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type=kind, headers=headers)


@router.post("/areas/{area_id:int}/delete")
async def delete(page: SignedIn, area_id: Id, form: Fields, scope: ScopeDep, session: SessionDep) -> Response:
    """Delete it with its runs. In a chain, `then` says what becomes of the AREAs that follow it."""
    area = await areas.get(session, scope, page.user.id, area_id)
    choices: dict[str, Literal["follow", "delete"]] = {"follow": "follow", "delete": "delete"}
    try:
        await areas.take_out(session, scope, page.user.id, area_id, then=choices.get(form.get("then", "")))
    except Conflict as error:
        return page.to(f"/areas/{area_id}", said=page.tell(error))
    return page.to("/", said=page.say("“%(name)s” deleted.", name=area.name))


async def _state(page: Page, area: AreaOut, registry: Registry) -> Response:
    return await page.show("_details_state.html", area=area, known=known(registry, area))


async def _chart(page: Page, session: Any, area_id: int, by: history.By) -> dict[str, Any]:
    """Data of the chart and its table, with labels in the reader's time zone and language."""
    buckets = await history.figures(session, area_id, by, page.user.timezone)
    if by == "hour":
        labels = [format_time(bucket.start, "HH:mm", locale=page.language) for bucket in buckets]
    else:
        labels = [format_date(bucket.start, "d MMM", locale=page.language) for bucket in buckets]
    names = ("success", "failed", "other", "median_ms", "slow_ms")
    return {"labels": labels, **{name: [getattr(bucket, name) for bucket in buckets] for name in names}}


# Used for runs, too


def known(registry: Registry, area: AreaOut) -> Known:
    """What the registry knows about an AREA."""
    action = registry.action(area.action.component)
    verify = action.verify.name if action and action.verify and area.webhook_secret else ""
    return Known(kind=action.kind if action else "", verify=verify)


def parameters(
    page: Page, part: PartOut, kind: Literal["action", "reaction"], names: Mapping[int, str] = {}
) -> list[Parameter]:
    """A side's parameters as written. `names` are of the AREAs that a link follows."""
    registry = page.state.registry
    component = registry.action(part.component) if kind == "action" else registry.reaction(part.component)
    named = labels(page, component)
    order = [
        *(name for name in named if name in part.parameters),
        *(name for name in part.parameters if name not in named),
    ]
    account = {"account": part.connection} if part.connection else {}
    labelled = named | {"account": page.say("Account")}
    declared = by_name(component.params) if component else {}
    say = page.words(component.service.slug) if component else page.say
    values = {name: _read_out(declared.get(name), part.parameters[name], say) for name in order}
    if component and component.key == LINK and isinstance(followed := values.get("after"), list):
        values["after"] = ", ".join(names.get(number, str(number)) for number in followed)
    return written(account | values, labelled)


def _followed(link: ChainLink) -> set[int]:
    """All AREAs that those of a chain follow."""
    return {*link.after, *(number for below in link.then for number in _followed(below))}


def _read_out(declared: Field | None, value: Any, say: Callable[[str], str]) -> Any:
    """A value as it is read: choices by their names."""
    if declared is None or not isinstance(value, str):
        return value
    if declared.input and declared.input.many:
        known = {choice: say(declared.labels.get(choice, choice)) for choice in declared.input.many}
        return ", ".join(known.get(word, word) for word in re.split(r"[\s,]+", value) if word)
    return say(declared.labels.get(value, value)) if value in (declared.choices or ()) else value


def written(values: Mapping[str, Any], named: Mapping[str, str]) -> list[Parameter]:
    """Parameters with their labels, their placeholders apart from the text around them."""
    return [
        Parameter(name=name, label=named.get(name, ""), pieces=pieces(pretty(value)), secret=value == MASK)
        for name, value in values.items()
    ]


def labels(page: Page, component: Action | Reaction | None) -> dict[str, str]:
    """Labels of the component's parameters."""
    if component is None:
        return {}
    say = page.words(component.service.slug)
    return {declared.name: say(readable(declared.name)) for declared in form_fields(component.params)}


def pieces(text: str) -> list[tuple[str, bool]]:
    """The text split at its placeholders."""
    return [(piece, place % 2 == 1) for place, piece in enumerate(PLACEHOLDER.split(text)) if piece]


def event(page: Page, text: str) -> dict[str, Any]:
    """Parse event data typed by the user. Raises `Invalid` with the position of the error."""
    if len(text) > MOST_DATA:
        raise Invalid.field("data", page.say("This is too long."))
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        where = {"line": error.lineno, "column": error.colno}
        message = page.say("That isn't valid JSON: see line %(line)s, column %(column)s.", **where)
        raise Invalid.field("data", message) from None
    if not isinstance(value, dict):
        raise Invalid.field("data", page.say("Enter a JSON object: names and values between { and }."))
    return value
