"""Inputs of a component's parameters: kind, label, value, hint and errors."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel

from area.catalog import ComponentView, VariableView
from area.web.editor.forms import Form, Side, default_of

Kind = Literal[
    "text", "long", "number", "switch", "date", "email", "url", "json", "select", "secret", "time", "zone", "many"
]
LONG = frozenset({"body", "text", "html", "content", "message", "description", "summary", "payload"})
PROSE = frozenset({*LONG, "title", "subject", "caption", "note"}) - {"payload"}
MAIN = frozenset({*LONG, *PROSE})
SHORT = {"url": "URL", "html": "HTML", "id": "ID", "cc": "Cc", "bcc": "Bcc", "qos": "QoS", "json": "JSON"}


WORDS = re.compile(r"[^\s,]+")
TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


class FieldView(BaseModel):
    """One input."""

    id: str
    name: str
    variable: str
    label: str
    kind: Kind
    value: str
    hint: str
    placeholder: str
    required: bool
    main: bool  # whether it is what the reaction is about, so that it is not folded
    choices: dict[str, str]  # each as it is and as it is read
    default: str
    kept: bool  # there is a secret already
    removed: bool
    several_lines: bool
    errors: list[str]
    fillable: bool
    prose: bool = False  # whether people read what is filled in, rather than programs
    marked: list[str] = []  # of several choices
    options: str = ""  # where to ask what may be chosen
    chosen: str = ""  # how what was chosen there is called
    movable: bool = False  # whether there is a secret in it that a credential can hold


def readable(name: str) -> str:
    """Readable name of a parameter: `minutes_before` becomes Minutes before."""
    words = [SHORT.get(word, word) for word in name.split("_")]
    first = words[0]
    return " ".join([first[:1].upper() + first[1:], *words[1:]])


def field_views(
    form: Form,
    view: ComponentView,
    side: Side,
    kept: set[str],
    errors: Mapping[str, Sequence[str]],
    say: Callable[[str], str],
) -> list[FieldView]:
    """Inputs of a component in order; `say` translates the service's texts."""
    inputs = []
    for parameter in view.parameters:
        wrong = errors.get(f"{side[0]}.{parameter.name}", ())
        inputs.append(_field_view(form, parameter, view, side, say, kept=parameter.name in kept, errors=wrong))
    return inputs


def _field_view(
    form: Form,
    variable: VariableView,
    view: ComponentView,
    side: Side,
    say: Callable[[str], str],
    *,
    kept: bool,
    errors: Sequence[str],
) -> FieldView:
    name = f"{side[0]}.{variable.name}"
    value = form.values(side).get(variable.name, "")
    default = default_of(variable)
    kind = _kind(variable, value, side, several_lines=name in form.long)
    return FieldView(
        id=f"{side[0]}{view.id}-{variable.name}",
        name=name,
        variable=variable.name,
        label=say(readable(variable.name)),
        kind=kind,
        value="" if kind == "secret" else (value or default) if kind == "switch" else value,
        hint=variable.description or "",
        placeholder=default or variable.placeholder or "",
        required=not variable.nullable,
        main=side == "reaction" and variable.name in MAIN,
        choices={
            choice: say((variable.labels or {}).get(choice, choice))
            for choice in variable.choices or variable.many or ()
        },
        marked=WORDS.findall(value) if kind == "many" else [],
        default=default,
        kept=kept,
        removed=name in form.removed,
        several_lines=name in form.long,
        errors=list(errors),
        fillable=side == "reaction" and kind in ("text", "long", "json") and variable.name != "delay",
        prose=side == "reaction" and variable.type == "string" and kind in ("text", "long") and variable.name in PROSE,
        options=f"/areas/options/{view.key}/{variable.name}" if variable.picker and kind in ("text", "number") else "",
        chosen=form.names[name][1] if form.names.get(name, [""])[0] == value != "" else "",
    )


def _kind(variable: VariableView, value: str, side: Side, *, several_lines: bool) -> Kind:
    """The kind of input; reactions need inputs that accept {{…}}."""
    if variable.secret:
        return "secret"
    if side == "action" and (kind := _own_kind(variable, value)):
        return kind
    if variable.choices and (not value or value in variable.choices):
        return "select"
    if variable.type == "boolean" and value in ("", "true", "false"):
        return "switch"
    if variable.type == "json":
        return "json"
    if several_lines or variable.name in LONG:
        return "long"
    if side == "reaction" or variable.name == "only_if":
        return "text"
    if variable.type == "date":
        return "date" if not value or value[10:11] == "T" else "text"
    if variable.type in ("number", "email", "url"):
        return variable.type  # type: ignore[return-value] # one of these three
    return "text"


def _own_kind(variable: VariableView, value: str) -> Kind | None:
    """The kind that the parameter asks for, if it can show the value."""
    match variable.input:
        case "many":
            return "many" if set(WORDS.findall(value)) <= set(variable.many or ()) else None
        case "time":
            return "time" if not value or TIME.fullmatch(value) else None
    return variable.input
