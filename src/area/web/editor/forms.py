"""The editor's form: made from an AREA, a recipe, a draft or what was posted; turned into an AREA and into fields to show."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal

import orjson
from pydantic import BaseModel, Field

from area.areas import AreaIn, AreaOut, Part
from area.areas.plans import MASK, filling_of, to_text
from area.catalog import ComponentView, VariableView
from area.kit.budget import MAX_FILLED, Budget
from area.kit.template import RenderError, TemplateError, as_text
from area.kit.text import clean_text
from area.registry import Registry
from area.sdk.fields import by_name
from area.web.editor import rows
from area.web.editor.recipes import Recipe
from area.web.editor.rows import Row, Rows

Side = Literal["action", "reaction"]
Kind = Literal["text", "long", "number", "switch", "date", "email", "url", "json", "select", "secret"]
LONG = frozenset({"body", "text", "html", "content", "message", "description", "summary", "payload"})
SHORT = {"url": "URL", "html": "HTML", "id": "ID", "cc": "Cc", "bcc": "Bcc", "qos": "QoS", "json": "JSON"}
MOST_ROWS = 20
MOST_KEYS = 12  # of an object in an event that are offered to be used
MOST_LOOKED_AT = 100  # keys of one object


class Form(BaseModel):
    """All that somebody typed into the editor. Parameters are texts, as they are typed."""

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
    names: dict[str, list[str]] = Field(
        default_factory=dict
    )  # of fields: a value that was chosen from a list, and its name

    def component(self, side: Side) -> str:
        """The key of what is chosen, or nothing."""
        return self.action if side == "action" else self.reaction

    def connection(self, side: Side) -> str:
        """The name of the connection that is chosen, or nothing."""
        return self.action_connection if side == "action" else self.reaction_connection

    def values(self, side: Side) -> dict[str, str]:
        """What is typed for a side."""
        return self.action_values if side == "action" else self.reaction_values

    @property
    def only_if(self) -> str:
        """The condition as text."""
        return self.action_values.get("only_if", "") if self.condition is None else rows.write(self.condition)

    def without(self, secrets: Mapping[Side, set[str]]) -> dict[str, Any]:
        """What may be kept as a draft."""
        kept = self.model_copy(
            update={
                f"{side}_values": {name: text for name, text in self.values(side).items() if name not in names}
                for side, names in secrets.items()
            }
        )
        return kept.model_dump(mode="json")


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
    choices: dict[str, str]  # each as it is and as it is read
    default: str
    kept: bool  # there is a secret already
    removed: bool
    several_lines: bool
    errors: list[str]
    fillable: bool
    options: str = ""  # where to ask what may be chosen
    chosen: str = ""  # how what was chosen there is called
    movable: bool = False  # whether there is a secret in it that a credential can hold


class Shown(BaseModel):
    """One parameter as it would be sent."""

    label: str
    value: str
    error: str = ""


class Chip(BaseModel):
    """A value that can be inserted."""

    path: str
    description: str
    example: str


# Made


def read(posted: Mapping[str, str]) -> Form:
    """What was posted."""
    texts = {name: clean_text(value) for name, value in posted.items()}
    condition = None if texts.get("as") == "text" else Rows()
    if condition is not None:
        names = sorted({name.split(".")[1] for name in texts if name.startswith("c.") and name.count(".") == 2})
        condition.joint = "or" if texts.get("joint") == "or" else "and"
        for name in sorted(names, key=lambda one: (len(one), one))[:MOST_ROWS]:
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
        removed=sorted(key.removeprefix("x.") for key, value in texts.items() if key.startswith("x.") and value),
        long=sorted(key.removeprefix("l.") for key, value in texts.items() if key.startswith("l.") and value),
        names={
            key.removeprefix("n."): [part[:500] for part in value.split("\n", 1)]
            for key, value in texts.items()
            if key.startswith("n.") and "\n" in value
        },
    )


def _prefixed(texts: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): text for name, text in texts.items() if name.startswith(prefix) and text}


def of_recipe(recipe: Recipe, say: Any) -> Form:
    """A recipe's form."""
    return _made(
        recipe.action,
        recipe.reaction,
        recipe.action_parameters,
        recipe.reaction_parameters,
        name=say(recipe.title),
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
    """Forget what says no more than what is left out: a switch as it is by itself."""
    for one in view.parameters:
        if one.type == "boolean" and form.values(side).get(one.name) == _default(one):
            del form.values(side)[one.name]


# Turned into an AREA


def parameters(form: Form, view: ComponentView, side: Side, kept: set[str]) -> dict[str, Any]:
    """What was typed for a component, without what was left empty; dots for secrets that stay as they are."""
    found: dict[str, Any] = {}
    values = form.values(side)
    for one in view.parameters:
        text = form.only_if if one.name == "only_if" else values.get(one.name, "")
        if one.type in ("number", "date", "email", "url", "boolean"):
            text = text.strip()
        if one.secret and not text and one.name in kept and f"{side[0]}.{one.name}" not in form.removed:
            found[one.name] = MASK
        elif text:
            found[one.name] = text
    return found


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
    given = parameters(form, view, side, kept)
    return Part(component=view.key, parameters=given, connection=form.connection(side) or None)


def suggested(action: ComponentView | None, reaction: ComponentView | None) -> str:
    """A name made of both titles."""
    return f"{action.title} → {reaction.title}"[:255] if action and reaction else ""


# Shown


def readable(name: str) -> str:
    """A parameter's name as people read it: `minutes_before` is Minutes before."""
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
    """The inputs of a component, in their order; `say` translates what the service says."""
    found = []
    for one in view.parameters:
        wrong = errors.get(f"{side[0]}.{one.name}", ())
        found.append(_field_view(form, one, view, side, say, kept=one.name in kept, errors=wrong))
    return found


def _field_view(
    form: Form,
    one: VariableView,
    view: ComponentView,
    side: Side,
    say: Callable[[str], str],
    *,
    kept: bool,
    errors: Sequence[str],
) -> FieldView:
    name = f"{side[0]}.{one.name}"
    value = form.values(side).get(one.name, "")
    default = _default(one)
    kind = _kind(one, value, side, several_lines=name in form.long)
    return FieldView(
        id=f"{side[0]}{view.id}-{one.name}",
        name=name,
        variable=one.name,
        label=say(readable(one.name)),
        kind=kind,
        value="" if kind == "secret" else (value or default) if kind == "switch" else value,
        hint=one.description or "",
        placeholder=default or one.placeholder or "",
        required=not one.nullable,
        choices={choice: say(choice) for choice in one.choices or ()},
        default=default,
        kept=kept,
        removed=name in form.removed,
        several_lines=name in form.long,
        errors=list(errors),
        fillable=side == "reaction" and kind in ("text", "long", "json") and one.name != "delay",
        options=f"/areas/options/{view.key}/{one.name}" if one.picker and kind in ("text", "number") else "",
        chosen=form.names[name][1] if form.names.get(name, [""])[0] == value != "" else "",
    )


def _default(one: VariableView) -> str:
    if one.default is None:
        return ""
    return ("true" if one.default else "false") if isinstance(one.default, bool) else str(one.default)


def _kind(one: VariableView, value: str, side: Side, *, several_lines: bool) -> Kind:
    """Which input fits; one of a reaction must let {{…}} be written."""
    if one.secret:
        return "secret"
    if one.choices and (not value or value in one.choices):
        return "select"
    if one.type == "boolean" and value in ("", "true", "false"):
        return "switch"
    if one.type == "json":
        return "json"
    if several_lines or one.name in LONG:
        return "long"
    if side == "reaction" or one.name == "only_if":
        return "text"
    if one.type == "date":
        return "date" if not value or value[10:11] == "T" else "text"
    if one.type in ("number", "email", "url"):
        return one.type  # type: ignore[return-value] # one of these three
    return "text"


def chips(action: ComponentView, event: Mapping[str, Any]) -> list[Chip]:
    """The names that {{…}} may use, and what is inside the objects of the event."""
    found = []
    for one in action.return_values:
        value = event.get(one.name)
        found.append(Chip(path=one.name, description=one.description or "", example=_short(value)))
        found += islice(_inside(one.name, value), MOST_KEYS)
    return found


def _inside(path: str, value: Any, depth: int = 0) -> Iterator[Chip]:
    """Chips for the values in an object, however deep, that are no objects themselves."""
    if not isinstance(value, dict) or depth > 4:
        return
    for key, inner in islice(value.items(), MOST_LOOKED_AT):
        if key.isidentifier() and key.isascii():
            deeper = f"{path}.{key}"
            if isinstance(inner, dict):
                yield from _inside(deeper, inner, depth + 1)
            else:
                yield _chip(deeper, inner)


def _chip(path: str, value: Any) -> Chip:
    return Chip(path=path, description="", example=_short(value))


def _short(value: Any) -> str:
    text = " ".join(as_text(value)[:1000].split())
    return text if len(text) <= 120 else f"{text[:119]}…"


def filled(
    registry: Registry,
    form: Form,
    action: ComponentView,
    view: ComponentView,
    event: Mapping[str, Any],
    say: Callable[[str], str],
    budget: Budget,
) -> list[Shown]:
    """Each parameter of the reaction as filled, or why not, also while others are wrong."""
    budget.room = MAX_FILLED
    names = {*event, *(one.name for one in action.return_values)}
    reaction = registry.reaction(view.key)
    declared = by_name(reaction.params) if reaction else {}
    found = []
    for one in view.parameters if reaction else []:
        text = form.reaction_values.get(one.name, "")
        if not text or one.name == "delay" or one.secret:
            continue
        label = say(readable(one.name))
        try:
            filling = filling_of(declared[one.name], form.reaction_values)
            wrong = filling.check(names)
            value = filling.render(event, budget)
        except (TemplateError, RenderError) as error:
            found.append(Shown(label=label, value=text, error=str(error)))
            continue
        value = ", ".join(map(_item, value)) if declared[one.name].several and isinstance(value, list) else shown(value)
        found.append(Shown(label=label, value=value, error=" ".join(wrong)))
    return found


def _item(value: Any) -> str:
    """One of several items; an address may have a name."""
    return f"{value.get('name')} <{value.get('address')}>" if isinstance(value, dict) else as_text(value)


def shown(value: Any) -> str:
    """A filled parameter as text."""
    return (
        orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() if isinstance(value, dict | list) else as_text(value)
    )
