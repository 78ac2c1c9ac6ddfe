"""PostgreSQL is away for a moment: how to tell that from a bug, and how to wait it out."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import asyncpg
import structlog
from sqlalchemy import exc

log = structlog.get_logger()

LONGEST_PAUSE = 2.0  # seconds

# unreachable, starting, stopping, full, a standby, holding a row lock for long, or asking for a retry
PASSING = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TransactionRollbackError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # asyncpg's when a connection breaks in the middle of a message
    OSError,
)
Answer = TypeVar("Answer")


class DatabaseAwayError(Exception):
    """The database can't be queried right now."""


def is_away(error: BaseException | None) -> bool:
    """Whether a retry later helps. The one answer for every loop, door and command."""
    if isinstance(error, exc.DBAPIError):
        return error.connection_invalidated or is_away(error.orig.__cause__ if error.orig else None)
    if isinstance(error, exc.TimeoutError):
        return True  # no pooled connection became free in time
    if isinstance(error, OSError) and error.filename is not None:
        return False  # a file's error, not a socket's
    # a value that can't be encoded is an InterfaceError too, but not a database that is away
    return isinstance(error, (DatabaseAwayError, *PASSING)) and not isinstance(error, ValueError)


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Wraps queries where other errors are caught too, since a connector may raise an `OSError` of its own. Raises
    `DatabaseAwayError`.
    """
    try:
        yield
    except Exception as error:
        if is_away(error) and not isinstance(error, DatabaseAwayError):
            raise DatabaseAwayError(str(error) or type(error).__name__) from error
        raise


async def patiently(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Query the database, and repeat that while it is away."""
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
