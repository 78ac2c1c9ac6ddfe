"""Read a component's parameters from its function's signature."""

import functools
import inspect
import typing
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from pydantic import BaseModel, create_model
from pydantic.alias_generators import to_pascal

from area.sdk.model import Model

Function = Callable[..., Any]


def hints(function: Function) -> dict[str, Any]:
    """The annotations, including the contents of `Annotated`."""
    return typing.get_type_hints(function, include_extras=True)


def components(
    function: Function, names: tuple[str, ...], place: str, title: str, base: type[BaseModel] | None = None
) -> tuple[type[BaseModel], Function]:
    """The model of its parameters, and the function to call with `names`, one of which is `params`, in that order.

    Without `params` in the signature each argument that is not one of `names` is a parameter, described by `asked`; of
    the others it takes those that it needs. `base` adds parameters that it does not take. Raises `TypeError` for a
    signature that is neither.
    """
    signature = inspect.signature(function).parameters
    if "params" in signature:
        named(function, names, place)
        model = hints(function).get("params")
        if not is_model(model) or not issubclass(typing.cast(type, model), base or BaseModel):
            name = base.__name__ if base else "a pydantic model"
            raise TypeError(f"{place}: `params` must be annotated with {name}.")
        return typing.cast(type[BaseModel], model), function
    annotations = hints(function)
    fields: dict[str, Any] = {}
    for name, parameter in signature.items():
        if name in names:
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) or name not in annotations:
            raise TypeError(f"{place}: `{name}` must be annotated: it is what the user fills in.")
        fields[name] = (annotations[name], ... if parameter.default is parameter.empty else parameter.default)
    created: type[BaseModel] = create_model(
        to_pascal(function.__name__),
        __base__=base or Model,
        __module__=function.__module__,
        __doc__=f"Parameters of: {title}.",
        **fields,
    )
    return created, applied(function, names)


def applied(function: Function, names: tuple[str, ...]) -> Function:
    """The function, to be called with `names`, which are passed by name; all other arguments are taken from
    `params`.
    """
    requested = tuple(inspect.signature(function).parameters)
    if "params" in requested:
        return function

    @functools.wraps(function)
    def call(*values: Any) -> Any:
        arguments = dict(zip(names, values, strict=True))
        params = arguments.pop("params")
        return function(**{name: arguments[name] if name in arguments else getattr(params, name) for name in requested})

    return call


def yielding(function: Function) -> Function:
    """The function; a coroutine that returns an iterator of events becomes one that yields them."""
    if not inspect.iscoroutinefunction(inspect.unwrap(function)):
        return function

    @functools.wraps(function)
    async def call(*values: Any) -> AsyncIterator[Any]:
        async with aclosing(await function(*values)) as events:
            async for event in events:
                yield event

    return call


def given(function: Function, values: Mapping[str, Any]) -> Function:
    """The function with those of `values` bound that it takes; the rest of its signature remains."""
    whole = inspect.signature(function)
    taken = {name: value for name, value in values.items() if name in whole.parameters}

    @functools.wraps(function)
    def call(*more: Any, **named: Any) -> Any:
        return function(*more, **named, **taken)

    call.__annotations__ = {name: hint for name, hint in hints(function).items() if name not in taken}
    left = [
        parameter.replace(kind=parameter.KEYWORD_ONLY)
        for name, parameter in whole.parameters.items()
        if name not in taken
    ]
    vars(call)["__signature__"] = whole.replace(parameters=left)
    return call


def named(function: Function, names: tuple[str, ...], place: str) -> None:
    """Raises `TypeError` if its parameters have other names."""
    if tuple(inspect.signature(function).parameters) != names:
        raise TypeError(f"{place}: the parameters must be ({', '.join(names)}).")


def is_model(hint: Any) -> bool:
    """Whether it is a pydantic model."""
    return isinstance(hint, type) and issubclass(hint, BaseModel)
