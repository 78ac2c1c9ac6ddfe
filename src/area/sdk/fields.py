"""A pydantic model's fields as the data model's variables: name, description, type, nullable, placeholder, regex,
order.
"""

import enum
import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Literal

import pydantic
from pydantic import AnyUrl, BaseModel, EmailStr, SecretStr
from pydantic.fields import FieldInfo

from area.kit.text import dump_json
from area.sdk import sensitive, shapes
from area.sdk.model import Model
from area.sdk.renamed import renamed
from area.sdk.sensitive import Holds
from area.sdk.shapes import Shape, Shaped, Shapes

SPECIAL = re.compile(r"[\\^$.|?*+()\[\]{}/]")  # all that browsers' patterns, too, take escaped, and nothing else
VariableType = Literal["string", "number", "boolean", "date", "email", "url", "json"]


@dataclass(frozen=True, slots=True)
class Pick:
    """Declares, in `Annotated[str, Pick("channels")]`, the service's picker that lists the options."""

    picker: str


@dataclass(frozen=True, slots=True)
class When:
    """Declares that a form field applies only to some values of another field."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MayHold:
    """Declares that a text may contain secrets, and what kind of text it is."""

    holds: Holds


@dataclass(frozen=True, slots=True)
class Input:
    """Declares how pages show a text field: as a time of day, as a time zone, or as checkboxes for `many`."""

    kind: Literal["time", "zone", "many"]
    many: tuple[str, ...] = ()


class Labels(dict[str, str]):
    """Declares the labels of a field's choices, by value."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option: the parameter's value, its label, and a hint that distinguishes it from others with the same
    label.
    """

    value: str
    label: str
    hint: str = ""


def param(
    description: str,
    example: Any = None,
    *,
    pick: str = "",
    when: When | None = None,
    labels: Mapping[str, str] | None = None,
    holds: Holds | None = None,
    shape: Shapes | None = None,
    input: Literal["time"] | None = None,  # noqa: A002 - as HTML calls it
    many: Sequence[str] = (),
    **constraints: Any,
) -> Any:
    """A parameter's description for users, and its constraints (pydantic's), for use in `Annotated`.

    `pick` names the service's picker that lists the options, and `labels` has the labels of choices. Pages show a time
    picker for `input="time"`, and checkboxes for `many`, whose values are joined by commas. In a connection's form,
    `when` says for which values of another field it is shown. `holds` says that the text may contain secrets, and what
    kind of text it is. `shape` declares the parts of a text that is read as more than one (`area.sdk.shapes`). Around
    another such type, it overrides the description.
    """
    if example is not None:
        constraints["examples"] = [example]
    info: FieldInfo = pydantic.Field(description=description, **constraints)
    if pick:
        info.metadata.append(Pick(pick))
    if when:
        info.metadata.append(when)
    if holds:
        info.metadata.append(MayHold(holds))
    if shape:
        info.metadata.append(Shaped(shape))
    if labels:
        info.metadata.append(Labels(labels))
    if input or many:
        info.metadata.append(Input(input or "many", tuple(many)))
    return info


class Form(Model):
    """A model of parameters in which blank fields count as missing."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _blank_is_left_out(cls, values: Any) -> Any:
        return {k: v for k, v in values.items() if v is not None and v != ""} if isinstance(values, dict) else values


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter or return value. `nullable` means that it can be omitted; `choices` are all its possible values.

    `picker` names the service's function that lists values from the user's account.
    """

    name: str
    description: str
    type: VariableType
    nullable: bool
    placeholder: str | None
    validation_regex: str | None = None
    display_order: int = 0
    secret: bool = False
    default: Any = None
    choices: tuple[str, ...] | None = None
    picker: str | None = None
    when: When | None = None
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    holds: Holds | None = None
    shape: Shapes | None = None
    input: Input | None = None

    def shape_in(self, texts: Mapping[str, str]) -> Shape | None:
        """The field's shape in a form with these texts, from its own declaration or its type."""
        if self.shape is not None:
            return shapes.of(self.shape, texts)
        return {"json": shapes.JSON, "url": shapes.ADDRESS}.get(self.type)

    @property
    def several(self) -> bool:
        """Whether it is a text with items."""
        return isinstance(self.shape, Shape) and self.shape.several

    def holds_secret(self, text: str) -> bool:
        """Whether this text of the field contains a secret, or is one."""
        return self.secret or (self.holds is not None and sensitive.holds_secret(self.holds, text))

    def hidden(self, value: Any) -> Any:
        """A value of the field with its secrets hidden."""
        if self.secret:
            return sensitive.MASK
        return sensitive.hidden(self.holds, value) if self.holds else value


