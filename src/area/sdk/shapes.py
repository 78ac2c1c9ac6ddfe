"""The shape of a text: the parts it consists of. It is read from what the user wrote, before any value is filled in.

A field declares it with `param(…, shape=…)`. Then no value from an event can become another recipient, label or key of
an object, or a command to whoever reads the text.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from pydantic import BeforeValidator

from area.kit.template import as_text, places
from area.kit.template.filling import Split, json_document
from area.kit.template.places import Place

__all__ = [
    "ADDRESS", "HTML", "ITEMS", "JSON", "MARKDOWN", "MENTIONS", "Items", "Place", "Shape", "Shapes", "as_text",
    "by_format", "items", "json_document", "listed", "marks", "places", "segments",
]  # fmt: skip

MOST_ITEMS = 100
marks, segments = places.marks, places.segments


@dataclass(frozen=True, slots=True)
class Shape:
    """How a text is split into parts (`split`), and how values are encoded in place (`place`). `several`: it has items.

    `split` gets the text with each placeholder as one character, and returns dicts, lists and texts; each text is
    filled separately. A text that consists of a single placeholder is not split: it becomes the value as a whole.
    """

    split: Split | None = None
    place: Place | None = None
    several: bool = False


# one shape, or what gives it from the texts of all fields of the form; None where the text has no shape
Shapes = Shape | Callable[[Mapping[str, str]], Shape | None]


def items(text: str) -> Any:
    """The comma-separated items of a text, or those of a JSON array."""
    if text.lstrip().startswith("[") and isinstance(document := json_document(text), list):
        return document
    return [piece.strip() for piece in text.split(",") if piece.strip()]


def listed(given: Any) -> Any:
    """Items as texts, from comma-separated text or from a list. Raises `ValueError` if there are too many."""
    if isinstance(given, str):
        try:
            whole = orjson.loads(given) if given.lstrip().startswith("[") else None
        except orjson.JSONDecodeError:
            whole = None
        given = whole if isinstance(whole, list) else given.split(",")
    each = given if isinstance(given, list | tuple) else [given]
    if any(isinstance(element, list | dict) for element in each):
        raise ValueError("A list can't be one of several items. Let its placeholder be all there is in this field.")
    texts = [text for element in each if (text := as_text(element).strip())]
    if len(texts) > MOST_ITEMS:
        raise ValueError(f"Enter at most {MOST_ITEMS} items.")
    return texts


ADDRESS = Shape(place=places.ADDRESS)
JSON = Shape(split=json_document)
ITEMS = Shape(split=items, several=True)
HTML = Shape(place=places.MARKUP)
MARKDOWN = Shape(place=places.MARKDOWN)
# an @ at the beginning of a word would notify somebody, or let them read along
MENTIONS = Shape(place=marks(r"(?<!\w)@(?=\w|\Z)", "@\u200b", "escape_markdown"))


def by_format(field: str, shapes: Mapping[str, Shape]) -> Shapes:
    """The shape chosen by another field, such as the format of a text."""
    return lambda texts: shapes.get(texts.get(field, ""))


@dataclass(frozen=True, slots=True)
class Shaped:
    """Declares, in `Annotated`, the shape of a text."""

    shape: Shapes


Items = Annotated[list[str], BeforeValidator(listed), Shaped(ITEMS)]


def of(shapes: Shapes | None, texts: Mapping[str, str]) -> Shape | None:
    """The shape of a field in a form with these texts."""
    return shapes(texts) if callable(shapes) else shapes
