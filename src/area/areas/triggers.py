"""How an AREA receives events: from a source that it shares with others, or at its own webhook URL."""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import orjson
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from area.areas import links
from area.areas.plans import SECRET, Config, Scope, parse
from area.db import contexts
from area.db.models import Area, AreaHealth, HookState, Source, Trigger
from area.db.notify import Channel
from area.db.session import notify
from area.kit.clock import now
from area.kit.crypto import Keyring, hash_token, new_token
from area.kit.problems import Invalid
from area.sdk import Action
from area.sdk.fields import by_name

STANDS = "source"  # key in `hook_states` of an AREA's source state; keys of events begin with `event:`

Lane = Literal["poll", "timer", "listen"]
# webhooks while the AREA is off or can't run: ask senders to retry later, or record them as skipped
WhenOff = Literal["retry", "skip"]


def lane_of(action: Action) -> Lane:
    """The worker loop for an action's sources. Subscriptions do I/O, as polls do."""
    return "timer" if action.kind == "timer" else "listen" if action.kind == "listen" else "poll"


async def watch(
    session: AsyncSession, scope: Scope, area: Area, action: Action, config: Config, *, renew: bool = False
) -> None:
    """Make the AREA's trigger match its action, parameters and state. The first poll of a source is the baseline.

    Raises `Invalid` for a timer that would never run.
    """
    if area.is_active and action.kind == "timer":
        _refuse_past(action, config)
    trigger = await session.get(Trigger, area.id)
    if trigger is None:
        trigger = Trigger(area_id=area.id)
        session.add(trigger)
    if trigger.source_id is not None:
        await unsubscribe(session, area.id)
    await links.watch(session, area, action, config)
    if action.kind == "link":
        trigger.source_id = trigger.token_hash = trigger.token = trigger.secret = None
        trigger.baseline = False
    elif action.kind == "webhook":
        trigger.source_id = None
        if renew or trigger.token_hash is None:
            new_address(scope.keyring, trigger)
            trigger.secret = scope.keyring.encrypt(new_token(), contexts.hook(area.id, "secret"))
        if action.on_subscribe is not None:
            trigger.source_id = await _subscription(session, scope.keyring, area, action, config)
    else:
        trigger.token_hash = trigger.token = trigger.secret = None
        trigger.source_id = await _source(session, scope.keyring, area, action, config)
        trigger.baseline = action.kind == "poll"
    trigger.since = now()
    if area.is_active or trigger.source_id is None:  # outdated; the next poll sets it again
        await session.execute(delete(HookState).where(HookState.area_id == area.id, HookState.state_key == STANDS))
    if area.is_active:
        await session.execute(
            update(AreaHealth)
            .where(AreaHealth.area_id == area.id)
            .values(failures=0, switched_off_at=None, reason=None)
        )


def _refuse_past(action: Action, config: Config) -> None:
    declared = by_name(action.params)
    texts = {name: text for name, text in config.action_parameters.items() if name in declared}
    params = action.params.model_validate({name: parse(text, declared[name]) for name, text in texts.items()})
    if action.function(params, now()) is None:
        place = "action.parameters.at" if "at" in declared else "action.parameters"
        raise Invalid.field(place, "This time has passed. Choose a later one.")


def new_address(keyring: Keyring, trigger: Trigger) -> None:
    """A new unguessable webhook URL. The old one stops working."""
    token = new_token()
    trigger.token_hash = hash_token(token)
    trigger.token = keyring.encrypt(token, contexts.hook(trigger.area_id, "token"))


async def unsubscribe(session: AsyncSession, area_id: int) -> None:
    """Have a worker check whether the vendor should still send webhooks to this AREA after it was changed, disabled or
    deleted.
    """
    statement = text(
        "update sources x set due_at = now() from triggers t"
        " where t.area_id = :area_id and x.id = t.source_id and (x.state ? 'subscription'"
        # a worker that is subscribing checks again after this commits
        " or t.token is not null and x.lease_owner is not null"
        " or exists (select from source_hints h where h.source_id = x.id and h.subscription is not null))"
        " returning x.id"
    )
    for number in await session.scalars(statement, {"area_id": area_id}):
        await notify(session, Channel.SOURCES_CHANGED, str(number))


