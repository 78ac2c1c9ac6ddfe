"""One attempt of one execution: from the event to its outcome."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import orjson
import structlog
from pydantic import BaseModel, ValidationError

from area.areas.plans import field_errors
from area.connections.vault import Ref
from area.db.away import DatabaseAwayError, asking, patiently
from area.db.notify import Channel, send
from area.db.types import naive_utc
from area.engine import access, metrics, proof
from area.engine.cache import Broken, Cache, Connection, Runnable
from area.engine.execution.fairness import Slots
from area.engine.execution.followers import unable
from area.engine.execution.outcome import Outcome, again, leave, over
from area.engine.execution.running import Member, Running
from area.engine.platform import UserPlatform
from area.engine.state import State
from area.kit.budget import Budget, Exhausted
from area.kit.clock import now
from area.kit.crypto import Undecryptable
from area.kit.evaluation import evaluate
from area.kit.sentences import Moment, Sentence, parts_of
from area.kit.template import RenderError
from area.kit.text import clean_text, dump_parts
from area.runs.record import Attempt, Status, unseal
from area.sdk import AuthExpired, Context, NothingFound, Partial, Permanent, Retry

log = structlog.get_logger()

Result = TypeVar("Result")

MAX_INTERRUPTIONS = 5
CONNECTION_RECHECK = timedelta(hours=6)
STOPPED = Sentence("The worker stopped during the run.")
UNKNOWN = Sentence("Interrupted; the outcome is unknown.")
# looked up once: a lookup by label costs as much as counting
ATTEMPTS = {outcome: metrics.attempts.labels(outcome) for outcome in ("success", "retry", "error")}

DATA = "select trigger_data from area_executions where id = $1"
START = (
    "update area_executions x set status = 'running', started_at = t.started, updated_at = now()"
    " from unnest($1::bigint[], $2::timestamp[]) as t(id, started)"
    " where x.id = t.id and x.status = 'pending' returning x.id"
)
PARK = (
    "insert into connection_states (user_id, service_id, connection_id, parked_until, last_error, said)"
    " select $1, id, $3, $4, $5, $6::text::jsonb from services where name = $2"
    " on conflict (user_id, service_id, connection_id)"
    " do update set parked_until = excluded.parked_until, last_error = excluded.last_error,"
    " said = excluded.said"
)


@dataclass(frozen=True, slots=True)
class Means:
    """What the attempts of one worker share."""

    state: State
    cache: Cache
    slots: Slots


async def attempt(means: Means, running: Running, area: Runnable | Broken) -> Outcome:
    """Attempt an execution once.

    1. For a replay with the original configuration, load that version of the AREA (`_as_it_was`).
    2. Refuse it if the AREA is off, or if it was interrupted and can't or must not be repeated (`_refusal`). A broken
       AREA fails.
    3. Load its event, if the job did not carry it. A link of a chain fails if its event lacks what it needs.
    4. Unless it has waited before: skip it if `only_if` doesn't hold, and make it wait if it has a delay (`_filtered`).
    5. Make it wait if its connection doesn't work or is parked (`_waits_for_connection`).
    6. Wait for one of the user's slots; after a wait, check the connection again.
    7. Call the reaction, and return the outcome (`_call`).
    """
    member, started = running.member, now()
    area = await _as_it_was(means, member, area)
    if refusal := _refusal(member, area):
        return refusal
    if isinstance(area, Broken):
        return over(member, area, "failed", started, error=area.reason, permanent=True)
    if member.data is None:
        pool = await patiently(means.state.database.pool)
        text = await patiently(lambda: pool.fetchval(DATA, member.execution_id))
        member.data, member.size = (orjson.loads(text), len(text)) if text else ({}, 0)
    if area.plan.action.kind == "link" and (why := area.unfit or unable(area.plan, member.data)):
        return over(member, area, "failed", started, error=why, permanent=True)
    if not member.own and (outcome := await _filtered(member, area, started)):
        return outcome
    connection = await _connection(means, area)
    if waits := _waits_for_connection(member, area, connection):
        return waits
    slot = means.slots.of(area.user_id)
    if slot.locked():
        running.waits_for_slot = True
        try:
            await slot.acquire()
        finally:
            running.waits_for_slot = False
        connection = await _connection(means, area)
        if waits := _waits_for_connection(member, area, connection):
            slot.release()
            return waits
    else:
        await slot.acquire()  # doesn't wait
    try:
        return await _call(means, running, area, connection)
    finally:
        slot.release()


async def _as_it_was(means: Means, member: Member, area: Runnable | Broken) -> Runnable | Broken:
    """The AREA; for a replay that asks for it, with the configuration that the original run used."""
    version = member.record.version if member.record.as_it_was else None
    if version is None or version == area.version:
        return area
    then = await patiently(lambda: means.cache.area_as_it_was(area.id, version))
    member.record.as_it_was = then is not None
    return then or area


def _refusal(member: Member, area: Runnable | Broken) -> Outcome | None:
    """The outcome if this execution must not be attempted at all."""
    moment = now()
    if not area.active and not member.record.forced:
        return over(member, area, "skipped", moment, error=Sentence("The AREA was switched off before this ran."))
    if not area.available:
        return over(
            member, area, "skipped", moment, error=Sentence("Its action or reaction is switched off on this server.")
        )
    if not member.interrupted:
        return None
    cut = Attempt(at=moment, error=STOPPED, interrupted=True, said=parts_of(STOPPED))
    member.record.attempts += [cut] * (member.interruptions - member.record.interruptions)
    member.started = member.started or moment
    if isinstance(area, Runnable) and not area.repeatable and member.was_running:
        return over(member, area, "failed", moment, error=UNKNOWN)
    # not marked as running: its worker may have stopped because of another execution
    if member.interruptions >= MAX_INTERRUPTIONS * (1 if member.was_running else 4):
        error = Sentence("Gave up: the worker stopped %(number)s times during the run.", number=member.interruptions)
        return over(member, area, "failed", moment, error=error, permanent=True)
    return None


async def _filtered(member: Member, area: Runnable, started: datetime) -> Outcome | None:
    """The outcome if `only_if` doesn't hold (skipped) or the AREA has a delay (waiting)."""
    plan = area.plan
    try:
        holds = plan.only_if is None or await _evaluate(member, plan.holds)
    except Exhausted as error:
        return over(member, area, "failed", started, error=str(error), permanent=True)
    if not holds:
        return over(member, area, "skipped", started, error=Sentence("Filtered out by its condition."))
    due = plan.due(started, area.timezone)
    return leave(member, area, due, "delay") if due else None


