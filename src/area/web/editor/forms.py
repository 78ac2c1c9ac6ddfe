"""The editor's form: built from an AREA, a template, a draft or a request, and turned into an AREA."""

from collections.abc import Mapping
from typing import Any, Literal

import orjson
from pydantic import BaseModel, Field

from area.areas import AreaIn, AreaOut, Part
from area.areas.plans import to_text
from area.catalog import ComponentView, VariableView
from area.kit.template import paths_in
from area.kit.text import clean_text
from area.sdk.sensitive import MASK
from area.web.editor import rows
from area.web.editor.rows import Row, Rows

Side = Literal["action", "reaction"]
SIDES: tuple[Side, Side] = ("action", "reaction")
MOST_ROWS = 20
LINK = "area.ran"  # the action of an AREA that follows others
PASSING = "area.pass_on"  # the reaction that only passes values on


class Form(BaseModel):
    """Everything typed into the editor. Parameters are texts as typed."""

    action: str = ""
    reaction: str = ""
    action_values: dict[str, str] = Field(default_factory=dict)
    reaction_values: dict[str, str] = Field(default_factory=dict)
    action_connection: str = ""  # names of connections; nothing is the default one
    reaction_connection: str = ""
    condition: Rows | None = Field(default_factory=Rows)  # `only_if` as rows; None: as the text among the values
    name: str = ""
    named: bool = False  # by the person, rather than by us
    description: str = ""
    is_active: bool = True
    removed: list[str] = Field(default_factory=list)  # secrets that are no longer wanted, such as `a.secret`
    long: list[str] = Field(default_factory=list)  # fields that hold several lines
    base: dict[str, str] = Field(default_factory=dict)  # of a saved AREA: what the editing began with (merge.py)
    names: dict[str, list[str]] = Field(
        default_factory=dict
    )  # of fields: a value that was chosen from a list, and its name

    def component(self, side: Side) -> str:
        """Key of the selected component, or empty."""
        return self.action if side == "action" else self.reaction

    def connection(self, side: Side) -> str:
        """Name of the selected connection, or empty."""
        return self.action_connection if side == "action" else self.reaction_connection

    def values(self, side: Side) -> dict[str, str]:
        """Typed values of a side."""
        return self.action_values if side == "action" else self.reaction_values

    @property
    def only_if(self) -> str:
        """The condition as text."""
        return self.action_values.get("only_if", "") if self.condition is None else rows.write(self.condition)

    def without(self, secrets: Mapping[Side, set[str]]) -> dict[str, Any]:
        """The part that may be stored as a draft."""
        masked = self.model_copy(
            update={
                f"{side}_values": {name: text for name, text in self.values(side).items() if name not in names}
                for side, names in secrets.items()
            }
        )
        return masked.model_dump(mode="json")


def values_used(form: Form, known: list[str]) -> list[str]:
    """Names of values that a condition may check: those of the event, then those that the reaction uses."""
    used = (".".join(steps) for text in form.reaction_values.values() for steps in paths_in(text))
    return list(dict.fromkeys([*known, *used]))


# Made


def read(posted: Mapping[str, str]) -> Form:
    """Parse the posted form."""
    texts = {name: clean_text(value) for name, value in posted.items()}
    condition = None if texts.get("as") == "text" else Rows()
    if condition is not None:
        names = sorted({name.split(".")[1] for name in texts if name.startswith("c.") and name.count(".") == 2})
        condition.joint = "or" if texts.get("joint") == "or" else "and"
        for name in sorted(names, key=lambda key: (len(key), key))[:MOST_ROWS]:
            operator = texts.get(f"c.{name}.operator", "")
            condition.rows.append(
                Row(
                    name=name[:10],
                    field=texts.get(f"c.{name}.field", "")[:500],
                    operator=operator if operator in rows.OPERATORS else "contains",
                    value=texts.get(f"c.{name}.value", ""),
                )
            )
    name = texts.get("name", "").strip()
    return Form(
        action=texts.get("action", "")[:200],
        reaction=texts.get("reaction", "")[:200],
        action_values=_prefixed(texts, "a."),
        reaction_values=_prefixed(texts, "r."),
        action_connection=texts.get("connection.action", "")[:100],
        reaction_connection=texts.get("connection.reaction", "")[:100],
        condition=condition,
        name=name,
        named=bool(name) and name != texts.get("suggested", ""),
        description=texts.get("description", "").strip(),
        is_active=texts.get("is_active") == "1",
        base=_base(texts.get("base", "")),
        removed=sorted(key.removeprefix("x.") for key, value in texts.items() if key.startswith("x.") and value),
        long=sorted(key.removeprefix("l.") for key, value in texts.items() if key.startswith("l.") and value),
        names={
            key.removeprefix("n."): [part[:500] for part in value.split("\n", 1)]
            for key, value in texts.items()
            if key.startswith("n.") and "\n" in value
        },
    )