def fields(model: type[BaseModel]) -> tuple[Field, ...]:
    """The model's fields in order. Raises `TypeError` if one has no description."""
    return _fields(model)


@lru_cache(4096)
def form_fields(model: type[BaseModel]) -> tuple[Field, ...]:
    """The fields in the order of the form: required ones first, and the optional ones of a base model last."""
    own = inspect.get_annotations(model)

    def place(declared: Field) -> int:
        return 0 if not declared.nullable else 1 if declared.name in own else 2

    in_order = sorted(fields(model), key=place)
    return tuple(replace(declared, display_order=order) for order, declared in enumerate(in_order))


@lru_cache(4096)
def by_name(model: type[BaseModel]) -> Mapping[str, Field]:
    """The model's fields by name."""
    return {item.name: item for item in fields(model)}


@lru_cache(4096)  # a page with 200 AREAs asks 400 times
def _fields(model: type[BaseModel]) -> tuple[Field, ...]:
    return tuple(_field(name, info, order) for order, (name, info) in enumerate(model.model_fields.items()))


def _field(name: str, info: FieldInfo, order: int) -> Field:
    if not info.description:
        raise TypeError(f"{name} has no description: users read it in the form.")
    hints = list(_plain(info.annotation))
    choices = _choices(hints)
    pattern = next((p for item in info.metadata if (p := getattr(item, "pattern", None))), None)
    example = info.examples[0] if info.examples else None
    default = None if info.is_required() or info.default_factory else info.default
    shape = next(
        (item.shape for item in (*info.metadata, *_annotations(info.annotation)) if isinstance(item, Shaped)), None
    )
    several = isinstance(shape, Shape) and shape.several  # written as a text with commas, whatever is made of it
    return Field(
        name=name,
        description=info.description,
        type="string" if several else _type(hints),
        nullable=not info.is_required(),
        placeholder=example if example is None or isinstance(example, str) else dump_json(example).decode(),
        validation_regex=pattern
        or ("^(" + "|".join(SPECIAL.sub(r"\\\g<0>", c) for c in choices) + ")$" if choices else None),
        display_order=order,
        secret=SecretStr in hints,
        default="" if several and default == [] else default,
        shape=shape,
        choices=choices,
        picker=next(
            (item.picker for item in (*info.metadata, *_annotations(info.annotation)) if isinstance(item, Pick)), None
        ),
        when=next((item for item in info.metadata if isinstance(item, When)), None),
        holds=next(
            (item.holds for item in (*info.metadata, *_annotations(info.annotation)) if isinstance(item, MayHold)), None
        ),
        labels=next((item for item in info.metadata if isinstance(item, Labels)), {}),
        input=next(
            (item for item in (*info.metadata, *_annotations(info.annotation)) if isinstance(item, Input)), None
        ),
    )


def _plain(hint: Any) -> Iterator[Any]:
    """The types in an annotation: unions and `Annotated` are unpacked, and None is omitted."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        yield from _plain(typing.get_args(hint)[0])
    elif origin in (typing.Union, types.UnionType):
        for part in typing.get_args(hint):
            yield from _plain(part)
    elif hint is not type(None):
        yield hint


def _annotations(hint: Any) -> Iterator[Any]:
    """The contents of `Annotated` around any of the types in an annotation."""
    if typing.get_origin(hint) is Annotated:
        yield from typing.get_args(hint)[1:]
    for part in typing.get_args(hint):
        yield from _annotations(part)


def _choices(hints: list[Any]) -> tuple[str, ...] | None:
    for hint in hints:
        if typing.get_origin(hint) is Literal:
            return tuple(str(value) for value in typing.get_args(hint))
        if isinstance(hint, type) and issubclass(hint, enum.Enum):
            return tuple(str(member.value) for member in hint)
    return None


def _type(hints: list[Any]) -> VariableType:
    kinds = {_one_type(hint) for hint in hints}
    return kinds.pop() if len(kinds) == 1 else "string" if "string" in kinds else "json"


def _one_type(hint: Any) -> VariableType:
    if typing.get_origin(hint) is Literal:
        return "string"
    if hint is EmailStr:
        return "email"
    if not isinstance(hint, type):
        return "json"
    if issubclass(hint, bool):
        return "boolean"
    if issubclass(hint, int | float | Decimal):
        return "number"
    if issubclass(hint, datetime | date):
        return "date"
    if issubclass(hint, AnyUrl) or hint.__name__.endswith("Url"):
        return "url"
    if issubclass(hint, str | enum.Enum | SecretStr):
        return "string"
    return "json"


__getattr__ = renamed(__name__, {"asked": "param"})
