"""Messages to users about what the engine saw; each is put once for its key."""

from typing import Any

NOTICE = (
    "insert into notices (user_id, level, title, body, key, area_id) values ($1, $2, left($3, 255), $4, $5, $6)"
    " on conflict (user_id, key) do nothing returning id"
)
SWITCH_OFF = (
    "update areas a set is_active = false, updated_at = now() from area_health h"
    " where a.id = $1 and h.area_id = a.id and a.is_active returning a.user_id, a.name"
)


async def notice(
    conn: Any, user_id: int, level: str, title: str, body: str, *, key: str | None = None, area_id: int | None = None
) -> int | None:
    """Put a notice in the user's inbox in the caller's transaction; returns its id, None when the key was noticed before."""
    row = await conn.fetchrow(NOTICE, user_id, level, title, body, key, area_id)
    if row is None:
        return None
    await conn.execute("select pg_notify('notices_changed', $1)", str(user_id))
    return int(row[0])


async def switched_off(conn: Any, area_id: int, failures: int, reason: str) -> None:
    """Switch an AREA off after too many permanent failures in a row, and tell its owner."""
    row = await conn.fetchrow(SWITCH_OFF, area_id)
    if row is None:
        return
    why = f"It failed {failures} times in a row, the last time with: {reason}"
    await conn.execute("update area_health set switched_off_at = now(), reason = $2 where area_id = $1", area_id, why)
    await notice(
        conn,
        row["user_id"],
        "error",
        f"{row['name']} was switched off",
        f"{why}\n\nMend the cause, then switch it on again. What happened meanwhile is not caught up.",
        area_id=area_id,
    )
