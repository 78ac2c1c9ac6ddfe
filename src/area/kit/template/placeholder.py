"""Placeholders as users write them: a path or a text, and filters."""

from collections.abc import Mapping
from dataclasses import dataclass

from area.kit.sentences import Sentence
from area.kit.template.filters import FILTERS, Kind, Shape
from area.kit.template.reading import (
    NAME,
    SHOWN,
    Argument,
    Path,
    PlacedError,
    read_literal,
    read_path,
    read_string,
    skip_space,
)
from area.kit.template.values import BadArgument, Filter, FilterOfTwo
from area.kit.text import did_you_mean, listing

MAX_FILTERS = 20  # per placeholder


class TemplateError(PlacedError):
    """A template that can't be used: what is wrong, where, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Step:
    """A filter with its arguments; `text`: it takes text. Of two values, `other` leads to the second."""

    name: str
    apply: Filter
    text: bool
    of_two: FilterOfTwo | None = None
    other: Path | None = None


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A `path` or else the text `literal`, and the filters in order."""

    source: str
    path: Path | None
    literal: str
    filters: tuple[Step, ...]


def placeholders(text: str) -> list[tuple[int, int]]:
    """The beginning and end of each placeholder. Raises `TemplateError`."""
    spans: list[tuple[int, int]] = []
    position = 0
    while (start := text.find("{{", position)) >= 0:
        position = read_placeholder(text, start)[1]
        spans.append((start, position))
    return spans


def read_placeholder(text: str, start: int) -> tuple[Placeholder, int]:
    """The placeholder at `start` and the position after it. Raises `TemplateError`."""
    if text.startswith("{{{", start):
        raise TemplateError(
            Sentence('three braces; a placeholder has two: {{title}}. For a brace before one, write {{"{"}}{{title}}.'),
            text,
            start,
        )
    position = skip_space(text, start + 2)
    path, literal = None, ""
    if text.startswith(('"', "'"), position):
        literal, position = read_string(text, position, TemplateError)
    elif text.startswith("}}", position):
        raise TemplateError(Sentence("the braces are empty; write a name, such as {{title}}."), text, start)
    elif NAME.match(text, position) or text.startswith("[", position):
        path, position = read_path(text, position, TemplateError)
    else:
        raise _unexpected(text, position, start)
    filters: list[Step] = []
    before: Shape = "any" if path else "text"
    while True:
        position = skip_space(text, position)
        if text.startswith("}}", position):
            source = text[start : position + 2]
            return Placeholder(source, path, literal, tuple(filters)), position + 2
        if not text.startswith("|", position):
            raise _unexpected(text, position, start)
        if len(filters) == MAX_FILTERS:
            raise TemplateError(
                Sentence("a placeholder has at most %(most)s filters.", most=MAX_FILTERS), text, position
            )
        bar = position
        piped, position = _read_filter(text, bar, start)
        if misfit := misfit_of(piped.name, before):
            raise TemplateError(
                Sentence("after %(name)s: %(error)s", name=filters[-1].name, error=misfit) if filters else misfit,
                text,
                bar,
            )
        kind = FILTERS[piped.name]
        before = before if kind.gives == "any" and piped.name in _PASSING else kind.gives
        filters.append(piped)


_PASSING = ("raw", "slice")  # what they give is of the kind that they get


def misfit_of(name: str, shape: Shape) -> Sentence | None:
    """What is wrong with a filter that gets a value of this shape."""
    takes = FILTERS[name].takes
    if not takes or shape == "any" or shape in takes:
        return None
    if "list" in takes:
        return Sentence('"%(name)s" takes a list, and this is %(shape)s.', name=name, shape=_SHAPES[shape])
    return Sentence('"%(name)s" takes an object, and this is %(shape)s.', name=name, shape=_SHAPES[shape])


_SHAPES: Mapping[Shape, Sentence] = {
    "text": Sentence("a text"),
    "number": Sentence("a number"),
    "boolean": Sentence("true or false"),
    "list": Sentence("a list"),
    "object": Sentence("an object"),
}


