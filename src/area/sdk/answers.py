"""What vendors answer, as models whose names need not be the vendor's."""

from typing import Any

from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field


class Row(BaseModel):
    """A model that is made of the vendor's JSON by the paths of `found`, or by its own names."""

    model_config = ConfigDict(populate_by_name=True)


def found(path: str, description: str, example: Any, default: Any = ...) -> Any:
    """Declare a field of a `Row` that the vendor's JSON holds at `path`, such as `from.user.name` or `files.0.name`.

    Of several paths, separated by blanks, the first that is there counts. Without a `default` it has to be there.
    """
    paths = []
    for one in path.split():
        first, *rest = one.split(".")
        paths.append(AliasPath(first, *(int(part) if part.isdigit() else part for part in rest)))
    return Field(default, validation_alias=AliasChoices(*paths), description=description, examples=[example])
