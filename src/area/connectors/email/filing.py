"""Mails that are moved and marked, found by their Message-ID, which they keep when a folder is numbered anew."""

import re
from collections.abc import Callable, Mapping
from functools import partial

from imap_tools.utils import encode_folder

from area.connectors.email.imap import Mailbox
from area.connectors.email.message import header
from area.sdk import Permanent, Sentence

MOST = 20  # mails of one Message-ID that are looked at
_PRINTABLE = re.compile(r"[\x20-\x7e]{1,900}")
_ONLY_ID = "(UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])"


async def head(mailbox: Mailbox, folder: str, message_id: str) -> Callable[[str], str]:
    """What returns a header of a mail by its name, on one line. Raises `Permanent` if there is no such mail."""
    uid = await _known(mailbox, folder, message_id, readonly=True)
    data = await mailbox.uid("FETCH", uid, "(UID BODY.PEEK[HEADER])")
    content = next((item[1] for item in data if isinstance(item, tuple)), b"")
    return partial(header, content)


async def mark(mailbox: Mailbox, folder: str, message_id: str, flags: Mapping[str, bool | None]) -> None:
    """Set the flags that are true, and remove those that are false. Raises `Permanent` if there is no such mail."""
    uid = await _known(mailbox, folder, message_id)
    for sign, wanted in (("+", True), ("-", False)):
        if names := [name for name, value in flags.items() if value is wanted]:
            await mailbox.uid("STORE", uid, f"{sign}FLAGS.SILENT", f"({' '.join(names)})")


async def move(mailbox: Mailbox, folder: str, message_id: str, target: str) -> None:
    """Move a mail, unless an earlier attempt did. Raises `Permanent` if it is in neither folder."""
    there = await _find(mailbox, target, message_id)
    if folder == target and there:
        return
    uid = await _find(mailbox, folder, message_id)
    if uid is None:
        if there:
            return
        raise _missing(folder)
    if mailbox.has("MOVE"):  # RFC 6851
        await mailbox.uid("MOVE", uid, encode_folder(target))
        return
    if there is None:
        await mailbox.uid("COPY", uid, encode_folder(target))
    await mailbox.uid("STORE", uid, "+FLAGS.SILENT", "(\\Deleted)")
    if mailbox.has("UIDPLUS"):  # else it would expunge others, too
        await mailbox.uid("EXPUNGE", uid)


async def _known(mailbox: Mailbox, folder: str, message_id: str, *, readonly: bool = False) -> str:
    uid = await _find(mailbox, folder, message_id, readonly=readonly)
    if uid is None:
        raise _missing(folder)
    return uid


def _missing(folder: str) -> Permanent:
    return Permanent(
        Sentence(
            'The folder "%(folder)s" has no e-mail with this Message-ID. Has it been moved or deleted?', folder=folder
        )
    )


async def _find(mailbox: Mailbox, folder: str, message_id: str, *, readonly: bool = False) -> str | None:
    """The UID of the newest mail with this Message-ID. The folder is open from now on."""
    if not _PRINTABLE.fullmatch(message_id):
        raise Permanent("This isn't a Message-ID.")
    await mailbox.select(folder, readonly=readonly)
    quoted = re.sub(r'(["\\])', r"\\\1", message_id)
    (found,) = await mailbox.uid("SEARCH", f'HEADER Message-ID "{quoted}"')
    for uid in reversed(found.decode().split()[-MOST:]):  # what is found contains it
        data = await mailbox.uid("FETCH", uid, _ONLY_ID)
        if any(isinstance(item, tuple) and header(item[1], "message-id") == message_id for item in data):
            return str(uid)
    return None
