"""What the code declares of the catalog, as rows: services, components, and their parameters and return values, which
are a component's own and those that the platform adds.
"""

import hashlib
from collections.abc import Iterator
from typing import Literal, NamedTuple

from area.registry import Registry
from area.sdk import Action, Reaction, Service
from area.sdk.fields import Field, fields, form_fields

ONLY_IF = Field(
    name="only_if",
    description="Run only if the values the action returned meet this condition",
    type="string",
    nullable=True,
    placeholder="title contains 'urgent' and not (author == 'bot')",
    display_order=1000,
)
DELAY = Field(
    name="delay",
    description="How long to wait, such as 15m or 2 days, or the time to wait for in your time zone, such as until"
    " 18:00",
    type="string",
    nullable=True,
    placeholder="15m",
    display_order=1000,
)


class ServiceRow(NamedTuple):
    """The columns of `services` that the code declares."""

    name: str
    description: str
    icon_path: str
    requires_auth: bool


class ComponentRow(NamedTuple):
    """The columns of `components` that the code declares."""

    type: Literal["action", "reaction"]
    name: str
    description: str
    webhook_endpoint: str | None
    polling_interval: int | None


class VariableRow(NamedTuple):
    """The columns of `variables` that the code declares."""

    kind: Literal["parameter", "return_value"]
    name: str
    description: str
    type: str
    nullable: bool
    placeholder: str | None
    validation_regex: str | None
    display_order: int


def component_fields(component: Action | Reaction) -> tuple[list[Field], list[Field]]:
    """A component's parameters (including the platform's) and return values."""
    own = ONLY_IF if isinstance(component, Action) else DELAY
    return [*form_fields(component.params), own], list(fields(component.returns))


def service_row(service: Service) -> ServiceRow:
    """The service's row."""
    return ServiceRow(service.name, service.description, f"/icons/{service.slug}.svg", service.requires_auth)


def component_row(component: Action | Reaction) -> ComponentRow:
    """The component's row."""
    action = component if isinstance(component, Action) else None
    return ComponentRow(
        "action" if action else "reaction",
        component.name,
        component.title,
        "/hooks/{token}" if action and action.kind == "webhook" else None,
        int(action.every.total_seconds()) if action and action.every else None,
    )


def variable_rows(component: Action | Reaction) -> Iterator[VariableRow]:
    """The rows of the component's parameters and return values."""
    parameters, returns = component_fields(component)
    declared: tuple[tuple[Literal["parameter", "return_value"], list[Field]], ...] = (
        ("parameter", parameters),
        ("return_value", returns),
    )
    for kind, group in declared:
        for field in group:
            yield VariableRow(
                kind,
                field.name,
                field.description,
                field.type,
                field.nullable,
                field.placeholder,
                field.validation_regex,
                field.display_order,
            )


def fingerprint(registry: Registry) -> str:
    """A hash of all rows that the code declares, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for service in registry.services.values():
        digest.update(repr(service_row(service)).encode())
        components: list[Action | Reaction] = [*service.actions.values(), *service.reactions.values()]
        for component in components:
            digest.update(repr((component_row(component), *variable_rows(component))).encode())
    return digest.hexdigest()
