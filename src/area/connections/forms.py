"""Connection forms: their fields, and validation that never repeats a secret."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from area.kit.problems import FieldError, Invalid
from area.kit.refusals import refused
from area.kit.sentences import Sentence, changed
from area.kit.text import did_you_mean
from area.sdk import Credentials
from area.sdk import Service as Connector
from area.sdk.fields import by_name, fields
from area.sdk.http.access import SHORTEST_SECRET
from area.sdk.sensitive import MASK


class FieldView(BaseModel):
    """One field of a service's connection form. `labels` are the texts of its choices; `when` limits it to values of
    another field.
    """

    name: str
    description: str
    type: str
    required: bool
    secret: bool
    placeholder: str | None
    default: Any | None
    choices: list[str] | None
    labels: dict[str, str] = {}
    when: dict[str, list[str]] = {}


def form(connector: Connector) -> list[FieldView]:
    """The fields that connect a service. Empty if it takes no form."""
    if not isinstance(connector.auth, Credentials):
        return []
    return [
        FieldView(
            name=field.name,
            description=field.description,
            type=field.type,
            required=not field.nullable,
            secret=field.secret,
            placeholder=field.placeholder,
            default=field.default if isinstance(field.default, str | int | float | bool) and not field.secret else None,
            choices=list(field.choices) if field.choices else None,
            labels=dict(field.labels),
            when={field.when.field: list(field.when.values)} if field.when else {},
        )
        for field in fields(connector.auth.model)
    ]


def validated(connector: Connector, auth: Credentials[Any], values: Mapping[str, Any]) -> BaseModel:
    """The credential as the connector's model. Raises `Invalid` by field, without the input."""
    model: type[BaseModel] = auth.model
    declared = by_name(model)
    errors: list[FieldError] = [
        {
            "field": name,
            "message": Sentence(
                "%(name)s has no such field%(hint)s", name=connector.name, hint=did_you_mean(name, declared)
            ),
        }
        for name in values
        if name not in declared
    ]
    if errors:
        raise Invalid(errors=errors)
    try:
        checked: BaseModel = auth.read(values)
    except ValidationError as error:
        typed = [str(values[name]) for name, field in declared.items() if field.secret and values.get(name)]
        raise Invalid(
            errors=[
                {
                    "field": ".".join(str(part) for part in detail["loc"]),
                    "message": Sentence(changed(refused(detail), lambda text: without(typed, text))),
                }
                for detail in error.errors(include_url=False, include_input=False)
            ]
        ) from None
    return checked


def secrets_in(value: Any) -> Iterator[str]:
    """Every secret in a credential."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for _, inner in value:
            yield from secrets_in(inner)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from secrets_in(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from secrets_in(inner)


def without(secrets: Iterable[str], message: str) -> str:
    """The message with secrets masked. Very short secrets are left, since masking them would garble any text."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            message = message.replace(secret, MASK)
    return message