def _read_filter(text: str, bar: int, start: int) -> tuple[Step, int]:
    """The filter whose `|` is at `bar`."""
    begin = skip_space(text, bar + 1)
    match = NAME.match(text, begin)
    if match is None:
        raise TemplateError(Sentence("| must be followed by a filter: %(names)s.", names=", ".join(FILTERS)), text, bar)
    name = match[0]
    kind = FILTERS.get(name.lower())
    if kind is None:
        hint = did_you_mean(name, FILTERS)
        name = name[:SHOWN]
        unknown = Sentence('there is no filter "%(name)s"%(hint)s', name=name, hint=hint)
        raise TemplateError(listing(unknown, hint, ", ".join(FILTERS)), text, begin)
    position = skip_space(text, match.end())
    if text.startswith("(", position):
        raise _unexpected(text, position, start)
    arguments, other, position = _read_arguments(text, position, start, kind)
    if other:
        return Step(name.lower(), kind.build(None), kind.text, kind.of_two, other), position
    if not kind.least <= len(arguments) <= kind.most:
        raise TemplateError(Sentence("write %(name)s as %(usage)s.", name=name, usage=kind.usage), text, begin)
    try:
        return Step(name.lower(), kind.build(*arguments), kind.text), position
    except BadArgument as error:
        raise TemplateError(Sentence("%(name)s: %(error)s", name=name, error=error), text, begin) from error


def _read_arguments(text: str, position: int, start: int, kind: "Kind") -> tuple[list[Argument], Path | None, int]:
    """The arguments from `position` on, or the path of a second value, and the position after them."""
    arguments: list[Argument] = []
    separator = ":"
    while text.startswith(separator, position) and len(arguments) <= kind.most:
        here = skip_space(text, position + 1)
        quoted = kind.pattern and not arguments and text.startswith(('"', "'"), here)
        read = _read_pattern(text, here) if quoted else read_literal(text, here, TemplateError)
        if read is None and kind.of_two and (NAME.match(text, here) or text.startswith("[", here)):
            return [], *read_path(text, here, TemplateError)
        if read is None:
            raise _no_argument(text, here, start, kind)
        arguments.append(read[0])
        position = skip_space(text, read[1])
        separator = ","
    return arguments, None, position


def _read_pattern(text: str, position: int) -> tuple[str, int]:
    """The pattern or condition in quotes, where only a quote is escaped, and the position after it."""
    written, end = read_string(text, position, TemplateError, raw=True)
    return written.replace(f"\\{text[position]}", text[position]), end


def _no_argument(text: str, position: int, start: int, kind: "Kind") -> TemplateError:
    if position >= len(text):
        return _unexpected(text, position, start)
    if text[position] in "“”„‘’«»":  # noqa: RUF001 -- typographic quotes from phones
        return TemplateError(Sentence("use straight quotes: \" or '."), text, position)
    return TemplateError(
        Sentence("an argument is a number or a text in quotes, as in %(usage)s.", usage=kind.usage), text, position
    )


def _unexpected(text: str, position: int, start: int) -> TemplateError:
    """The error for an unexpected character at `position` of the placeholder that begins at `start`."""
    if position >= len(text) or text.startswith("{{", position):
        return TemplateError(
            Sentence('this {{ is never closed; add }} after the name, or write {{"{{"}} for two braces.'), text, start
        )
    match = NAME.match(text, position)
    word = match[0] if match else text[position]
    if word.lower() in FILTERS:
        return TemplateError(Sentence("put | before a filter, as in {{title | %(word)s}}.", word=word), text, position)
    if word == "}":
        return TemplateError(Sentence("a placeholder ends with two braces: }}."), text, position)
    if word == "(":
        return TemplateError(
            Sentence("a filter's argument follows a colon, as in {{title | truncate:80}}."), text, position
        )
    return TemplateError(
        Sentence(
            '"%(word)s" is not allowed here; a placeholder is a name and filters, such as {{title | upper}}.',
            word=word[:SHOWN],
        ),
        text,
        position,
    )


# the shape of an action's return value by its type
OF_TYPE: Mapping[str, Shape] = {
    "string": "text", "email": "text", "url": "text", "date": "text", "number": "number", "boolean": "boolean",
}  # fmt: skip
