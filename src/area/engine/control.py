"""What people do with executions: run, replay, cancel, dry run.

One module, since each of them begins with the same look at who owns what.
"""

from collections.abc import Sequence
from typing import Any, Literal

import orjson
from pydantic import ValidationError
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from area import areas
from area.areas import Checked, LinkIn
from area.areas.parameters import configs
from area.areas.parameters import present as present_config
from area.areas.plans import Plan, compile_config, field_errors, to_text
from area.areas.samples import sample_of
from area.connections import vault
from area.db import queue
from area.db.models import Area, AreaExecution, AreaVersion, ExecutionLink, ExecutionRecord
from area.db.notify import Channel
from area.db.session import notify, raw
from area.engine import dry_run, trying
from area.engine.cache import Cache
from area.engine.intake import LaterJob, enqueue_later
from area.engine.state import State
from area.kit.clock import now
from area.kit.crypto import Undecryptable
from area.kit.problems import Conflict, FieldError, Invalid, NotFound
from area.kit.sentences import Sentence
from area.runs import record_of
from area.runs.record import Reason, RunRecord, seal, unseal
from area.sdk import Action, Reaction
from area.sdk.fields import by_name
from area.sdk.sensitive import MASK
from area.sdk.timers import firing

Mode = Literal["as_it_was", "present"]

NAMED = 200  # executions in one notification
CANCEL_RUN = text("""
with mine as (
    select e.id, e.status from area_executions e join areas a on a.id = e.area_id and a.user_id = :user
    where e.id in (select cast(:root as bigint) union all
                   select execution_id from execution_links where root = cast(:root as bigint))
      and e.status in ('pending', 'running')
    order by e.id for update of e
)
update area_executions x set status = 'cancelled', completed_at = timezone('utc', now()), updated_at = now(),
    error_message = case mine.status when 'running' then cast(:running as text) else cast(:pending as text) end,
    execution_time_ms = case mine.status when 'running' then
        round(extract(epoch from timezone('utc', now()) - x.started_at) * 1000) end
from mine where x.id = mine.id returning x.id
""")


def scope(state: State) -> areas.Scope:
    """What the functions of `areas` need from the process."""
    return state.scope


async def preview(
    session: AsyncSession,
    state: State,
    user_id: int,
    wanted: Checked | int,
    data: dict[str, Any] | None = None,
    *,
    cache: Cache | None = None,
    name: str = "",
    then: Sequence[LinkIn] = (),
) -> dry_run.Preview:
    """Fill in an AREA (saved or not) with `data`, or what would come now, or its last event, or the action's sample,
    and then those that follow it. `name` and `then` are of one that isn't saved.

    Sends nothing; but with a `cache`, look-ups are asked. For that time the session gives its connection back, so what
    it has not committed is lost.
    """
    if isinstance(wanted, int):
        area = await _own_area(session, user_id, wanted)
        name, following = area.name, await trying.saved(session, scope(state), user_id, wanted)
        plan = compile_config(state.registry, await present_config(session, scope(state), area))
        last = None if data is not None else current_event(plan) or await _last_event(session, area.id)
        number = plan.reaction_connection
    else:
        following = await trying.drafted(session, scope(state), user_id, name, wanted.config, then)
        plan, last = wanted.plan, current_event(wanted.plan) if data is None else None
        number = await _connection(session, user_id, wanted)
    sample = data is None and last is None
    event = data if data is not None else last if last is not None else sample_of(state.registry, plan.action)
    timezone = await _timezone(session, user_id)
    shown, params = await dry_run.fill(plan, event, sample=sample, timezone=timezone)
    asking = None
    if cache is not None and (plan.reaction.finds or any(link.finds for link in following)):
        await session.close()
        asking = trying.Asking(state, cache, user_id)
        if params is not None and plan.reaction.finds:
            await asking.ask(shown, plan, params, number)
    return await trying.followed(name, shown, plan, following, asking, timezone)


async def _connection(session: AsyncSession, user_id: int, wanted: Checked) -> int:
    """The connection that an AREA's look-up uses once it is saved."""
    given = wanted.given["reaction"]
    if given is None or not given.connection or not wanted.plan.reaction.finds:
        return wanted.plan.reaction_connection
    return await vault.number(session, wanted.plan.reaction.service, user_id, given.connection)


def current_event(plan: Plan) -> dict[str, Any] | None:
    """What the AREA's timer would say now; None for other actions, which only others can start."""
    if plan.action.kind != "timer":
        return None
    return firing(plan.params, now(), now()).model_dump(mode="json")


async def event_of(
    session: AsyncSession,
    state: State,
    user_id: int,
    action: Action,
    area_id: int | None = None,
    plan: Plan | None = None,
) -> tuple[dict[str, Any], bool]:
    """The event to try an action's values on, and whether it is the sample: what the timer of the `plan` would say now,
    or the AREA's last event, if the AREA has this action.
    """
    if plan and (event := current_event(plan)):
        return event, False
    if area_id is not None:
        area = await _own_area(session, user_id, area_id)
        config = (await configs(session, state.registry, [area]))[area.id][0]
        last = await _last_event(session, area.id) if config.action == action.key else None
        if last is not None:
            return last, False
    return sample_of(state.registry, action), True


