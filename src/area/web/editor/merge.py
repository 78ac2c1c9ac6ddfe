"""An AREA that was changed elsewhere while it was edited: what changed there is taken over, and what changed in both
places is told, so that neither is lost.

The form carries a fingerprint of each field as it was when the editing began.
"""

from collections.abc import Mapping
from hashlib import sha256

from pydantic import BaseModel

from area.web.editor import rows
from area.web.editor.forms import SIDES, Form, Side


class Merged(BaseModel):
    """Fields by their names in the form: changed only elsewhere, and changed in both places."""

    taken: list[str] = []
    both: list[str] = []


def base_of(saved: Form) -> dict[str, str]:
    """Fingerprints of a saved form's fields."""
    return {name: _print(text) for name, text in _fields(saved).items()}


def merge(form: Form, saved: Form) -> Merged:
    """Bring the form up to what is saved now, keeping what was typed. Does nothing if it is."""
    merged, base, now = Merged(), form.base, base_of(saved)
    if not base or base == now:
        form.base = now
        return merged
    for side in SIDES:
        if form.component(side) == saved.component(side):
            continue
        if _print(form.component(side)) == base.get(side):
            _take_side(form, saved, side)
            merged.taken.append(side)
        elif _of_side(base, side) != _of_side(now, side):
            merged.both.append(side)
    mine, theirs = _fields(form), _fields(saved)
    for name in sorted({*mine, *theirs}):
        of = _side(name)
        if of and (name == of or of in merged.taken or form.component(of) != saved.component(of)):
            continue
        was, is_now, typed = base.get(name), now.get(name), _print(mine[name]) if name in mine else None
        if is_now in (was, typed):
            continue
        if typed == was:
            _take(form, saved, name)
            merged.taken.append(name)
        else:
            merged.both.append(name)
    form.base = now
    return merged


def text_of(form: Form, name: str) -> str:
    """A field's text."""
    return _fields(form).get(name, "")


def _fields(form: Form) -> dict[str, str]:
    values = {f"{side[0]}.{name}": text for side in SIDES for name, text in form.values(side).items() if text}
    connections = {f"connection.{side}": form.connection(side) for side in SIDES if form.connection(side)}
    own = {
        "action": form.action,
        "reaction": form.reaction,
        "name": form.name,
        "description": form.description,
        "is_active": "1" if form.is_active else "",
        "a.only_if": form.only_if,
    }
    return {**values, **connections, **{name: text for name, text in own.items() if text}}


def _side(name: str) -> Side | None:
    """The side that a field belongs to."""
    for side in SIDES:
        if name in (side, f"connection.{side}") or name.startswith(f"{side[0]}."):
            return side
    return None


def _of_side(prints: Mapping[str, str], side: Side) -> dict[str, str]:
    return {name: value for name, value in prints.items() if _side(name) == side}


def _take_side(form: Form, saved: Form, side: Side) -> None:
    setattr(form, side, saved.component(side))
    form.values(side).clear()
    form.values(side).update(saved.values(side))
    setattr(form, f"{side}_connection", saved.connection(side))
    if side == "action":
        form.condition = saved.condition


def _take(form: Form, saved: Form, name: str) -> None:
    letter, _, own = name.partition(".")
    if name == "a.only_if":
        form.condition = rows.read(saved.only_if)
        form.action_values.pop("only_if", None)
        if form.condition is None:
            form.action_values["only_if"] = saved.only_if
    elif letter == "connection":
        setattr(form, f"{own}_connection", saved.connection("action" if own == "action" else "reaction"))
    elif not own:
        setattr(form, name, getattr(saved, name))
    else:
        side: Side = "action" if letter == "a" else "reaction"
        values, theirs = form.values(side), saved.values(side)
        values.pop(own, None)
        if own in theirs:
            values[own] = theirs[own]


def _print(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
