"""Loads connectors: the folders of `area.connectors`, then packages with the entry point `area.connectors`."""

import importlib
import pkgutil
import re
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path

from area import connectors
from area.sdk import Action, Reaction, Service
from area.sdk.fields import fields
from area.settings import settings


class Malformed(Exception):
    """A connector is unusable; the message says which and why. Prevents the start."""


@dataclass(eq=False)  # compared by identity, so caches can be keyed by it
class Registry:
    """Every service, by slug, and by the name the database uses."""

    services: dict[str, Service] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    by_name: dict[str, Service] = field(init=False)
    fingerprint: str = field(default="", init=False)  # of what they declare, once it is complete (`catalog.declared`)

    def __post_init__(self) -> None:
        self.by_name = {service.name: service for service in self.services.values()}

    def add(self, service: Service, folder: Path | None = None) -> None:
        """Add a service. Raises `Malformed`."""
        if service.slug in self.services:
            raise Malformed(f"Two connectors have the slug {service.slug!r}.")
        if service.name in self.by_name:
            raise Malformed(f"Two connectors have the name {service.name!r}.")
        components: list[Action | Reaction] = [*service.actions.values(), *service.reactions.values()]
        for component in components:
            _examine(component)
        if unknown := set(service.synonyms) - {"", *service.actions, *service.reactions}:
            raise Malformed(f"{service.slug}: there is no component {min(unknown)!r} to have synonyms.")
        self.services[service.slug] = self.by_name[service.name] = service
        if folder:
            self.folders[service.slug] = folder

    def slug_of(self, name: str) -> str:
        """The slug of the service with this name; derived from the name if it is no longer installed."""
        service = self.by_name.get(name)
        return service.slug if service else re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")

    def action(self, key: str) -> Action | None:
        """The action `service.component`, or None."""
        slug, _, name = key.partition(".")
        service = self.services.get(slug)
        return service.actions.get(name) if service else None

    def reaction(self, key: str) -> Reaction | None:
        """The reaction `service.component`, or None."""
        slug, _, name = key.partition(".")
        service = self.services.get(slug)
        return service.reactions.get(name) if service else None


def _examine(component: Action | Reaction) -> None:
    """Raise `Malformed` if the component's declaration is unusable."""
    reserved = {"only_if"} if isinstance(component, Action) else {"delay"}
    try:
        parameters, returns = fields(component.params), fields(component.returns)
    except TypeError as error:
        raise Malformed(f"{component.key}: {error}") from error
    if own := {param.name for param in (*parameters, *returns)} & reserved:
        raise Malformed(f"{component.key}: the name {', '.join(own)} is reserved for the platform.")
    for param in parameters:
        if param.picker and param.picker not in component.service.pickers:
            raise Malformed(f"{component.key}: there is no picker {param.picker!r} for {param.name}.")
    if isinstance(component, Reaction):
        return
    if bool(component.on_subscribe) != bool(component.on_unsubscribe):
        raise Malformed(f"{component.key}: what is subscribed must be unsubscribed, too.")
    inbound = component.service.inbound
    if component.hint and not component.hint.verify and (inbound is None or inbound.subscriptions is None):
        raise Malformed(
            f"{component.key}: its hint has no `verify`, and its service no `inbound` that tells subscriptions."
        )
    secret = [param.name for param in parameters if param.secret]
    if secret and (component.kind != "webhook" or component.on_subscribe):
        # sources are shared and stored in clear; secrets belong in a connection
        raise Malformed(f"{component.key}: {secret[0]} is a secret; make it part of the connection (`auth`).")


def load() -> Registry:
    """Import every connector. Raises `Malformed` if one is unusable."""
    registry = Registry()
    for module in pkgutil.iter_modules(connectors.__path__):
        _load(registry, f"{connectors.__name__}.{module.name}", module.name)
    for entry in metadata.entry_points(group="area.connectors"):
        _load(registry, entry.value.partition(":")[0], None)
    return registry


def _load(registry: Registry, name: str, folder_name: str | None) -> None:
    try:
        module = importlib.import_module(name)
    except Exception as error:
        raise Malformed(f"The connector {name} can't be imported: {type(error).__name__}: {error}") from error
    service = getattr(module, "service", None)
    if not isinstance(service, Service):
        raise Malformed(f"The connector {name} has no `service = Service(...)`.")
    if folder_name and service.slug != folder_name:
        raise Malformed(f"The connector in {folder_name}/ has the slug {service.slug!r}; the two must match.")
    if folder_name is None:
        _build(name, service)
    registry.add(service, Path(module.__file__).parent if module.__file__ else None)


def _build(name: str, service: Service) -> None:
    """Build the validators of a package's models, which are otherwise built at their first use: those of the folders
    are tested, but a package may declare what pydantic can't validate. Raises `Malformed`.
    """
    components: list[Action | Reaction] = [*service.actions.values(), *service.reactions.values()]
    for component in components:
        try:
            component.params.model_rebuild()
            component.returns.model_rebuild()
        except Exception as error:
            raise Malformed(f"The connector {name} can't be imported: {component.key}: {error}") from error


@cache
def registry() -> Registry:
    """The process's connectors, loaded once, with the servers that the settings name. Raises `Malformed`."""
    loaded = load()
    for slug, server in settings().servers.items():
        if slug not in loaded.services:
            raise Malformed(f"AREA_{slug.upper()}_SERVER names no service.")
        try:
            loaded.services[slug].move(server)
        except TypeError as error:
            raise Malformed(f"AREA_{slug.upper()}_SERVER can't be used: {error}") from error
    return loaded
