"""Notion property values and text, as people write them
(https://developers.notion.com/reference/property-value-object).
"""

from typing import Any

from area.sdk import Permanent, Sentence
from area.sdk.shapes import JSON, Shape, items

LONGEST = 2000  # characters of one piece of text, https://developers.notion.com/reference/request-limits


def _parts(text: str) -> Any:
    """The whole text, and its comma-separated parts; the property decides which applies."""
    return {"text": text, "items": items(text)} if len(text) > 1 else text


def _values(text: str) -> Any:
    document = JSON.split(text) if JSON.split else text
    if not isinstance(document, dict):
        return document
    return {name: _parts(value) if type(value) is str else value for name, value in document.items()}


PARTS, VALUES = Shape(split=_parts), Shape(split=_values)


def plain(value: Any) -> Any:
    """Text, number, boolean, or a list of them."""
    if isinstance(value, list):
        values = [plain(item) for item in value]
        return "".join(values) if value and all("plain_text" in item for item in value) else values
    if not isinstance(value, dict):
        return value
    for name in ("plain_text", "name", "start", value.get("type"), "id"):
        if name in value:
            inner = value[name]
            return "" if inner == [] and name in ("title", "rich_text") else plain(inner)
    return value


def rich(text: str) -> list[dict[str, Any]]:
    """Text in chunks that Notion accepts."""
    pieces = [text[start : start + LONGEST] for start in range(0, len(text), LONGEST)]
    return [{"type": "text", "text": {"content": piece}} for piece in pieces]


def written(kind: str, name: str, value: Any) -> dict[str, Any]:
    """The property value for this type. Raises `Permanent` if it isn't possible."""
    parted = isinstance(value, dict) and value.keys() == {"text", "items"}
    value, each = (value["text"], value["items"]) if parted else (value, value)
    text = str(value)
    several = (
        [str(item).strip() for item in each] if isinstance(each, list) else [part.strip() for part in text.split(",")]
    )
    named, things = {"name": text}, [{"id": item} for item in several if item]
    result: dict[str, Any] = {"title": rich(text), "rich_text": rich(text), "select": named, "status": named}
    result |= {"multi_select": [{"name": item} for item in several if item], "people": things, "relation": things}
    result |= {"date": {"start": text}, "checkbox": text.lower() in ("true", "yes", "1", "on")}
    result |= dict.fromkeys(("url", "email", "phone_number"), text or None)
    if kind == "number":
        try:
            return {kind: float(text)}
        except ValueError:
            raise Permanent(
                Sentence('The property "%(name)s" needs a number, not "%(text)s".', name=name, text=text)
            ) from None
    if kind not in result:
        raise Permanent(
            Sentence('The property "%(name)s" is of type %(kind)s, which can\'t be written.', name=name, kind=kind)
        )
    return {kind: result[kind]}
