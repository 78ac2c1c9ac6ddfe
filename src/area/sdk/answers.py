"""Models of vendors' responses, whose field names may differ from the vendor's."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Self

from pydantic import AliasChoices, AliasPath, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo
from typing_extensions import override

from area.sdk.renamed import renamed


class Output(BaseModel):
    """A model built from the vendor's JSON by the paths of `output` and the templates of `composed`, or by field
    name.
    """

    model_config = ConfigDict(populate_by_name=True, defer_build=True)

    @override
    @classmethod
    def model_construct(cls, _fields_set: set[str] | None = None, **values: Any) -> Self:  # type: ignore[override]  # mypy's own plugin
        """Like pydantic's, which looks up aliases and defaults that aren't needed when every field is given."""
        fields = cls.__pydantic_fields__
        if len(values) != len(fields) or cls.__pydantic_post_init__ or values.keys() != fields.keys():
            return super().model_construct(_fields_set, **values)
        model = cls.__new__(cls)
        object.__setattr__(model, "__dict__", {name: values[name] for name in fields})
        object.__setattr__(model, "__pydantic_fields_set__", set(fields) if _fields_set is None else _fields_set)
        object.__setattr__(model, "__pydantic_extra__", None)
        object.__setattr__(model, "__pydantic_private__", None)
        return model

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        templates, paths = _extras(cls, "filled"), _extras(cls, "look")
        if not isinstance(values, Mapping) or not (templates or paths):
            return values
        filled: dict[str, Any] = {name: fill_template(template, values) for name, template in templates.items()}
        filled |= {name: lookup(path, values) for name, path in paths.items()}
        return {**values, **{name: value for name, value in filled.items() if value is not None}}


class Made(Output):
    """The ID of what was created or changed."""

    id: str = Field(description="ID", examples=["42"], coerce_numbers_to_str=True)


def output(path: str, description: str, example: Any, default: Any = ...) -> Any:
    """Declare a field of an `Output` that comes from `path` in the vendor's JSON, such as `from.user.name` or
    `files.0.name`.

    If several paths are given, separated by spaces, the first one that exists and isn't empty is used. A name that
    begins with `@` keeps its dots. `files.-1` is the last item, and `files.*.name` a list of all, for fields that are
    lists. Without a `default` the value is required; null counts as missing.
    """
    several = "*" in path or " " in path
    alias = AliasChoices(_alias(path))
    more: dict[str, Any] = {"json_schema_extra": {"look": path}} if several else {"validation_alias": alias}
    info: FieldInfo = Field(default, description=description, examples=[example], **more)
    if default is not ... and default is not None:
        info.metadata.append(BeforeValidator(lambda value: default if value is None else value))
    return info


def composed(template: str, description: str, example: Any, default: Any = ...) -> Any:
    """Declare a field of an `Output` that combines other fields of the vendor's:
    `https://www.twitch.tv/{user_login}`.
    """
    return Field(default, description=description, examples=[example], json_schema_extra={"filled": template})


def lookup(path: str, values: Any, default: Any = None) -> Any:
    """The value at `path` in parsed JSON, written as for `output`; `default` if it is missing or null."""
    there = [value for part in path.split() if (value := _at(_parts(part), values)) is not None]
    return next((value for value in there if value != ""), there[0] if there else default)


def fill_template(template: str, values: Any) -> str | None:
    """The template with each path in braces replaced by its value; None if one is missing."""
    text = ""
    for place, part in enumerate(template.replace("}", "{").split("{")):
        value = lookup(part, values) if place % 2 else part
        if value is None:
            return None
        text += str(value)
    return text


def _alias(path: str) -> AliasPath:
    first, *rest = _parts(path)
    return AliasPath(str(first), *rest)


def _parts(path: str) -> list[str | int]:
    return [int(part) if re.fullmatch("-?[0-9]+", part) else part for part in re.findall(r"@[\w.]+|[^.]+", path)]


def _at(parts: list[str | int], value: Any) -> Any:
    for place, part in enumerate(parts):
        if part == "*":
            if not isinstance(value, Sequence) or isinstance(value, str):
                return None
            each = [_at(parts[place + 1 :], element) for element in value]
            return [element for element in each if element is not None]
        value = _within(value, part)
    return value


def _within(value: Any, part: str | int) -> Any:
    if isinstance(part, int):
        there = isinstance(value, Sequence) and not isinstance(value, str) and -len(value) <= part < len(value)
        return value[part] if there else None
    return value.get(part) if isinstance(value, Mapping) else None


@cache
def _extras(model: type[BaseModel], kind: str) -> dict[str, str]:
    extras = {name: info.json_schema_extra for name, info in model.model_fields.items()}
    return {name: str(extra[kind]) for name, extra in extras.items() if isinstance(extra, dict) and kind in extra}


__getattr__ = renamed(
    __name__, {"found": "output", "filled": "composed", "Row": "Output", "look": "lookup", "fill": "fill_template"}
)
