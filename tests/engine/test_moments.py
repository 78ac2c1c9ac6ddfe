"""Moments in the seed's columns without zone."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import DateTime, func, select, text, update
from sqlalchemy.exc import StatementError

from area.db.models import Area, AreaExecution, Base
from area.db.types import UtcDateTime, naive_utc

from .conftest import make_area

PARIS = timezone(timedelta(hours=1))
MOMENT = datetime(2026, 11, 30, 20, 15, 30, 123456, tzinfo=PARIS)


def test_each_column_without_a_zone_has_the_type():
    naive = [
        column
        for table in Base.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, DateTime) and not column.type.timezone
    ]
    assert not naive
    ours = {
        f"{table.name}.{column.name}"
        for table in Base.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, UtcDateTime)
    }
    assert {"areas.last_triggered_at", "area_executions.started_at", "area_executions.completed_at"} < ours
    assert {"user_services.token_expires_at", "named_connections.token_expires_at"} < ours


def test_for_asyncpg():
    assert naive_utc(MOMENT) == datetime(2026, 11, 30, 19, 15, 30, 123456)
    with pytest.raises(ValueError, match="no time zone"):
        naive_utc(datetime(2026, 11, 30))


async def test_there_and_back_again(state, user):
    area = await make_area(state, user)
    async with state.database.transaction() as session:
        session.add(AreaExecution(area_id=area.id, started_at=MOMENT, completed_at=None))
        await session.execute(update(Area).where(Area.id == area.id).values(last_triggered_at=MOMENT))
    async with state.database.sessions() as session:
        row = await session.scalar(select(AreaExecution))
        assert row is not None
        assert (row.started_at, row.started_at.tzinfo, row.completed_at) == (MOMENT, UTC, None)
        assert await session.scalar(select(Area.last_triggered_at)) == MOMENT
        assert await session.scalar(select(func.count()).where(Area.last_triggered_at <= MOMENT)) == 1
        assert str(await session.scalar(text("select last_triggered_at from areas"))) == "2026-11-30 19:15:30.123456"
        with pytest.raises(StatementError, match="no time zone"):
            await session.execute(update(Area).values(last_triggered_at=datetime(2026, 11, 30)))
