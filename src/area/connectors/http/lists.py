"""How the items of a JSON list are told apart."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson

from area.sdk import Permanent, Sentence

ID_FIELDS = ("id", "guid", "uuid", "key", "url")
# names of fields that may identify an item: event_id, messageId, sha, permalink
LIKE_AN_ID = re.compile(
    r"(?:^|[_-])(?:id|uuid|guid|key|sha|hash|number|slug|href|uri|permalink)$|[a-z](?:Id|ID|Uuid|UUID)$"
)
COMPARED = 20  # items of two looks that are compared
FIELDS = 20  # of an item that are compared


def identity(item: Any, fields: Sequence[str]) -> str:
    """The first of the `fields` that identifies the item, as text; empty if none does."""
    values = [item.get(name) for name in fields] if isinstance(item, dict) else []
    return next((text for value in values if (text := _scalar(value))), "")


def digest(value: Any) -> str:
    """A hash of any JSON value. Raises `TypeError` for one that can't be stored."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def telling(items: Sequence[Any]) -> list[str]:
    """The fields that look like an id and are different in each item."""
    if not items or not all(isinstance(item, dict) for item in items):
        return []
    names = [name for name in items[0] if LIKE_AN_ID.search(name)]
    return [name for name in names if len({_scalar(item.get(name)) or "" for item in items} - {""}) == len(items)]


class Compared:
    """What two looks at a list whose items have no ID field have in common.

    Each item is remembered as a list: the hash of the whole, then one for each field.
    """

    def __init__(self, items: Sequence[Any], before: Sequence[Sequence[str]]) -> None:
        self.rows = [_row(item) for item in items[:COMPARED]]
        self._before = before

    @property
    def changing(self) -> list[str]:
        """Hashes of fields by which at least half of the items are those of the last look, although none is the same
        as a whole: all of them change while they stay. Empty if that isn't so.
        """
        if not self.rows or {row[0] for row in self.rows} & {row[0] for row in self._before}:
            return []
        lasting = _single(self.rows) & _single(self._before)
        stayed = sum(any(mark in lasting for mark in row[1:]) for row in self.rows)
        return sorted(lasting) if 2 * stayed >= len(self.rows) else []


def no_identity(items: Sequence[Any], lasting: Sequence[str]) -> Permanent:
    """The error for a list whose items all change while they stay."""
    item = next((item for item in items if isinstance(item, dict)), {})
    names = [name for name, value in list(item.items())[:FIELDS] if _mark(name, value) in lasting]
    sentence = Sentence(
        "AREA can't tell the items of the list apart: all of them changed since the last check, and none has an ID. Set"
        " id_field to the field that identifies an item, or use the path to leave out what changes."
    )
    if names:
        sentence = Sentence("%(error)s Unchanged: %(names)s.", error=sentence, names=", ".join(names))
    return Permanent(sentence)


def _row(item: Any) -> list[str]:
    fields = list(item.items())[:FIELDS] if isinstance(item, dict) else []
    return [digest(item)[:12], *(_mark(name, value) for name, value in fields)]


def _mark(name: str, value: Any) -> str:
    return digest([name, value])[:10]


def _single(rows: Sequence[Sequence[str]]) -> set[str]:
    """The fields that only one of the items has with this value."""
    counts = Counter(mark for row in rows for mark in row[1:])
    return {mark for mark, number in counts.items() if number == 1}


def _scalar(value: Any) -> str:
    return str(value) if type(value) in (str, int, float) and str(value).strip() else ""