async def _connection(means: Means, area: Runnable) -> Connection | None:
    """The reaction's connection; None when its service needs none."""
    if area.plan.reaction.service.auth is None:
        return None
    known = means.cache.known_connection(area.reaction_ref)
    return known or await patiently(lambda: means.cache.connection(*area.reaction_ref))


def _waits_for_connection(member: Member, area: Runnable, connection: Connection | None) -> Outcome | None:
    """The outcome while the connection is expired or parked (waiting), or when it was removed (failed)."""
    if connection is None or not area.plan.connects:
        return None
    name = area.plan.reaction.service.name
    if connection.status == "gone":
        error = Sentence("Its %(name)s connection was removed.", name=name)
        return over(member, area, "failed", now(), error=error, permanent=True)
    if connection.status != "works":
        error = Sentence("Reconnect %(name)s to run this.", name=name)
        return leave(member, area, now() + CONNECTION_RECHECK, "connection", error=error)
    if connection.parked_until and connection.parked_until > now():
        jitter = timedelta(seconds=random.uniform(0, 2))  # noqa: S311 - spreads load
        until = Moment(connection.parked_until)
        error = Sentence("Rate-limited by %(name)s until %(time)s.", name=name, time=until)
        return leave(member, area, connection.parked_until + jitter, "parked", error=error)
    return None


async def _call(means: Means, running: Running, area: Runnable, connection: Connection | None) -> Outcome:
    """Call the reaction.

    1. Fill its parameters and validate them.
    2. Mark as running what must not be repeated after a crash.
    3. Call it, with the same idempotency key in every attempt.
    4. Map what it raises to an outcome; anything but the SDK's three errors is a bug in the connector.
    """
    member, plan = running.member, area.plan
    started, clock = now(), time.perf_counter()
    try:
        params = await _params(means, member, area)
    except (RenderError, Undecryptable, ValidationError) as error:
        return over(member, area, "failed", started, error=_sentence(error), permanent=True)
    if not area.repeatable and (refusal := await _mark(means, member, area, started)):
        return refusal
    running.first, running.clock = member.started or started, clock
    outcome = "error"
    try:
        result = await plan.reaction.function(_context(means, member, area, connection), params)
        outcome = "success"
    except Retry as error:
        outcome = "error" if error.unsure and not area.repeatable else "retry"
        return await retry_later(means, running, area, error)
    except AuthExpired as error:
        return await _refused(means, running, area, error, connection)
    except Partial as error:
        member.record.state = error.state
        return over(member, area, "failed", started, clock, error=str(error), result=error.result)
    except (NothingFound, Permanent) as error:
        status: Status = "skipped" if isinstance(error, NothingFound) else "failed"
        return over(member, area, status, started, clock, error=str(error), permanent=status == "failed")
    except DatabaseAwayError:
        return await retry_later(means, running, area, Retry(Sentence("AREA couldn't reach its database.")))
    except TimeoutError:
        return await retry_later(means, running, area, Retry(Sentence("Timed out."), unsure=True))
    except Exception as error:  # any other error is a bug in the connector
        log.exception("reaction.bug", execution=member.execution_id, area=area.id, reaction=plan.reaction.key)
        text = Sentence(
            "%(name)s had an internal error (%(kind)s). See the server's log.",
            name=plan.reaction.key,
            kind=type(error).__name__,
        )
        return over(member, area, "failed", started, clock, error=text, permanent=True)
    finally:
        ATTEMPTS[outcome].inc()
        metrics.execution_seconds.observe(time.perf_counter() - clock)
    return over(member, area, "success", started, clock, result=result)


