"""Sample events of actions, to test an AREA before a real event: the action's own, or its fixture."""

from functools import cache
from pathlib import Path
from typing import Any

import orjson

from area.registry import Registry
from area.sdk import Action
from area.sdk.fields import fields


def sample_of(registry: Registry, action: Action) -> dict[str, Any]:
    """The data of the action's sample event. If it has none, the fields' examples."""
    if action.sample is not None:
        return dict(action.sample)
    folder = registry.folders.get(action.service.slug)
    if folder and (path := folder / "fixtures" / f"{action.name}.json").is_file():
        return dict(_read(path)["data"])
    return {field.name: field.placeholder for field in fields(action.returns)}


@cache
def _read(path: Path) -> dict[str, Any]:
    value = orjson.loads(path.read_bytes())
    return dict(value)
