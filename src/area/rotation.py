"""Rotation of the installation's keys: re-encrypts every stored secret with the first key."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
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
    VendorCleanup,
)
from area.kit.crypto import Keyring, Undecryptable
from area.registry import Registry

BATCH = 500  # rows read at a time

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Rotated:
    """How many secrets were re-encrypted, and the contexts (`db.contexts`) of those that no key can decrypt."""

    count: int = 0
    unreadable: list[str] = field(default_factory=list)


async def rotate(session: AsyncSession, keyring: Keyring, registry: Registry) -> Rotated:
    """Re-encrypt with the first key every stored secret that uses another.

    Covers credentials, webhook URLs and secrets, secret parameters of AREAs and of their earlier versions. A value that
    another transaction changes meanwhile is left as it is; one that can't be decrypted is left, and reported.
    """
    rows = (await session.execute(select(Service.id, Service.name))).all()
    rotation = _Rotation(session, keyring, {row.id: registry.slug_of(row.name) for row in rows})
    await rotation.run()
    return rotation.result


class _Rotation:
    def __init__(self, session: AsyncSession, keyring: Keyring, slugs: Mapping[int, str]) -> None:
        self._session = session
        self._keyring = keyring
        self._slugs = slugs
        self.result = Rotated()

    async def run(self) -> None:
        await self._connections()
        await self._cleanups()
        await self._hooks()
        await self._two_factor()
        await self._parameters()
        await self._sources()
        await self._drafts()
        await self._versions()

    async def _connections(self) -> None:
        """Default and named connections, and tokens from client credentials."""
        keys: tuple[Any, ...] = (UserService.user_id, UserService.service_id)
        columns: tuple[Any, ...] = (UserService.oauth_token, UserService.refresh_token)
        async for user_id, service_id, *tokens in self._pages(keys, *columns):
            ref = Ref(user_id, self._slugs[service_id])
            where = (keys[0] == user_id, keys[1] == service_id)
            for column, token in zip(columns, tokens, strict=True):
                await self._again(column, token, ref.context(column.key), where)
        named = NamedConnection
        columns = (named.oauth_token, named.refresh_token)
        async for number, user_id, service_id, *tokens in self._pages(
            (named.id,), named.user_id, named.service_id, *columns
        ):
            ref = Ref(user_id, self._slugs[service_id], number)
            for column, token in zip(columns, tokens, strict=True):
                await self._again(column, token, ref.context(column.key), (named.id == number,))
        states = (ConnectionState.user_id, ConnectionState.service_id, ConnectionState.connection_id)
        async for user_id, service_id, number, token in self._pages(states, ConnectionState.access_token):
            ref = Ref(user_id, self._slugs[service_id], number)
            its = (states[0] == user_id, states[1] == service_id, states[2] == number)
            await self._again(ConnectionState.access_token, token, ref.context("access_token"), its)

    async def _cleanups(self) -> None:
        """What is left of deleted connections and sources, as it was encrypted in them."""
        row = VendorCleanup
        columns = (row.oauth_token, row.refresh_token)
        async for number, user_id, service_id, connection, *tokens in self._pages(
            (row.id,), row.user_id, row.service_id, row.connection_id, *columns, only=row.kind == "revoke"
        ):
            ref = Ref(user_id, self._slugs[service_id], connection)
            for column, token in zip(columns, tokens, strict=True):
                await self._again(column, token, ref.context(column.key), (row.id == number,))
        async for number, source_id, key, params, token, secret in self._pages(
            (row.id,), row.source_id, row.source_key, row.params, row.token, row.secret, only=row.kind != "revoke"
        ):
            await self._again(row.token, token, contexts.hint(source_id, "token"), (row.id == number,))
            await self._again(row.secret, secret, contexts.hint(source_id, "secret"), (row.id == number,))
            await self._texts(row, row.id == number, params, key)

    async def _hooks(self) -> None:
        async for area_id, token, secret in self._pages((Trigger.area_id,), Trigger.token, Trigger.secret):
            where = (Trigger.area_id == area_id,)
            await self._again(Trigger.token, token, contexts.hook(area_id, "token"), where)
            await self._again(Trigger.secret, secret, contexts.hook(area_id, "secret"), where)
        async for source_id, token, secret in self._pages((SourceHint.source_id,), SourceHint.token, SourceHint.secret):
            where = (SourceHint.source_id == source_id,)
            await self._again(SourceHint.token, token, contexts.hint(source_id, "token"), where)
            await self._again(SourceHint.secret, secret, contexts.hint(source_id, "secret"), where)

    async def _two_factor(self) -> None:
        async for user_id, secret in self._pages((TwoFactor.user_id,), TwoFactor.secret):
            await self._again(
                TwoFactor.secret, secret, contexts.second_factor(user_id), (TwoFactor.user_id == user_id,)
            )

    async def _parameters(self) -> None:
        """Parameters of AREAs, and those that runs were given."""
        keys = (AreaParameter.area_id, AreaParameter.variable_id)
        async for area_id, variable_id, value in self._pages(keys, AreaParameter.value):
            renewed = self._renewed(value, contexts.parameter(area_id, variable_id))
            if renewed:
                statement = update(AreaParameter).where(keys[0] == area_id, keys[1] == variable_id)
                await self._session.execute(statement.where(AreaParameter.value == value).values(value=renewed))
                self.result.count += 1
        column = ExecutionRecord.parameters
        async for number, sealed in self._pages((ExecutionRecord.execution_id,), column, only=column.not_like("{%")):
            where = (ExecutionRecord.execution_id == number,)
            await self._again(column, sealed, contexts.execution(number), where)

    async def _sources(self) -> None:
        async for number, key, params in self._pages((Source.id,), Source.key, Source.params):
            await self._texts(Source, Source.id == number, params, key)

    async def _texts(
        self, table: type[Source | VendorCleanup], where: Any, params: Mapping[str, str], key: str
    ) -> None:
        """The secret ones of a source's parameters."""
        texts = {name: self._renewed(value, contexts.source(key, name)) or value for name, value in params.items()}
        if texts != params:
            await self._session.execute(update(table).where(where).values(params=texts))
            self.result.count += sum(texts[name] != value for name, value in params.items())

    async def _drafts(self) -> None:
        async for user_id, key, content in self._pages((Draft.user_id, Draft.key), Draft.content):
            token = content.get("sealed")
            renewed = self._encrypted_again(token, contexts.draft(user_id, key)) if token else None
            if renewed:
                where = (Draft.user_id == user_id, Draft.key == key)
                await self._session.execute(update(Draft).where(*where).values(content={"sealed": renewed}))
                self.result.count += 1

    async def _versions(self) -> None:
        rows = await self._session.execute(
            select(Component.type, Component.service_id, Component.name, Variable.name, Variable.id)
            .join(Variable, Variable.component_id == Component.id)
            .where(Variable.kind == "parameter")
        )
        variables = {
            (type_, f"{self._slugs[service]}.{name}", parameter): number
            for type_, service, name, parameter, number in rows
        }
        keys = (AreaVersion.area_id, AreaVersion.version)
        async for area_id, version, config in self._pages(keys, AreaVersion.config):
            changed = 0
            for kind in ("action", "reaction"):
                texts = config[f"{kind}_parameters"]
                for name, value in texts.items():
                    number = variables.get((kind, config[kind], name))
                    renewed = self._renewed(value, contexts.parameter(area_id, number)) if number else None
                    if renewed:
                        texts[name] = renewed
                        changed += 1
            if changed:
                statement = update(AreaVersion).where(keys[0] == area_id, keys[1] == version)
                await self._session.execute(statement.values(config=config))
                self.result.count += changed

    async def _pages(
        self, keys: tuple[Any, ...], *columns: Any, only: ColumnElement[bool] | None = None
    ) -> AsyncIterator[Any]:
        """All rows of a table by primary key, in batches, since they may change meanwhile."""
        statement = select(*keys, *columns).order_by(*keys).limit(BATCH)
        if only is not None:
            statement = statement.where(only)
        rows = (await self._session.execute(statement)).all()
        while rows:
            for row in rows:
                yield row
            last = tuple_(*(literal(value) for value in rows[-1][: len(keys)]))
            rows = (await self._session.execute(statement.where(tuple_(*keys) > last))).all()

    async def _again(self, column: Any, token: str | None, context: str, where: tuple[Any, ...]) -> None:
        renewed = self._encrypted_again(token, context) if token else None
        if renewed is not None:
            statement = update(column.class_).where(*where, column == token)
            await self._session.execute(statement.values({column.key: renewed}))
            self.result.count += 1

    def _renewed(self, value: str, context: str) -> str | None:
        """A parameter re-encrypted; None if it is no secret or needs no change."""
        if not value.startswith(SECRET):
            return None
        token = self._encrypted_again(value.removeprefix(SECRET), context)
        return SECRET + token if token else None

    def _encrypted_again(self, token: str, context: str) -> str | None:
        if not self._keyring.needs_rotation(token):
            return None
        try:
            return self._keyring.encrypt(self._keyring.decrypt(token, context), context)
        except Undecryptable as error:
            log.error("rotation.unreadable", context=context, error=str(error))  # noqa: TRY400
            self.result.unreadable.append(context)
            return None
