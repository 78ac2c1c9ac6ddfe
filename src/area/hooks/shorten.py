"""Shortens the lists and texts of a large JSON body, so that its event can be stored. Runs in a separate process (see
`area.kit.zygote`).
"""

import json
from typing import Any

import orjson

from area.kit.zygote import Unreadable

LEFT_OUT = "left_out"  # the key under which the body says what is missing
MOST_NOTES = 20
ROOM = 10_000  # bytes for these notes
SHORTEST = 200  # bytes that every value may have


def decode(content: bytes, *, most: int) -> bytes:
    """The JSON object in `content` in at most `most` bytes.

    If lists or texts had to be cut, it has `left_out`: `[{"path": "commits", "kept": 300, "of": 2048}]`, in items of
    lists and characters of texts. Raises `Unreadable`.
    """
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise Unreadable("The body isn't valid JSON: %(error)s.", error=str(error)) from error
    if not isinstance(value, dict):
        raise Unreadable("The body isn't a JSON object.")
    notes: list[dict[str, Any]] = []
    fitted = _fit(value, most - ROOM, "", notes)
    return orjson.dumps({**fitted, LEFT_OUT: notes[:MOST_NOTES]} if notes else fitted)


def _fit(value: Any, most: int, path: str, notes: list[dict[str, Any]]) -> Any:
    if _size(value) <= most:
        return value
    if isinstance(value, list):
        return _fit_list(value, most, path, notes)
    if isinstance(value, dict):
        return _fit_object(value, most, path, notes)
    if isinstance(value, str):
        shortened = value.encode()[: max(most - 2, 0) // 2].decode(errors="ignore")
        notes.append({"path": path, "kept": len(shortened), "of": len(value)})
        return shortened
    return value


def _fit_list(values: list[Any], most: int, path: str, notes: list[dict[str, Any]]) -> list[Any]:
    """The first items; a part of the first if it is too large by itself."""
    shortened: list[Any] = []
    left = most - 2
    for item in values:
        left -= _size(item) + 1
        if left < 0:
            break
        shortened.append(item)
    if not shortened and values:
        shortened = [_fit(values[0], most - 2, f"{path}.0", notes)]
    if len(shortened) < len(values):
        notes.append({"path": path, "kept": len(shortened), "of": len(values)})
    return shortened


def _fit_object(value: dict[str, Any], most: int, path: str, notes: list[dict[str, Any]]) -> dict[str, Any]:
    """Small values stay whole; large ones share what is left."""
    sizes = sorted((_size(item) + len(json.dumps(name)) + 2, name) for name, item in value.items())
    room: dict[str, int] = {}
    left = most - 2
    for place, (size, name) in enumerate(sizes):
        share = left // (len(sizes) - place)
        room[name] = max(min(size, share), SHORTEST)
        left -= room[name]
    return {
        name: _fit(item, room[name] - len(json.dumps(name)) - 2, f"{path}.{name}".removeprefix("."), notes)
        for name, item in value.items()
    }


def _size(value: Any) -> int:
    return len(orjson.dumps(value))
