"""Searches without an index: one at a time per user, with a time limit."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from area.kit.fair import Fair
from area.kit.problems import Invalid

MILLISECONDS = 10_000

searches = Fair(
    "searches",
    "AREA is busy with other searches. Try again in a few seconds.",
    slots=4,
    per_key=1,
    waiting=60,
    waiting_per_key=6,
    patience=15,
)


@asynccontextmanager
async def search(session: AsyncSession) -> AsyncIterator[None]:
    """Wraps the statement that searches. Best before the session's first one, so that no connection is held while
    waiting.

    Raises `Invalid` if it takes too long, and `Full`.
    """
    async with searches.slot():
        try:
            async with session.begin_nested():
                await session.execute(text(f"set local statement_timeout = {MILLISECONDS}"))
                yield
                await session.execute(text("set local statement_timeout to default"))
        except DBAPIError as error:
            if isinstance(getattr(error.orig, "__cause__", None), asyncpg.QueryCanceledError):
                raise Invalid("This search takes too long. Narrow it down, for example to a shorter time.") from None
            raise