def _base(text: str) -> dict[str, str]:
    try:
        read = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return {}
    return {str(name): str(value) for name, value in read.items()} if isinstance(read, dict) else {}


def _prefixed(texts: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Values of a side; what was marked of several choices, `m.a.days.monday`, is one text."""
    marks = f"m.{prefix}"
    values = {name.removeprefix(prefix): text for name, text in texts.items() if name.startswith(prefix) and text}
    for name in texts:
        if name.startswith(marks):
            field, _, choice = name.removeprefix(marks).partition(".")
            values[field] = f"{values[field]}, {choice}" if field in values else choice
    return values


def of_template(area: AreaIn) -> Form:
    """A template's form."""
    return _made(
        str(area.action.component),
        str(area.reaction.component),
        area.action.parameters,
        area.reaction.parameters,
        name=area.name,
        named=True,
    )


def of_area(area: AreaOut, *, name: str | None = None) -> Form:
    """A saved AREA's form, without its secrets."""
    return _made(
        area.action.component,
        area.reaction.component,
        area.action.parameters,
        area.reaction.parameters,
        name=area.name if name is None else name,
        named=True,
        description=area.description or "",
        is_active=area.is_active,
        action_connection=area.action.connection or "",
        reaction_connection=area.reaction.connection or "",
    )


def _made(
    action: str, reaction: str, action_values: Mapping[str, Any], reaction_values: Mapping[str, Any], **rest: Any
) -> Form:
    form = Form(
        action=action,
        reaction=reaction,
        action_values=_texts(action_values),
        reaction_values=_texts(reaction_values),
        **rest,
    )
    form.long = [
        f"{letter}.{name}"
        for letter, values in (("a", form.action_values), ("r", form.reaction_values))
        for name, text in values.items()
        if "\n" in text
    ]
    form.condition = rows.read(form.action_values.get("only_if", ""))
    if form.condition is not None:
        form.action_values.pop("only_if", None)
    return form


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
        if isinstance(value, dict | list)
        else to_text(value)
        for name, value in values.items()
        if value != MASK
    }


def tidy(form: Form, view: ComponentView, side: Side) -> None:
    """Drop values equal to the default of a switch."""
    for parameter in view.parameters:
        if parameter.type == "boolean" and form.values(side).get(parameter.name) == default_of(parameter):
            del form.values(side)[parameter.name]


# Turned into an AREA


def parameters(form: Form, view: ComponentView, side: Side, kept: set[str]) -> dict[str, Any]:
    """Typed values of a component without empty ones; dots for secrets that stay unchanged."""
    filled: dict[str, Any] = {}
    values = form.values(side)
    for parameter in view.parameters:
        text = form.only_if if parameter.name == "only_if" else values.get(parameter.name, "")
        if parameter.type in ("number", "date", "email", "url", "boolean"):
            text = text.strip()
        if (
            parameter.secret
            and not text
            and parameter.name in kept
            and f"{side[0]}.{parameter.name}" not in form.removed
        ):
            filled[parameter.name] = MASK
        elif text:
            filled[parameter.name] = text
    return filled


def wanted(form: Form, action: ComponentView, reaction: ComponentView, kept: Mapping[Side, set[str]]) -> AreaIn:
    """The AREA that the form describes."""
    return AreaIn(
        name=form.name[:255] or suggested(action, reaction),
        description=form.description[:10_000] or None,
        is_active=form.is_active,
        action=_part(form, action, "action", kept["action"]),
        reaction=_part(form, reaction, "reaction", kept["reaction"]),
    )


def _part(form: Form, view: ComponentView, side: Side, kept: set[str]) -> Part:
    values = parameters(form, view, side, kept)
    return Part(component=view.key, parameters=values, connection=form.connection(side) or None)


def suggested(action: ComponentView | None, reaction: ComponentView | None) -> str:
    """Suggested name made of both titles; of an AREA that follows others, the reaction's."""
    if action and reaction and action.key == LINK:
        return reaction.title[:255]
    return f"{action.title} → {reaction.title}"[:255] if action and reaction else ""


def default_of(variable: VariableView) -> str:
    """A parameter's default as it would be typed."""
    if variable.default is None:
        return ""
    return ("true" if variable.default else "false") if isinstance(variable.default, bool) else str(variable.default)
