"""Which mails of a folder are new, across restarts and folders that are numbered or made anew.

UIDs tell, as long as the folder's UIDVALIDITY stays (RFC 9051 §2.3.1.1). After that, what arrived before the newest
mail known is old, by the server's clock: a restored backup doesn't trigger, and mails of a folder made anew do.
"""

from datetime import datetime
from typing import Any

from area.connectors.email.imap import Mailbox
from area.sdk import Context, now

MOST_IDS = 20  # of mails that arrived within one second


async def look(ctx: Context, mailbox: Mailbox, folder: str) -> None:
    """Open the folder, and set in `ctx.state` from where on its mails are new."""
    state = ctx.state
    validity, following = await mailbox.open(folder)
    same = state.get("uidvalidity") == validity and following > state["last_uid"]
    if same and "newest" in state:
        return
    if "newest" not in state:
        seen = {"last_uid": state["last_uid"] if same else following - 1, "newest": {"at": "", "ids": []}}
        for arrived, message_id in await mailbox.newest():
            note(seen, arrived, message_id)
        state.update(seen, uidvalidity=validity)
    else:
        known = state["newest"]["at"]
        recent = await (mailbox.since(datetime.fromisoformat(known)) if known else mailbox.newer(0))
        state.update(uidvalidity=validity, last_uid=min(recent, default=following) - 1, checked=following - 1)
    await ctx.save()


def is_old(state: dict[str, Any], uid: int, arrived: datetime, message_id: str) -> bool:
    """Whether a mail of a folder numbered anew was there before."""
    known = state["newest"]
    if uid > state.get("checked", 0) or not known["at"]:
        return False
    at = datetime.fromisoformat(known["at"])
    return arrived < at or (arrived == at and message_id in known["ids"])


def note(state: dict[str, Any], arrived: datetime, message_id: str) -> None:
    """Remember the newest mails."""
    at = min(arrived, now()).isoformat()  # a date in the future must not make all that follows old
    known = state["newest"]
    if at > known["at"]:
        state["newest"] = {"at": at, "ids": [message_id]}
    elif at == known["at"] and len(known["ids"]) < MOST_IDS:
        state["newest"] = {"at": at, "ids": [*known["ids"], message_id]}
