"""PostgreSQL is away for a moment: told from a mistake of ours, and waited out."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import asyncpg
import structlog
from sqlalchemy import exc

log = structlog.get_logger()

LONGEST_PAUSE = 2.0  # seconds

# it can't be reached, starts, stops, is full, is a standby just now, keeps a row locked for long, or asks to do it again
PASSING = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TransactionRollbackError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg says when a connection breaks in the middle of a word
    OSError,
)
Answer = TypeVar("Answer")


class DatabaseAwayError(Exception):
    """The database can't be asked just now."""


def is_away(error: BaseException | None) -> bool:
    """Whether asking again later helps: the one answer for every loop, door and command."""
    if isinstance(error, exc.DBAPIError):
        return error.connection_invalidated or is_away(error.orig.__cause__ if error.orig else None)
    if isinstance(error, exc.TimeoutError):
        return True  # no connection of the pool became free in time
    if isinstance(error, OSError) and error.filename is not None:
        return False  # a file's error, not a socket's
    # asyncpg's word for a value that can't be sent is an InterfaceError too, and stays one
    return isinstance(error, (DatabaseAwayError, *PASSING)) and not isinstance(error, ValueError)


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Around what asks the database where others' errors are caught too: a connector may raise an `OSError` of its own."""
    try:
        yield
    except Exception as error:
        if is_away(error) and not isinstance(error, DatabaseAwayError):
            raise DatabaseAwayError(str(error) or type(error).__name__) from error
        raise


async def patiently(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask the database, again and again while it is away."""
    pause = 0.1
    while True:
        try:
            return await ask()
        except Exception as error:
            if not is_away(error):
                raise
            log.warning("database.waiting", error=str(error), kind=type(error).__name__)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
