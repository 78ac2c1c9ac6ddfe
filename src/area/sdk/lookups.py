"""What all look-ups share: what to do when nothing is found, and how a result says that something was."""

import functools
import typing
from collections.abc import Awaitable, Callable
from copy import copy
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, create_model

from area.kit.sentences import Sentence
from area.sdk.errors import NothingFound
from area.sdk.fields import param
from area.sdk.model import Model

NOTHING_FOUND = Sentence("Nothing was found.")


class LookupParams(Model):
    """The parameter that every look-up has."""

    if_nothing: Annotated[
        Literal["stop", "go_on"],
        param(
            "If nothing is found",
            "stop",
            labels={"stop": "Stop here: the run is skipped", "go_on": "Go on with empty values"},
        ),
    ] = "stop"


class Found(Model):
    """What every look-up returns besides what it found."""

    found: bool = Field(False, description="Whether something was found", examples=[True])


def result_of(model: type[BaseModel], place: str) -> type[BaseModel]:
    """The model of a look-up's result: the fields of `model`, each empty if nothing is found, and `found`.

    Raises `TypeError` if the model has that field itself.
    """
    if "found" in model.model_fields:
        raise TypeError(f"{place}: `found` is what the SDK adds to what a look-up returns.")
    fields: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        field = copy(info)
        field.metadata, field.json_schema_extra, field.validation_alias, field.alias = [], None, None, None
        several = typing.get_origin(info.annotation) is list
        field.default, field.default_factory = (..., list) if several else (None, None)
        fields[name] = (info.annotation if several else typing.Optional[info.annotation], field)  # noqa: UP045 - a value
    return create_model(
        f"{model.__name__}Found", __base__=Found, __module__=model.__module__, __doc__=model.__doc__, **fields
    )


def asking(function: Callable[[Any, Any], Awaitable[Any]], result: type[BaseModel]) -> Callable[[Any, Any], Any]:
    """The look-up's function, which returns what it found or None, as a reaction's."""

    @functools.wraps(function)
    async def call(ctx: Any, params: Any) -> BaseModel:
        answer = await function(ctx, params)
        if answer is not None:
            return result.model_construct(found=True, **dict(answer))
        if params.if_nothing == "stop":
            raise NothingFound(NOTHING_FOUND)
        return result()

    return call
