"""What is kept of a reaction's result: JSON of a limited size."""

from typing import Any

from pydantic import BaseModel

from area.kit.text import clean_json, dump_json

MAX_RESULT = 64 * 1024  # bytes
REMARK = 200  # bytes for the remark that something was cut
CUT = "…"


def encoded(result: Any) -> bytes | None:
    """The JSON to store, None for no result.

    Of a result larger than `MAX_RESULT`, its largest values are cut to text, so that the others stay; `truncated` says
    so, as true if the result has such a field.
    """
    if result is None:
        return None
    value = result
    if isinstance(result, BaseModel):
        try:
            value = result.model_dump(mode="json")
        except ValueError:  # nested too deeply, or half characters
            value = clean_json(result)
    data = dump_json(value)
    return data if len(data) <= MAX_RESULT else _cut(clean_json(value), len(data))


def _cut(value: Any, size: int) -> bytes:
    remark = f"The result was {size:,} bytes, more than is kept."
    if not isinstance(value, dict):
        return dump_json({"truncated": remark})
    sizes = {name: len(dump_json(item)) for name, item in value.items()}
    for name in sorted(sizes, key=sizes.__getitem__, reverse=True):
        room = MAX_RESULT - REMARK - (size - sizes[name])
        value[name] = _text(value[name], max(room, 0))
        size += len(dump_json(value[name])) - sizes[name]
        if size <= MAX_RESULT - REMARK:
            value["truncated"] = True if isinstance(value.get("truncated"), bool) else remark
            return dump_json(value)
    return dump_json({"truncated": remark})  # the names alone are too long


def _text(value: Any, room: int) -> str:
    """The beginning of a text, or of a value's JSON, as JSON of at most `room` bytes; empty if there is no room."""
    text = value if isinstance(value, str) else dump_json(value).decode()
    fits, over = 0, min(len(text), room)
    while fits < over:  # what a character takes depends on it: find out how many fit
        middle = (fits + over + 1) // 2
        if len(dump_json(text[:middle] + CUT)) <= room:
            fits = middle
        else:
            over = middle - 1
    return text[:fits] + CUT if fits else ""