async def readdress(session: AsyncSession, scope: Scope, trigger: Trigger) -> None:
    """Rotate the AREA's webhook URL, also at a vendor that has the old one."""
    await unsubscribe(session, trigger.area_id)
    new_address(scope.keyring, trigger)
    await session.flush()


async def _subscription(session: AsyncSession, keyring: Keyring, area: Area, action: Action, config: Config) -> int:
    """The source that manages the vendor's subscription for this AREA alone."""
    plain = {name: value for name, value in config.action_parameters.items() if name != "only_if"}
    number = config.action_connection
    key = _key([action.key, plain, area.user_id, area.id, *([number] if number else [])])
    values = {
        "key": key,
        "component_id": area.component_action_id,
        "user_id": area.user_id,
        "share_of": area.user_id,
        "connection_id": number,
        "params": _sealed(keyring, key, action, plain),
    }
    again = {"due_at": now(), "failures": 0, "failing_since": None, "last_error": None, "noticed_at": None}
    if not area.is_active:
        again = {"key": key}
    statement = insert(Source).values(**values, **again) if area.is_active else insert(Source).values(**values)
    result = await session.execute(
        statement.on_conflict_do_update(index_elements=["key"], set_=again).returning(Source.id)
    )
    number = result.scalar_one()
    await notify(session, Channel.SOURCES_CHANGED, str(number))
    return number


def _sealed(keyring: Keyring, key: str, action: Action, texts: Mapping[str, str]) -> dict[str, str]:
    """A source's parameters as stored."""
    declared = by_name(action.params)
    return {
        name: SECRET + keyring.encrypt(value, contexts.source(key, name))
        if name in declared and declared[name].holds_secret(value)
        else value
        for name, value in texts.items()
    }


def opened(keyring: Keyring, key: str, action: Action, texts: Mapping[str, str]) -> Any:
    """A source's parameters as the action's model, decrypted. Raises `Undecryptable`, `ValidationError`."""
    declared = by_name(action.params)
    values = {}
    for name, field in declared.items():
        if name not in texts:
            continue
        value = texts[name]
        if value.startswith(SECRET) and (field.secret or field.holds):
            value = keyring.decrypt(value.removeprefix(SECRET), contexts.source(key, name))
        values[name] = parse(value, field)
    return action.params.model_validate(values)


def _key(what: list[Any]) -> str:
    return hashlib.sha256(orjson.dumps(what, option=orjson.OPT_SORT_KEYS)).hexdigest()


async def _source(session: AsyncSession, keyring: Keyring, area: Area, action: Action, config: Config) -> int:
    """The source for this action, parameters and account. Due immediately when its first AREA starts to need it."""
    plain = {name: value for name, value in config.action_parameters.items() if name != "only_if"}
    number = config.action_connection
    personal = action.service.requires_auth or action.service.personal or bool(number)
    owner = area.user_id if personal else None
    key = _key([action.key, plain, owner, *([number] if number else [])])
    await session.execute(
        insert(Source)
        .values(
            key=key,
            component_id=area.component_action_id,
            user_id=owner,
            connection_id=number,
            share_of=area.user_id,
            lane=lane_of(action),
            params=_sealed(keyring, key, action, plain),
        )
        .on_conflict_do_nothing(index_elements=["key"])
    )
    source = (await session.scalars(select(Source).where(Source.key == key).with_for_update())).one()
    if not area.is_active:
        return source.id
    others = await session.scalar(
        select(func.count())
        .select_from(Trigger)
        .join(Area, Area.id == Trigger.area_id)
        .where(Trigger.source_id == source.id, Area.is_active, Area.id != area.id)
    )
    if not others:  # nobody was watching: drop its state, since past events are not replayed
        source.state, source.seen, source.planned_at = {}, None, None
        source.failures, source.failing_since, source.last_error, source.noticed_at = 0, None, None, None
        source.checked_at, source.share_of = None, area.user_id
    if not others or action.kind == "poll":
        source.due_at = now()
    await notify(session, Channel.SOURCES_CHANGED, str(source.id))
    return source.id
