"""Importing AREAs from a file."""

import asyncio

import orjson
import yaml
from fastapi import APIRouter, Request
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import UploadFile
from starlette.responses import Response
from typing_extensions import override

from area.areas import AreaIn, bundles
from area.areas.plans import field_errors
from area.doors.body import BoundedRequest
from area.doors.deps import ScopeDep, SessionDep
from area.kit.problems import Invalid, Problem
from area.web.parts.pages import SignedIn
from area.web.profile import show_data

router = APIRouter()

MAX_JSON, MAX_YAML = 2_000_000, 300_000  # characters; YAML takes a hundred times as long


@router.post("/profile/import")
async def import_(page: SignedIn, request: Request, scope: ScopeDep, session: SessionDep) -> Response:
    """Import AREAs from an exported file: all of them, or none."""
    try:
        async with BoundedRequest(request.scope, request.receive).form(max_files=1, max_fields=1) as form:
            file = form.get("file")
            content = await file.read() if isinstance(file, UploadFile) else b""
        report = await bundles.apply(session, scope, page.user.id, await asyncio.to_thread(_bundle, content))
    except Problem as error:
        await session.rollback()
        details = [
            f"{problem['field']}: {page.say(problem['message'])}" for problem in getattr(error, "errors", [])[:20]
        ]
        return await show_data(page, import_problems=details or [page.tell(error)])
    message = page.say(
        "Imported: %(created)s new, %(changed)s changed, %(same)s already the same.",
        **{name: len(names) for name, names in report.items()},
    )
    return page.to("/", said=message)


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
