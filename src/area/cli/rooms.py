"""The architecture page: packages by layer of the import contract, with their imports, as a table and a picture."""

import ast
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

PROJECT = Path(__file__).parents[3] / "pyproject.toml"
PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Room:
    """A package or module directly below `area`. `floor` counts from 1 at the bottom; `imports` are names of other
    rooms.
    """

    name: str
    floor: int
    about: str
    imports: frozenset[str]


def rooms() -> list[Room]:
    """All packages, top layer first. Needs a checkout with the developer tools."""
    import grimp

    graph = grimp.build_graph("area", cache_dir=None)
    floors = _floors()
    names = [(number, name) for number, floor in zip(range(len(floors), 0, -1), floors, strict=True) for name in floor]
    listed = []
    for number, name in names:
        inside = {f"area.{name}", *graph.find_descendants(f"area.{name}")}
        imported = {module_name for module in inside for module_name in graph.find_modules_directly_imported_by(module)}
        others = {parts[1] for module_name in imported if len(parts := module_name.split(".")) > 1}
        listed.append(Room(name, number, _about(name), frozenset(others - {name})))
    return listed


def _floors() -> list[list[str]]:
    """The layers of the contract, top first."""
    contracts = tomllib.loads(PROJECT.read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(
        contract["layers"]
        for contract in contracts
        if contract["type"] == "layers" and contract["containers"] == ["area"]
    )
    return [re.split(r"\s*[|:]\s*", layer) for layer in layers]


def _about(name: str) -> str:
    """The first sentence of the package's docstring."""
    module = PACKAGE / f"{name}.py"
    path = module if module.is_file() else PACKAGE / name / "__init__.py"
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return re.split(r"(?<=\.)\s", " ".join(docstring.split()), maxsplit=1)[0]


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Rows of the table: floor, room, description, imports."""
    for room in rooms():
        imported = ", ".join(f"`{name}`" for name in sorted(room.imports))
        yield str(room.floor), f"`{room.name}`", room.about, imported or "nothing"


# The picture

ROW, CELL, TOP, NAMES = 22, 22, 110, 190  # pixels
INK, FAINT, BANDS = "#1f2933", "#9aa5b1", ("#ffffff", "#f1f4f8")


def picture() -> Iterator[str]:
    """An SVG: a row for each package, with a dot in the column of each package it imports. A dot left of its own column
    would be an import from a higher layer, which the contract forbids.
    """
    every = rooms()
    width, height = NAMES + CELL * len(every) + 20, TOP + ROW * len(every) + 20
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="system-ui, sans-serif" font-size="13" role="img" aria-labelledby="title">'
    )
    yield '<title id="title">Rooms by floor, and which other rooms each imports</title>'
    yield f'<rect width="{width}" height="{height}" fill="{BANDS[0]}"/>'
    for number, room in enumerate(every):
        y = TOP + ROW * number
        yield f'<rect x="0" y="{y}" width="{width}" height="{ROW}" fill="{BANDS[room.floor % 2]}"/>'
        yield f'<text x="12" y="{y + 15}" fill="{FAINT}">{room.floor}</text>'
        yield f'<text x="40" y="{y + 15}" fill="{INK}">{escape(room.name)}</text>'
        yield from _column(number, room, height)
    for number, room in enumerate(every):
        yield from _dots(number, room, every)
    yield "</svg>"


def _column(number: int, room: Room, height: int) -> Iterator[str]:
    x = NAMES + CELL * number + CELL // 2
    yield f'<line x1="{x}" y1="{TOP}" x2="{x}" y2="{height - 20}" stroke="{FAINT}" stroke-opacity="0.25"/>'
    yield f'<text transform="translate({x + 4} {TOP - 8}) rotate(-60)" fill="{INK}">{escape(room.name)}</text>'


def _dots(number: int, room: Room, every: Sequence[Room]) -> Iterator[str]:
    y = TOP + ROW * number + ROW // 2
    for column, other in enumerate(every):
        x = NAMES + CELL * column + CELL // 2
        if other.name == room.name:
            yield f'<rect x="{x - 6}" y="{y - 6}" width="12" height="12" fill="none" stroke="{FAINT}"/>'
        elif other.name in room.imports:
            title = f"{room.name} imports {other.name}"
            yield f'<circle cx="{x}" cy="{y}" r="5" fill="{INK}"><title>{escape(title)}</title></circle>'
