"""Bluesky's lexicons (https://atproto.com/specs/lexicon), as operations of XRPC (https://atproto.com/specs/xrpc)."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import orjson
from typing_extensions import override

from area.sdk.testing.descriptions import Description, Operation, Parameter, fetched
from area.sdk.testing.schemas import Schemas

if TYPE_CHECKING:
    from area.sdk.testing.double import Asked

XRPC = "/xrpc/"
_OPEN = {
    "com.atproto.server.createSession",
    "com.atproto.server.refreshSession",
}  # come with another credential, or none
_RECORDS = ("com.atproto.repo.createRecord", "com.atproto.repo.putRecord")
_PATTERNS = {
    "at-uri": r"^at://[^/]+(/[a-zA-Z0-9.-]+(/[a-zA-Z0-9._:~-]+)?)?$",
    "did": r"^did:[a-z]+:[a-zA-Z0-9._:%-]+$",
    "handle": r"^([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?\.)+[a-zA-Z][a-zA-Z0-9-]*$",
    "nsid": r"^[a-zA-Z][a-zA-Z0-9-]*(\.[a-zA-Z0-9-]+)+$",
}
_FORMATS = {"datetime": "date-time", "uri": "uri"}
_LINK = {"type": "object", "required": ["$link"], "properties": {"$link": {"type": "string"}}}
_BLOB = {
    "type": "object",
    "required": ["$type", "ref", "mimeType", "size"],
    "properties": {
        "$type": {"const": "blob"}, "ref": _LINK, "mimeType": {"type": "string"}, "size": {"type": "integer"},
    },
}  # fmt: skip


class Lexicons(Description):
    """All lexicons of a file, a JSON list. Grapheme lengths aren't checked; byte lengths are checked in characters."""

    @cached_property
    @override
    def document(self) -> dict[str, Any]:
        document = {lexicon["id"]: lexicon for lexicon in orjson.loads(self.read())}
        if self.mend is not None:
            self.mend(document)
        return document

    @cached_property
    @override
    def schemas(self) -> Schemas:
        names = {
            f"{nsid}#{name}": _schema(nsid, definition)
            for nsid, lexicon in self.document.items()
            for name, definition in lexicon["defs"].items()
        }
        return Schemas(self.document, names)

    @property
    @override
    def server(self) -> str:
        return "https://bsky.social"

    @cached_property
    @override
    def routes(self) -> dict[str, dict[str, Any]]:
        methods = {"query": "GET", "procedure": "POST"}
        mains = {nsid: lexicon["defs"].get("main", {}) for nsid, lexicon in self.document.items()}
        return {
            XRPC + nsid: {methods[main["type"]]: (nsid, main)}
            for nsid, main in mains.items()
            if main.get("type") in methods
        }

    @override
    def _operation(self, method: str, route: str, told: Any) -> Operation:
        nsid, main = told
        declared = main.get("parameters", {})
        needed = declared.get("required", ())
        parameters = [
            Parameter(name, "query", name in needed, _schema(nsid, prop))
            for name, prop in declared.get("properties", {}).items()
        ]
        takes, gives = main.get("input"), main.get("output")
        bodies = {takes["encoding"]: _schema(nsid, takes["schema"]) if "schema" in takes else None} if takes else {}
        answer: dict[str, Mapping[str, Any]] = {}
        if gives:
            answer[gives["encoding"]] = {"schema": _schema(nsid, gives["schema"])} if "schema" in gives else {}
        security: list[set[tuple[str, str]]] | None = [] if nsid in _OPEN else None
        return Operation(method, route, parameters, bodies, bool(takes), {"200": answer}, security)

    @override
    def more(self, operation: Operation, asked: "Asked") -> list[str]:
        """A record must match its collection's schema."""
        if operation.route.removeprefix(XRPC) not in _RECORDS or not isinstance(asked.json, dict):
            return []
        collection = asked.json.get("collection")
        if f"{collection}#main" not in self.schemas.names:
            return [f"there is no collection {collection!r}"]
        schema = self.schemas.names[f"{collection}#main"]
        return [
            f"the record: {problem}" for problem in self.schemas.problems(schema, asked.json.get("record"), "request")
        ]


def _schema(nsid: str, declared: Mapping[str, Any]) -> dict[str, Any]:
    """A lexicon type as a schema."""
    kind = declared["type"]
    if kind == "record":
        record = _schema(nsid, declared["record"])
        properties = {**record.get("properties", {}), "$type": {"const": nsid}}
        return {**record, "properties": properties, "required": [*record.get("required", ()), "$type"]}
    if kind == "object":
        nullable = declared.get("nullable", ())
        properties = {name: _schema(nsid, prop) for name, prop in declared.get("properties", {}).items()}
        properties |= {name: {"anyOf": [{"type": "null"}, properties[name]]} for name in nullable}
        return {
            "type": "object",
            "properties": {"$type": {"type": "string"}, **properties},
            "required": list(declared.get("required", ())),
        }
    if kind == "array":
        limits = {f"{end}Items": declared[f"{end}Length"] for end in ("min", "max") if f"{end}Length" in declared}
        return {"type": "array", "items": _schema(nsid, declared["items"]), **limits}
    if kind == "string":
        return _string(declared)
    if kind == "ref":
        return {"$ref": _full(nsid, declared["ref"])}
    if kind == "union":
        return _union([_full(nsid, ref) for ref in declared["refs"]], closed=declared.get("closed") is True)
    if kind in ("integer", "boolean"):
        return {
            name: value for name, value in declared.items() if name in ("type", "minimum", "maximum", "enum", "const")
        }
    plain: dict[str, dict[str, Any]] = {"blob": _BLOB, "cid-link": _LINK, "unknown": {"type": "object"}}
    return plain.get(kind, {})


def _string(declared: Mapping[str, Any]) -> dict[str, Any]:
    schema = {name: value for name, value in declared.items() if name in ("type", "enum", "const", "maxLength")}
    kind = declared.get("format", "")
    if kind in _PATTERNS:
        schema["pattern"] = _PATTERNS[kind]
    if kind in _FORMATS:
        schema["format"] = _FORMATS[kind]
    return schema


def _full(nsid: str, ref: str) -> str:
    ref = ref.removeprefix("lex:")
    ref = nsid + ref if ref.startswith("#") else ref
    return ref if "#" in ref else f"{ref}#main"


def _union(refs: list[str], *, closed: bool) -> dict[str, Any]:
    """A union, distinguished by `$type`; an open one may hold unknown types."""
    kinds = [ref.removesuffix("#main") for ref in refs]
    known = [
        {"allOf": [{"$ref": ref}, {"type": "object", "required": ["$type"], "properties": {"$type": {"const": kind}}}]}
        for ref, kind in zip(refs, kinds, strict=True)
    ]
    other = {
        "type": "object",
        "required": ["$type"],
        "properties": {"$type": {"type": "string", "not": {"enum": kinds}}},
        "additionalProperties": True,
    }
    return {"anyOf": known if closed else [*known, other]}


def lexicons(name: str = "@atproto/api/dist/client/lexicons.json") -> Description:
    """Bluesky's lexicons, from its npm package; otherwise like `described`."""
    return fetched(name, Lexicons)
