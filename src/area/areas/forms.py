"""Input for creating and changing AREAs."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from area.areas.links import When
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


# where a link's form has the fields of its AREA
OF_LINK = {
    "action.parameters.only_if": "only_if",
    "action.parameters.for_each": "for_each",
    "action.parameters.when": "when",
    "reaction.parameters.delay": "delay",
}


class LinkIn(BaseModel):
    """An AREA that follows the one it stands in: a link of a chain."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=255, examples=["Create a page"])
    description: str | None = Field(None, max_length=10_000, exclude_if=lambda value: value is None)
    is_active: bool = Field(True, exclude_if=lambda value: value is True)
    when: When = Field(
        "success",
        description="The outcome that it follows; `otherwise` if the condition of no other link here matches",
        exclude_if=lambda value: value == "success",
    )
    for_each: str | None = Field(
        None,
        max_length=500,
        description="A list that it runs once per item of",
        examples=["result.rows"],
        exclude_if=lambda value: value is None,
    )
    only_if: str | None = Field(None, description="Its condition", exclude_if=lambda value: value is None)
    delay: str | None = Field(
        None, description="How long it waits", examples=["10m"], exclude_if=lambda value: value is None
    )
    also_after: list[int | str] = Field(
        default_factory=list,
        max_length=19,
        description="More AREAs that it follows, by id or name",
        exclude_if=lambda value: not value,
    )
    reaction: Part
    then: list["LinkIn"] = Field(default_factory=list, max_length=20, exclude_if=lambda value: not value)

    def as_area(self, after: list[int]) -> "AreaIn":
        """The same as an AREA that follows those with these ids."""
        when = None if self.when == "success" else self.when  # the default
        action = {"after": after, "when": when, "for_each": self.for_each, "only_if": self.only_if}
        parameters = {name: value for name, value in action.items() if value is not None}
        reaction = self.reaction
        if self.delay is not None:
            reaction = reaction.model_copy(update={"parameters": {**reaction.parameters, "delay": self.delay}})
        return AreaIn(
            name=self.name,
            description=self.description,
            is_active=self.is_active,
            action=Part(component="area.ran", parameters=parameters),
            reaction=reaction,
            then=self.then,
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
    then: list[LinkIn] = Field(
        default_factory=list,
        max_length=20,
        description="The AREAs that follow this one",
        exclude_if=lambda value: not value,
    )


class LinkPatch(BaseModel):
    """A link of a chain, to change or to create. It is the link with this `id`, or else with this name; any other name
    is a new link's, which needs a reaction. Omitted fields stay as they are.
    """

    model_config = ConfigDict(extra="forbid")

    id: int | None = Field(None, ge=1, le=2**31 - 1)
    version: int | None = Field(None, ge=1, description="Change it only if this is still its version; 412 if not")
    name: str | None = Field(None, min_length=1, max_length=255)
    description: str | None = Field(None, max_length=10_000)
    is_active: bool | None = None
    when: When | None = Field(None, description="The outcome that it follows")
    for_each: str | None = Field(None, max_length=500, description="A list that it runs once per item of")
    only_if: str | None = Field(None, description="Its condition")
    delay: str | None = Field(None, description="How long it waits", examples=["10m"])
    also_after: list[int | str] | None = Field(None, max_length=19, description="More AREAs that it follows")
    reaction: Part | None = None
    then: list["LinkPatch"] | None = Field(None, max_length=20, description="As in the AREA's own `then`")


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
    then: list[LinkPatch] | None = Field(
        None,
        max_length=20,
        description="All links that follow it. Links that are left out are deleted, unless they also follow others;"
        " without `then`, all stay",
    )
