"""Routes of the REST API: bounded bodies, and no query parameters that they don't know."""

from collections.abc import Callable, Collection, Coroutine, Iterable
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from typing_extensions import override

from area.doors.body import BoundedRequest
from area.kit.problems import FieldError, Invalid
from area.kit.sentences import Sentence
from area.kit.text import did_you_mean


class Route(APIRoute):
    """A route whose requests are `BoundedRequest`s, without query parameters that it doesn't know."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own, with the other request class. Raises `Invalid`."""
        handle = super().get_route_handler()
        known = None if self.path.endswith("/callback") else query_parameters(self.dependant)  # vendors add to it

        async def bounded(request: Request) -> Response:
            if known is not None and request.scope["query_string"]:
                refuse_unknown(request.query_params, known)
            return await handle(BoundedRequest(request.scope, request.receive))

        return bounded


def query_parameters(dependant: Dependant) -> frozenset[str]:
    """The names of the query parameters that a route and its dependencies know."""
    own = {field.alias for field in dependant.query_params}
    return frozenset(own.union(*(query_parameters(inner) for inner in dependant.dependencies)))


def refuse_unknown(given: Iterable[str], known: Collection[str]) -> None:
    """Raise `Invalid` for query parameters that aren't known, except those with an underscore in front, which some
    clients add against caches.
    """
    errors: list[FieldError] = [
        {"field": name[:100], "message": Sentence("Unknown parameter%(hint)s", hint=did_you_mean(name, known))}
        for name in dict.fromkeys(given)
        if name not in known and not name.startswith("_")
    ]
    if errors:
        raise Invalid(errors=errors)
