"""Encrypts what older versions of AREA stored as plain text: texts of AREAs, sources and drafts that may contain a
secret, and the parameters of individual runs.
"""

from collections.abc import Mapping

import structlog
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from area.areas.parameters import sealed
from area.areas.plans import SECRET, seal_draft
from area.db import contexts
from area.db.models import AreaVersion, Draft, ExecutionRecord, Meta, Source
from area.kit.crypto import Keyring, Undecryptable
from area.registry import Registry
from area.sdk.fields import by_name

DONE = "sealed"  # the key in `meta`
VERSION = "2"  # of the set of columns; sealing runs again for a newer one
GIVEN_SINCE = "0013"  # the revision since which the parameters that runs were given are encrypted

log = structlog.get_logger()

PARAMETERS = """
select p.area_id, p.variable_id, p.value, cast(c.type as text) as kind, c.name as component, s.name as service, v.name
from area_parameters p join variables v on v.id = p.variable_id join components c on c.id = v.component_id
join services s on s.id = c.service_id where p.value not like 'enc:%'
"""
STORE = "update area_parameters set value = :value where area_id = :area_id and variable_id = :variable_id"
VARIABLES = """
select cast(c.type as text) as kind, s.name as service, c.name as component, v.name, v.id
from variables v join components c on c.id = v.component_id join services s on s.id = c.service_id
where v.kind = 'parameter'
"""
SOURCES = """
select x.id, c.name as component, s.name as service from sources x
join components c on c.id = x.component_id join services s on s.id = c.service_id
"""


async def is_done(session: AsyncSession) -> bool:
    """Whether no plain text is left."""
    done = await session.get(Meta, DONE)
    return done is not None and done.value == VERSION


async def seal(session: AsyncSession, keyring: Keyring, registry: Registry) -> int:
    """Encrypt it, once. Returns how many texts. Does not change AREAs, sources or versions otherwise."""
    if await is_done(session):
        return 0
    count = 0
    for row in await session.execute(text(PARAMETERS)):
        value = sealed(
            keyring, registry, row.kind, f"{registry.slug_of(row.service)}.{row.component}", row.name, row.value,
            row.area_id, row.variable_id,
        )  # fmt: skip
        if value != row.value:
            place = {"area_id": row.area_id, "variable_id": row.variable_id}
            await session.execute(text(STORE), {"value": value, **place})
            count += 1
    rows = await session.execute(text(VARIABLES))
    variables = {(row.kind, f"{registry.slug_of(row.service)}.{row.component}", row.name): row.id for row in rows}
    count += await _versions(session, keyring, registry, variables)
    count += await _sources(session, keyring, registry)
    for draft in await session.scalars(select(Draft)):
        if "sealed" not in draft.content:
            draft.content = seal_draft(keyring, draft.user_id, draft.key, draft.content)
            count += 1
    count += await _given(session, keyring)
    await session.merge(Meta(key=DONE, value=VERSION))
    return count


async def unseal_given(session: AsyncSession, keyring: Keyring) -> int:
    """Decrypt the parameters that runs were given, as versions before `GIVEN_SINCE` read them. Returns how many can't
    be decrypted.
    """
    rows = await session.execute(
        select(ExecutionRecord.execution_id, ExecutionRecord.parameters).where(
            ExecutionRecord.parameters.not_like("{%")
        )
    )
    unreadable = 0
    for number, parameters in rows.all():
        assert parameters is not None  # noqa: S101 - by the `where`
        try:
            opened = keyring.decrypt(parameters, contexts.execution(number))
        except Undecryptable as error:
            log.error("sealing.unreadable", execution=number, error=str(error))  # noqa: TRY400
            unreadable += 1
            continue
        its = update(ExecutionRecord).where(ExecutionRecord.execution_id == number)
        await session.execute(its.values(parameters=opened))
    return unreadable


async def _given(session: AsyncSession, keyring: Keyring) -> int:
    """The parameters that runs were given."""
    rows = await session.execute(
        select(ExecutionRecord.execution_id, ExecutionRecord.parameters).where(ExecutionRecord.parameters.like("{%"))
    )
    count = 0
    for number, parameters in rows.all():
        assert parameters is not None  # noqa: S101 - by the `where`
        sealed_again = keyring.encrypt(parameters, contexts.execution(number))
        its = update(ExecutionRecord).where(ExecutionRecord.execution_id == number)
        await session.execute(its.values(parameters=sealed_again))
        count += 1
    return count


async def _versions(
    session: AsyncSession, keyring: Keyring, registry: Registry, variables: Mapping[tuple[str, str, str], int]
) -> int:
    count = 0
    for version in await session.scalars(select(AreaVersion)):
        config, changed = dict(version.config), False
        for kind in ("action", "reaction"):
            texts = dict(config[f"{kind}_parameters"])
            for name, value in texts.items():
                number = variables.get((kind, config[kind], name))
                if number is None or value.startswith(SECRET):
                    continue
                texts[name] = sealed(keyring, registry, kind, config[kind], name, value, version.area_id, number)
                if texts[name] != value:
                    count, changed = count + 1, True
            config[f"{kind}_parameters"] = texts
        if changed:
            version.config = config
    return count


async def _sources(session: AsyncSession, keyring: Keyring, registry: Registry) -> int:
    count = 0
    actions = {
        row.id: f"{registry.slug_of(row.service)}.{row.component}" for row in await session.execute(text(SOURCES))
    }
    for number, key, params in (await session.execute(select(Source.id, Source.key, Source.params))).all():
        action = registry.action(actions[number])
        if action is None:
            continue
        declared, texts = by_name(action.params), dict(params)
        for name, value in params.items():
            if name in declared and declared[name].holds_secret(value) and not value.startswith(SECRET):
                texts[name] = SECRET + keyring.encrypt(value, contexts.source(key, name))
                count += 1
        if texts != params:
            await session.execute(update(Source).where(Source.id == number).values(params=texts))
    return count
