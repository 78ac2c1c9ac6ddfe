"""A component's parameters and return values: its own, and those the platform adds."""

from area.sdk import Action, Reaction
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


def component_fields(component: Action | Reaction) -> tuple[list[Field], list[Field]]:
    """A component's parameters (including the platform's) and return values."""
    own = ONLY_IF if isinstance(component, Action) else DELAY
    return [*form_fields(component.params), own], list(fields(component.returns))