async def run(
    session: AsyncSession, state: State, user_id: int, area_id: int, data: dict[str, Any] | None = None
) -> int:
    """Run an AREA once, even if it is off, with `data`, or what would come now, or its last event, or the sample.
    Ignores its delay and `only_if`.

    Returns the id of the execution. Raises `Conflict` if one of its sides is switched off on this server.
    """
    area = await _own_area(session, user_id, area_id)
    if gone := await areas.unavailable(session, scope(state), area_id):
        raise Conflict(gone)
    config = await present_config(session, scope(state), area)
    plan = compile_config(state.registry, config)
    data = data or current_event(plan) or await _last_event(session, area.id)
    if data is None:
        data = sample_of(state.registry, plan.action)
    number = await _insert(session, state, area.id, data, RunRecord(forced=True), "run")
    if plan.action.kind == "link":  # a run of its own begins here
        execution = await session.get_one(AreaExecution, number)
        execution.trigger_data = {**data, "run": number}
        await session.flush()
    return number


async def replay(
    session: AsyncSession,
    state: State,
    user_id: int,
    execution_id: int,
    mode: Mode,
    parameters: dict[str, Any] | None = None,
    *,
    alone: bool = False,
) -> int:
    """Run an execution's event again: with its own parameters, with the AREA's current ones, or with `parameters`. The
    AREAs that follow run again too, unless `alone`. In a chain it takes the place of the old one in the same run.

    If the run did part of its work, the replay does only the rest, unless the AREA has another reaction by now. Returns
    the id of the new execution. Raises `Conflict` if the old one is not over or its parameters can't be read, and
    `Invalid` for parameters that the reaction refuses.
    """
    execution = await _own_execution(session, user_id, execution_id)
    if execution.status in ("pending", "running"):
        raise Conflict("This execution hasn't finished. Cancel it first, or wait.")
    record = RunRecord(forced=True, replay_of=execution.id, alone=alone)
    before = record_of(execution, await session.get(ExecutionRecord, execution.id))
    if parameters is not None:
        area = await _own_area(session, user_id, execution.area_id)
        plan = compile_config(state.registry, await present_config(session, scope(state), area))
        _check_given(plan.reaction, parameters)
        record.version, record.as_it_was = await _version(session, area.id), True
    elif mode == "as_it_was":
        record.version, record.as_it_was = before.version, before.version is not None
        if before.parameters is not None:
            try:
                parameters = unseal(state.keyring, execution.id, before.parameters)
            except Undecryptable as error:
                raise Conflict("The parameters of this execution can't be read: %(error)s", error=error) from error
    if before.state and execution.status != "success":
        version = record.version or await _version(session, execution.area_id)
        if version == before.version or await _same_reaction(session, execution.area_id, {version, before.version}):
            record.state = before.state
    reason: Reason = "replay" if record.as_it_was else "run"
    data = execution.trigger_data or {}
    number = await _insert(session, state, execution.area_id, data, record, reason, parameters)
    if place := await session.get(ExecutionLink, execution.id):
        session.add(ExecutionLink(execution_id=number, parent=place.parent, root=place.root, index=place.index))
        await session.flush()
    return number


def _check_given(reaction: Reaction, parameters: dict[str, Any]) -> None:
    """Raises `Invalid` for parameters that the reaction refuses, and for the dots that mask a secret."""
    try:
        reaction.params.model_validate(parameters)
    except ValidationError as error:
        raise Invalid(errors=field_errors(error, "parameters")) from error
    errors: list[FieldError] = [
        {"field": f"parameters.{name}", "message": Sentence("Replace the dots with the secret.")}
        for name, field in by_name(reaction.params).items()
        if (field.secret or field.holds) and MASK in to_text(parameters.get(name, ""))
    ]
    if errors:
        raise Invalid(errors=errors)


async def cancel(session: AsyncSession, user_id: int, execution_id: int) -> AreaExecution:
    """Cancel an execution that waits or runs. Raises `Conflict` if it is over."""
    execution = await _own_execution(session, user_id, execution_id, lock=True)
    if execution.status not in ("pending", "running"):
        raise Conflict("This execution has already finished: %(status)s.", status=execution.status)
    running = execution.status == "running"
    attempted = running or record_of(execution, await session.get(ExecutionRecord, execution.id)).attempts
    execution.status = "cancelled"
    execution.error_message = Sentence("Cancelled by you.")
    if running:
        execution.error_message = Sentence("Cancelled while running. Its action may already have been carried out.")
    moment = now()
    execution.completed_at = moment
    if attempted:
        execution.execution_time_ms = round((moment - execution.started_at).total_seconds() * 1000)
    execution.updated_at = moment
    await queue.cancel(await raw(session), execution_id)
    await notify(session, Channel.EXECUTION_CANCELLED, str(execution_id))
    payload = orjson.dumps({"users": {str(user_id): [execution_id]}}).decode()
    await notify(session, Channel.EXECUTIONS_CHANGED, payload)
    await session.flush()
    return execution


