"""Rotation of the installation's keys: re-encrypts every stored secret with the first key."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import structlog
from sqlalchemy import ColumnElement, literal, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from area.areas.plans import SECRET
from area.connections.vault import Ref
from area.db import contexts
from area.db.models import (
    AreaParameter,
    AreaVersion,
    Component,
    ConnectionState,
    Draft,
    ExecutionRecord,
    NamedConnection,
    Service,
    Source,
    SourceHint,
    Trigger,
    TwoFactor,
    UserService,
    Variable,
)
from area.kit.crypto import Keyring, Undecryptable
from area.registry import Registry

BATCH = 500  # rows read at a time

log = structlog.get_logger(__name__)


async def rotate(session: AsyncSession, keyring: Keyring, registry: Registry) -> int:
    """Re-encrypt with the first key every stored secret that uses another. Returns how many.

    Covers credentials, webhook URLs and secrets, secret parameters of AREAs and of their earlier versions. A value that
    another transaction changes meanwhile is left as it is; one that can't be decrypted is logged and left.
    """
    rows = (await session.execute(select(Service.id, Service.name))).all()
    slugs = {row.id: registry.slug_of(row.name) for row in rows}
    count = 0
    keys = (UserService.user_id, UserService.service_id)
    async for user_id, service_id, token, refresh in _pages(
        session, keys, UserService.oauth_token, UserService.refresh_token
    ):
        ref = Ref(user_id, slugs[service_id])
        where = (UserService.user_id == user_id, UserService.service_id == service_id)
        count += await _again(session, keyring, UserService.oauth_token, token, ref.context("oauth_token"), where)
        count += await _again(session, keyring, UserService.refresh_token, refresh, ref.context("refresh_token"), where)
    count += await _rotate_named(session, keyring, slugs)
    async for area_id, token, secret in _pages(session, (Trigger.area_id,), Trigger.token, Trigger.secret):
        count += await _again(
            session, keyring, Trigger.token, token, contexts.hook(area_id, "token"), (Trigger.area_id == area_id,)
        )
        count += await _again(
            session, keyring, Trigger.secret, secret, contexts.hook(area_id, "secret"), (Trigger.area_id == area_id,)
        )
    async for source_id, token, secret in _pages(session, (SourceHint.source_id,), SourceHint.token, SourceHint.secret):
        where_hint = (SourceHint.source_id == source_id,)
        count += await _again(session, keyring, SourceHint.token, token, contexts.hint(source_id, "token"), where_hint)
        count += await _again(
            session, keyring, SourceHint.secret, secret, contexts.hint(source_id, "secret"), where_hint
        )
    async for user_id, secret in _pages(session, (TwoFactor.user_id,), TwoFactor.secret):
        where_totp = (TwoFactor.user_id == user_id,)
        count += await _again(session, keyring, TwoFactor.secret, secret, contexts.second_factor(user_id), where_totp)
    parameter = (AreaParameter.area_id, AreaParameter.variable_id)
    async for area_id, variable_id, value in _pages(session, parameter, AreaParameter.value):
        renewed = _renewed(keyring, value, contexts.parameter(area_id, variable_id))
        if renewed:
            statement = update(AreaParameter).where(parameter[0] == area_id, parameter[1] == variable_id)
            await session.execute(statement.where(AreaParameter.value == value).values(value=renewed))
            count += 1
    count += await _rotate_texts(session, keyring)
    return count + await _rotate_versions(session, keyring, slugs)


async def _rotate_named(session: AsyncSession, keyring: Keyring, slugs: Mapping[int, str]) -> int:
    """Named connections, and tokens from client credentials."""
    count = 0
    async for number, user_id, service_id, token, refresh in _pages(
        session,
        (NamedConnection.id,),
        NamedConnection.user_id,
        NamedConnection.service_id,
        NamedConnection.oauth_token,
        NamedConnection.refresh_token,
    ):
        ref = Ref(user_id, slugs[service_id], number)
        mine = (NamedConnection.id == number,)
        for column, value in ((NamedConnection.oauth_token, token), (NamedConnection.refresh_token, refresh)):
            count += await _again(session, keyring, column, value, ref.context(column.key), mine)
    states = (ConnectionState.user_id, ConnectionState.service_id, ConnectionState.connection_id)
    async for user_id, service_id, number, token in _pages(session, states, ConnectionState.access_token):
        ref = Ref(user_id, slugs[service_id], number)
        its = (states[0] == user_id, states[1] == service_id, states[2] == number)
        count += await _again(session, keyring, ConnectionState.access_token, token, ref.context("access_token"), its)
    return count


async def _rotate_texts(session: AsyncSession, keyring: Keyring) -> int:
    """Sources, drafts, and the parameters that runs were given."""
    count = 0
    parameters = ExecutionRecord.parameters
    async for number, sealed in _pages(
        session, (ExecutionRecord.execution_id,), parameters, only=parameters.not_like("{%")
    ):
        where = (ExecutionRecord.execution_id == number,)
        count += await _again(session, keyring, parameters, sealed, contexts.execution(number), where)
    async for number, key, params in _pages(session, (Source.id,), Source.key, Source.params):
        texts = {name: _renewed(keyring, value, contexts.source(key, name)) or value for name, value in params.items()}
        if texts != params:
            await session.execute(update(Source).where(Source.id == number).values(params=texts))
            count += sum(texts[name] != value for name, value in params.items())
    async for user_id, key, content in _pages(session, (Draft.user_id, Draft.key), Draft.content):
        token = content.get("sealed")
        renewed = _encrypted_again(keyring, token, contexts.draft(user_id, key)) if token else None
        if renewed:
            its = (Draft.user_id == user_id, Draft.key == key)
            await session.execute(update(Draft).where(*its).values(content={"sealed": renewed}))
            count += 1
    return count


async def _rotate_versions(session: AsyncSession, keyring: Keyring, slugs: Mapping[int, str]) -> int:
    rows = await session.execute(
        select(Component.type, Component.service_id, Component.name, Variable.name, Variable.id)
        .join(Variable, Variable.component_id == Component.id)
        .where(Variable.kind == "parameter")
    )
    variables = {
        (type_, f"{slugs[service]}.{name}", parameter): number for type_, service, name, parameter, number in rows
    }
    count = 0
    keys = (AreaVersion.area_id, AreaVersion.version)
    async for area_id, version, config in _pages(session, keys, AreaVersion.config):
        changed = 0
        for kind in ("action", "reaction"):
            texts = config[f"{kind}_parameters"]
            for name, value in texts.items():
                number = variables.get((kind, config[kind], name))
                renewed = _renewed(keyring, value, contexts.parameter(area_id, number)) if number else None
                if renewed:
                    texts[name] = renewed
                    changed += 1
        if changed:
            statement = update(AreaVersion).where(keys[0] == area_id, keys[1] == version)
            await session.execute(statement.values(config=config))
            count += changed
    return count


async def _pages(
    session: AsyncSession, keys: tuple[Any, ...], *columns: Any, only: ColumnElement[bool] | None = None
) -> AsyncIterator[Any]:
    """All rows of a table by primary key, in batches, since they may change meanwhile."""
    statement = select(*keys, *columns).order_by(*keys).limit(BATCH)
    if only is not None:
        statement = statement.where(only)
    rows = (await session.execute(statement)).all()
    while rows:
        for row in rows:
            yield row
        last = tuple_(*(literal(value) for value in rows[-1][: len(keys)]))
        rows = (await session.execute(statement.where(tuple_(*keys) > last))).all()


async def _again(
    session: AsyncSession, keyring: Keyring, column: Any, token: str | None, context: str, where: tuple[Any, ...]
) -> int:
    renewed = _encrypted_again(keyring, token, context) if token else None
    if renewed is None:
        return 0
    await session.execute(update(column.class_).where(*where, column == token).values({column.key: renewed}))
    return 1


def _renewed(keyring: Keyring, value: str, context: str) -> str | None:
    """A parameter re-encrypted; None if it is no secret or needs no change."""
    if not value.startswith(SECRET):
        return None
    token = _encrypted_again(keyring, value.removeprefix(SECRET), context)
    return SECRET + token if token else None


def _encrypted_again(keyring: Keyring, token: str, context: str) -> str | None:
    if not keyring.needs_rotation(token):
        return None
    try:
        return keyring.encrypt(keyring.decrypt(token, context), context)
    except Undecryptable as error:
        log.error("rotation.unreadable", context=context, error=str(error))  # noqa: TRY400
        return None
