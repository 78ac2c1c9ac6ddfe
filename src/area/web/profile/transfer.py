"""Importing AREAs from a file or a text, after a look at what that would do."""

import asyncio
from collections.abc import Iterable, Sequence

import orjson
import yaml
from fastapi import APIRouter, Request
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import UploadFile
from starlette.responses import Response
from typing_extensions import override

from area import connections
from area.areas import AreaIn, bundles
from area.areas.forms import LinkIn
from area.areas.plans import Scope, field_errors
from area.doors.body import BoundedRequest
from area.doors.deps import ScopeDep, SessionDep
from area.kit.problems import Invalid, Problem
from area.registry import Registry
from area.sdk import Service
from area.web.parts.pages import Page, SignedIn
from area.web.profile import show_data

router = APIRouter()

FORM: dict[str, int] = {"max_files": 1, "max_fields": 2, "max_part_size": 4_000_000}
MAX_JSON, MAX_YAML = 2_000_000, 300_000  # characters; YAML takes a hundred times as long


@router.post("/profile/import")
async def import_(page: SignedIn, request: Request, scope: ScopeDep, session: SessionDep) -> Response:
    """Import exported AREAs: all of them, or none. Shows first what that would do, until `sure` is sent."""
    content = b""
    try:
        async with BoundedRequest(request.scope, request.receive).form(**FORM) as form:
            file, sure = form.get("file"), form.get("sure") == "1"
            content = str(form.get("text", "")).encode()
            if isinstance(file, UploadFile) and file.size:
                content = await file.read()
        bundle = await asyncio.to_thread(_bundle, content)
        if not sure:
            return await _preview(page, session, scope, bundle, content)
        report = await bundles.apply(session, scope, page.user.id, bundle)
    except Problem as error:
        await session.rollback()
        details = [
            f"{problem['field']}: {page.say(problem['message'])}" for problem in getattr(error, "errors", [])[:20]
        ]
        return await show_data(
            page, import_problems=details or [page.tell(error)], import_text=content.decode("utf-8-sig", "replace")
        )
    message = page.say(
        "Imported: %(created)s new, %(changed)s changed, %(same)s already the same.",
        **{name: len(names) for name, names in report.items()},
    )
    return page.to("/", said=message)


async def _preview(
    page: Page, session: AsyncSession, scope: Scope, bundle: Sequence[AreaIn], content: bytes
) -> Response:
    """What importing would do: it is done, and undone at once. Raises what `bundles.apply` raises."""
    attempt = await session.begin_nested()
    try:
        report = await bundles.apply(session, scope, page.user.id, bundle)
    finally:
        await attempt.rollback()
    views = await connections.views(session, scope.registry, page.user.id)
    connected = {view.service for view in views if view.connected}
    return await show_data(
        page,
        import_report=report,
        import_needs=[service for service in _needed(scope.registry, bundle) if service.slug not in connected],
        import_text=content.decode("utf-8-sig", "replace"),
    )


def _needed(registry: Registry, bundle: Iterable[AreaIn | LinkIn]) -> list[Service]:
    """The services that the AREAs can't run without a connection to."""
    slugs: dict[str, None] = {}
    for item in bundle:
        parts = [item.action, item.reaction] if isinstance(item, AreaIn) else [item.reaction]
        slugs |= dict.fromkeys(str(part.component).partition(".")[0] for part in parts)
        slugs |= {service.slug: None for service in _needed(registry, item.then)}
    services = [registry.services[slug] for slug in slugs if slug in registry.services]
    return [service for service in services if service.requires_auth]


def _bundle(content: bytes) -> list[AreaIn]:
    """The AREAs in an exported file, YAML or JSON. Raises `Invalid`."""
    text = content.decode("utf-8-sig", "replace")
    if len(text) > (MAX_JSON if text.lstrip().startswith("{") else MAX_YAML):
        raise Invalid("This file is too large. Import it with area apply -f.")
    try:
        read = orjson.loads(text) if text.lstrip().startswith("{") else yaml.load(text, _Plain)  # noqa: S506 - safe
        return TypeAdapter(list[AreaIn]).validate_python(read["areas"])
    except ValidationError as error:
        raise Invalid(errors=field_errors(error, "areas")) from None
    except (yaml.YAMLError, ValueError, TypeError, KeyError, RecursionError):
        raise Invalid("This isn't an export of AREAs. Choose a YAML or JSON file with a list called areas.") from None


class _Plain(yaml.SafeLoader):
    """Without aliases, which make a small file a large one."""

    @override
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse aliases."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError
        return super().compose_node(parent, index)