async def hurry(session: AsyncSession, user_id: int, execution_id: int) -> None:
    """Run an execution now that waits for its delay or its next attempt, which is used up by that. Raises `Conflict` if
    it doesn't wait for either.
    """
    await _own_execution(session, user_id, execution_id, lock=True)
    if not await queue.hurry(await raw(session), execution_id):
        raise Conflict("This execution doesn't wait for a delay or for its next attempt.")
    payload = orjson.dumps({"users": {str(user_id): [execution_id]}}).decode()
    await notify(session, Channel.EXECUTIONS_CHANGED, payload)


async def cancel_run(session: AsyncSession, user_id: int, execution_id: int) -> list[int]:
    """Cancel all that waits or runs of the run that an execution belongs to. Returns what was cancelled.

    Raises `Conflict` if nothing waits or runs.
    """
    await _own_execution(session, user_id, execution_id)
    place = await session.get(ExecutionLink, execution_id)
    root = place.root if place else execution_id
    # the recorder locks it too before it adds to the run
    await session.execute(select(AreaExecution.id).where(AreaExecution.id == root).with_for_update())
    texts = {
        "running": Sentence("Cancelled while running. Its action may already have been carried out."),
        "pending": Sentence("Cancelled by you."),
    }
    ids = list(await session.scalars(CANCEL_RUN, {"root": root, "user": user_id, **texts}))
    if not ids:
        raise Conflict("Nothing of this run waits or runs any more.")
    await queue.cancel_all(await raw(session), ids)
    for number in ids:
        await notify(session, Channel.EXECUTION_CANCELLED, str(number))
    for start in range(0, len(ids), NAMED):
        payload = orjson.dumps({"users": {str(user_id): ids[start : start + NAMED]}}).decode()
        await notify(session, Channel.EXECUTIONS_CHANGED, payload)
    session.expire_all()
    return ids


async def _insert(
    session: AsyncSession,
    state: State,
    area_id: int,
    data: dict[str, Any],
    record: RunRecord,
    reason: Reason,
    parameters: dict[str, Any] | None = None,
) -> int:
    """Add an execution with its own job, in the session's transaction. `parameters` replace the AREA's."""
    dry_run.checked(data)
    execution = AreaExecution(area_id=area_id, trigger_data=data)
    session.add(execution)
    await session.flush()
    if parameters is not None:
        record.parameters = seal(state.keyring, execution.id, parameters)
    session.add(ExecutionRecord(execution_id=execution.id, **record.model_dump(mode="json")))
    await session.flush()
    await enqueue_later(await raw(session), [LaterJob(execution.id, now(), reason)])
    return execution.id


async def _own_area(session: AsyncSession, user_id: int, area_id: int) -> Area:
    area = await session.get(Area, area_id)
    if area is None or area.user_id != user_id:
        raise NotFound("There is no AREA %(number)s.", number=area_id)
    return area


async def _own_execution(
    session: AsyncSession, user_id: int, execution_id: int, *, lock: bool = False
) -> AreaExecution:
    execution = await session.get(AreaExecution, execution_id, with_for_update=lock or None)
    owner = await session.get(Area, execution.area_id) if execution else None
    if execution is None or owner is None or owner.user_id != user_id:
        raise NotFound("There is no execution %(number)s.", number=execution_id)
    return execution


async def _last_event(session: AsyncSession, area_id: int) -> dict[str, Any] | None:
    event = await session.scalar(
        text(
            "select trigger_data from area_executions where area_id = :id and trigger_data is not null"
            " order by id desc limit 1"
        ).columns(trigger_data=AreaExecution.trigger_data.type),
        {"id": area_id},
    )
    return event if isinstance(event, dict) else None


async def _version(session: AsyncSession, area_id: int) -> int:
    newest = await session.scalar(select(func.max(AreaVersion.version)).where(AreaVersion.area_id == area_id))
    return newest or 1


async def _same_reaction(session: AsyncSession, area_id: int, versions: set[int | None]) -> bool:
    """Whether these versions of an AREA are known, and have the same reaction."""
    reactions = await session.scalars(
        select(AreaVersion.config["reaction"].astext).where(
            AreaVersion.area_id == area_id, AreaVersion.version.in_(versions - {None})
        )
    )
    names = reactions.all()
    return len(names) == len(versions) and len(set(names)) == 1


async def _timezone(session: AsyncSession, user_id: int) -> str:
    timezone = await session.scalar(text("select timezone from user_settings where user_id = :id"), {"id": user_id})
    return timezone or "UTC"