async def _refused(
    means: Means, running: Running, area: Runnable, error: AuthExpired, connection: Connection | None
) -> Outcome:
    """Let it wait until the user has reconnected, if that is what the refusal means."""
    member, service = running.member, area.plan.reaction.service
    credential = connection.credential if connection else None
    meant = await proof.meaning(means.state, means.cache.tokens, service, area.reaction_ref, credential, error)
    if isinstance(meant, Retry):
        return await retry_later(means, running, area, meant)
    if not isinstance(meant, AuthExpired):
        begun = now() - timedelta(seconds=time.perf_counter() - running.clock) if running.clock else now()
        return over(member, area, "failed", begun, running.clock, error=str(meant), permanent=True)
    platform = UserPlatform(means.state, area.user_id, area.id, [], "")
    since = connection.since if connection else None
    await patiently(lambda: platform.connection_expired(area.reaction_ref, str(meant), since))
    return leave(member, area, now() + CONNECTION_RECHECK, "connection", error=str(meant))


async def _params(means: Means, member: Member, area: Runnable) -> BaseModel:
    if member.record.parameters is not None:
        values = unseal(means.state.keyring, member.execution_id, member.record.parameters)
        return area.plan.reaction.params.model_validate(values)
    run = {"id": member.execution_id, "key": _key(means, member)}
    return await _evaluate(member, lambda data, budget: area.plan.fill(data, budget, run))


async def _evaluate(member: Member, work: Callable[[Mapping[str, Any], Budget], Result]) -> Result:
    """The result of the user's expressions for the event."""
    return await evaluate(lambda budget: work(member.data, budget), member.budget, member.size)


async def _mark(means: Means, member: Member, area: Runnable, started: datetime) -> Outcome | None:
    """Mark as running what must not be repeated after a crash. Returns an outcome if it must not run now."""
    pool = await patiently(means.state.database.pool)
    try:
        with asking():
            marked = await pool.fetch(START, [member.execution_id], [naive_utc(member.started or started)])
    except DatabaseAwayError:  # unknown whether it was marked, so start over
        return leave(member, area, now(), "retry")
    if marked:
        return None
    return over(member, area, "cancelled", now(), error=Sentence("Cancelled before it ran."))


def _key(means: Means, member: Member) -> str:
    return f"{means.state.instance}-{member.execution_id}"


def _context(means: Means, member: Member, area: Runnable, connection: Connection | None) -> Context:
    credential = connection.credential if connection and area.plan.connects else None
    return access.context(
        means.state,
        means.cache.tokens,
        area.plan.reaction.service,
        area.reaction_ref,
        credential,
        area_id=area.id,
        chain=[*(member.record.chain or area.leading), area.id],
        links=len(area.leading),
        key=_key(means, member),
        memory=dict(member.record.state),
        execution=member.execution_id,
    )


async def retry_later(means: Means, running: Running, area: Runnable, error: Retry) -> Outcome:
    """The outcome of an attempt that raised `Retry`. A used-up quota parks the whole connection."""
    clock = running.clock or time.perf_counter()
    started = now() - timedelta(seconds=time.perf_counter() - clock)
    outcome = again(running.member, area, started, clock, error, repeatable=area.repeatable)
    service, ref = area.plan.reaction.service, area.reaction_ref
    if (later := outcome.later) and error.parks and service.auth is not None and (ref.number or service.requires_auth):
        due = later.due
        await patiently(lambda: _park(means.state, service.name, ref, due, str(error)))
    return outcome


async def _park(state: State, service: str, ref: Ref, until: datetime, error: str) -> None:
    pool = await state.database.pool()
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute(PARK, ref.user_id, service, ref.number, until, clean_text(error), dump_parts(error))
        await send(conn, Channel.CONNECTION_CHANGED, str(ref))


def _sentence(error: RenderError | Undecryptable | ValidationError) -> str:
    if isinstance(error, ValidationError):
        problems = field_errors(error, "")
        return " ".join(f"{problem['field'].lstrip('.')}: {problem['message']}." for problem in problems).replace(
            "..", "."
        )
    return str(error)
