"""Input for creating and changing AREAs."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from area.areas.triggers import WhenOff


class Part(BaseModel):
    """A component, by `service.name` or id, and its parameters."""

    model_config = ConfigDict(extra="forbid")

    component: str | int = Field(description="service.component, or the component's id", examples=["rss.new_item"])
    parameters: dict[str, Any] = Field(default_factory=dict, examples=[{"url": "https://example.org/feed.xml"}])
    connection: str | None = Field(
        None, max_length=100, description="The name of the connection to use; by default the service's default one"
    )


WHEN_OFF = (
    "For webhooks: what to do with requests while the AREA is off or can't run. `retry` (the default) responds with"
    " 503 and `Retry-After`; `skip` accepts them and records them as skipped."
)


class AreaIn(BaseModel):
    """An AREA to create. A reaction's parameters can contain `{{variable}}` placeholders."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=255, examples=["New posts to my server"])
    description: str | None = Field(None, max_length=10_000)
    is_active: bool = True
    action: Part
    reaction: Part
    when_off: WhenOff | None = Field(None, description=WHEN_OFF, exclude_if=lambda value: value is None)


class AreaPatch(BaseModel):
    """The fields to change. Omitted fields stay as they are, as do masked secrets and, for the same service, the
    connection.
    """

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, min_length=1, max_length=255)
    description: str | None = Field(None, max_length=10_000)
    is_active: bool | None = None
    action: Part | None = None
    reaction: Part | None = None
    when_off: WhenOff | None = Field(None, description=WHEN_OFF)
