"""The templates: AREAs to begin with, read from `templates.yaml`. The editor opens with one filled in."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel

from area.areas import AreaIn
from area.areas.forms import LinkIn

Group = Literal[
    "time", "news", "mail", "chat", "work", "code", "money", "home", "files", "social", "watch", "chains"
]  # in the order of the page
GROUPS: tuple[Group, ...] = get_args(Group)
FIRST = ("reminder", "webhook", "feed", "value", "weather", "meeting")  # on an empty home page
FILE = Path(__file__).with_name("templates.yaml")


class Template(BaseModel):
    """An AREA as `/areas/new?template=…` begins with, in one language."""

    key: str
    group: Group
    text: str
    area: AreaIn

    @property
    def components(self) -> list[str]:
        """Keys of its action and of all its reactions."""
        return [str(self.area.action.component), str(self.area.reaction.component), *_reactions(self.area.then)]

    @property
    def services(self) -> list[str]:
        """Slugs of its services, each once."""
        return list(dict.fromkeys(component.partition(".")[0] for component in self.components))


@lru_cache
def templates(lang: str) -> Mapping[str, Template]:
    """All templates by key, in the order of the file."""
    return {item["key"]: _template(_spoken(item, lang)) for item in _read()}


@lru_cache
def _read() -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = yaml.load(FILE.read_text("utf-8"), yaml.CSafeLoader)
    return read


def _template(item: dict[str, Any]) -> Template:
    key, group, text = item.pop("key"), item.pop("group"), item.pop("text")
    return Template(key=key, group=group, text=text, area=AreaIn.model_validate(item))


def _spoken(value: Any, lang: str) -> Any:
    """The same with each text in this language, or else in English."""
    if isinstance(value, list):
        return [_spoken(item, lang) for item in value]
    if not isinstance(value, dict):
        return value
    if "en" in value:
        return value.get(lang, value["en"])
    return {name: _spoken(item, lang) for name, item in value.items()}


def _reactions(then: list[LinkIn]) -> list[str]:
    return [key for link in then for key in (str(link.reaction.component), *_reactions(link.then))]
