"""GitHub's webhook events as actions, from made.json, which build.py generates when AREA is built."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, create_model

from area.connectors.github.hooks import (
    MAX_BODY,
    ORGANIZATION_HOOKS,
    REPOSITORY_HOOKS,
    SIGNED,
    asked_for,
    brought,
    delivered,
)
from area.connectors.github.told import LEFT_OUT
from area.sdk import Action, Context, Events, Nothing, Request, Service, param

MADE = Path(__file__).parent / "made.json"
TYPES: dict[str, Any] = {
    "string": str, "number": int | float, "boolean": bool, "date": datetime, "url": HttpUrl,
    "object": dict[str, Any], "list": list[Any], "any": Any,
}  # fmt: skip
BY_HAND = (
    " GitHub sends it to {} only: enter the AREA's address and secret there, with the content type application/json."
)
SENDERS = {
    "app": "the webhook of a GitHub App",
    "marketplace": "the webhook of a Marketplace listing",
    "sponsors_listing": "the webhook of your page of sponsors",
}


class Organization(BaseModel):
    organization: str = param("Organization", "octo-org", pick="organizations", pattern=r"^[\w.-]+$")


class Place(BaseModel):
    place: str = param(
        "Repository, or an organization for all of its repositories",
        "octocat/hello-world",
        pick="places",
        pattern=r"^[\w.-]+(/[\w.-]+)?$",
    )


class Value(BaseModel):
    """A top-level value of a webhook event."""

    model_config = ConfigDict(defer_build=True)


def declare(service: Service) -> None:
    """Add an action for each event. Raises `RuntimeError` if made.json is missing."""
    if not MADE.is_file():
        raise RuntimeError(f"{MADE.name} is missing: run `python hatch_build.py`, which needs npm.")
    table = json.loads(MADE.read_bytes())
    models: dict[Any, type[BaseModel]] = {}  # half of the events have the values of another, and models take time
    for event in table["events"]:
        values = [table["values"][number] for number in event["values"]]
        anywhere = "repository" in event["places"]
        hooked = anywhere or "organization" in event["places"]
        kinds = tuple((value["name"], value["type"], value["description"]) for value in values)
        returns = models[kinds] = models.get(kinds) or _returns(event["event"], values)
        action = Action(
            service=service,
            name=event["name"],
            title=event["title"],
            description=event["description"] + "." + ("" if hooked else BY_HAND.format(SENDERS[event["places"][0]])),
            translated=False,
            sample={value["name"]: value["sample"] for value in values} | {"left_out": None},
            kind="webhook",
            params=Place if anywhere else Organization if hooked else Nothing,
            returns=returns,
            function=_receiver(event, returns),
            verify=SIGNED,
            max_body=MAX_BODY,
            scopes=(*((REPOSITORY_HOOKS,) if anywhere else ()), *((ORGANIZATION_HOOKS,) if hooked else ())),
        )
        if hooked:
            asked_for(action, event["event"])
        service.add(action)


def _returns(event: str, values: list[dict[str, Any]]) -> type[BaseModel]:
    """A model of the top-level values. All are optional, because GitHub leaves out what doesn't apply."""
    options: dict[str, Any] = {
        value["name"]: (
            TYPES[value["type"]] | None,
            Field(None, description=value["description"], examples=[_short(value["sample"])]),
        )
        for value in values
    }
    options["left_out"] = (list[Any] | None, Field(None, description=LEFT_OUT, examples=[[]]))
    return create_model(event, __base__=Value, __doc__=f"What GitHub sends of {event}.", **options)


def _short(sample: Any) -> Any:
    """An example short enough to show beside a field: an object's first values, nothing for a list."""
    if isinstance(sample, dict):
        return dict([pair for pair in sample.items() if not isinstance(pair[1], dict | list)][:2])
    return [] if isinstance(sample, list) else sample


def _receiver(event: dict[str, Any], returns: type[BaseModel]) -> Callable[[Context, BaseModel, Request], Events[Any]]:
    actions = [event["action"]] if event["action"] else []
    return lambda _ctx, _params, request: delivered(request, returns, brought(request, event["event"], *actions))
