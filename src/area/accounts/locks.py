"""Advisory locks of accounts: what two that come at the same moment must do one after the other."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# in the order in which they may be taken
ACCOUNTS, LOGIN, ADDRESS = 4_127_011, 4_127_012, 4_127_013


async def lock(session: AsyncSession, number: int, name: str = "") -> None:
    """Hold an advisory lock until the transaction ends."""
    await session.execute(
        text("select pg_advisory_xact_lock(:number, hashtext(:name))"), {"number": number, "name": name}
    )
