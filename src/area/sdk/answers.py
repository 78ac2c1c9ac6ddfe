"""What vendors answer, as models whose names need not be the vendor's."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, model_validator


class Row(BaseModel):
    """A model that is made of the vendor's JSON by the paths of `found` and the templates of `filled`, or by its own names."""

    model_config = ConfigDict(populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        templates = _templates(cls)
        if not templates or not isinstance(values, Mapping):
            return values
        made = {name: text for name, template in templates.items() if (text := fill(template, values)) is not None}
        return {**values, **made}


class Made(Row):
    """What was made or changed."""

    id: str = Field(description="Its id", examples=["42"], coerce_numbers_to_str=True)


def found(path: str, description: str, example: Any, default: Any = ...) -> Any:
    """Declare a field of a `Row` that the vendor's JSON holds at `path`, such as `from.user.name` or `files.0.name`.

    Of several paths, separated by blanks, the first that is there counts. A name that begins with `@` keeps its dots. Without a
    `default` it has to be there.
    """
    return Field(
        default,
        validation_alias=AliasChoices(*(_alias(one) for one in path.split())),
        description=description,
        examples=[example],
    )


def filled(template: str, description: str, example: Any, default: Any = ...) -> Any:
    """Declare a field of a `Row` that is made of others of the vendor's: `https://www.twitch.tv/{user_login}`."""
    return Field(default, description=description, examples=[example], json_schema_extra={"filled": template})


def look(path: str, values: Any, default: Any = None) -> Any:
    """What parsed JSON holds at `path`, written as for `found`; `default` when nothing or null is there."""
    for one in path.split():
        value = values
        for part in _parts(one):
            value = _within(value, part)
        if value is not None:
            return value
    return default


def fill(template: str, values: Any) -> str | None:
    """The template with what is at each path in braces; None when one of them is not there."""
    text = ""
    for place, part in enumerate(template.replace("}", "{").split("{")):
        value = look(part, values) if place % 2 else part
        if value is None:
            return None
        text += str(value)
    return text


def _alias(path: str) -> AliasPath:
    first, *rest = _parts(path)
    return AliasPath(str(first), *rest)


def _parts(path: str) -> list[str | int]:
    return [int(part) if part.isdigit() else part for part in re.findall(r"@[\w.]+|[^.]+", path)]


def _within(value: Any, part: str | int) -> Any:
    if isinstance(part, int):
        return value[part] if isinstance(value, Sequence) and not isinstance(value, str) and part < len(value) else None
    return value.get(part) if isinstance(value, Mapping) else None


@cache
def _templates(model: type[BaseModel]) -> dict[str, str]:
    extras = {name: info.json_schema_extra for name, info in model.model_fields.items()}
    return {name: str(one["filled"]) for name, one in extras.items() if isinstance(one, dict) and "filled" in one}
