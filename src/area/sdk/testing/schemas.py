"""Convert a description's schemas to JSON Schema one by one, on demand.

Vendors seldom set `additionalProperties: false`, but an unknown name is nearly always our mistake: an object with named
properties may have no others, unless the description allows them.
"""

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Literal

import jsonschema_rs

Way = Literal["request", "response"]
Schema = Mapping[str, Any]
Key = tuple[str, Way, bool]  # the name of a schema, and how it is used: for requests, and without other properties

DEEPEST = 12  # levels of a sample
LONGEST = 400  # characters of a problem: it may repeat the value
_KEPT = {
    "const", "enum", "format", "maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties",
    "multipleOf", "pattern", "required", "type", "uniqueItems",
}  # fmt: skip
_SAMPLES = {
    "date-time": "2026-11-23T09:00:00Z", "google-datetime": "2026-11-23T09:00:00Z", "date": "2026-11-23",
    "email": "ada@example.com", "uuid": "0b4e8f5e-5b1c-4a52-9d3c-9c1d6a3f2b10", "int64": "1", "uint64": "1",
    "uri": "https://example.com/", "url": "https://example.com/", "ipv4": "192.0.2.1", "byte": "QQ==",
}  # fmt: skip


class Schemas:
    """All schemas of a document. `names` maps names to schemas."""

    def __init__(self, document: Mapping[str, Any], names: Mapping[str, Any]) -> None:
        self.document = document
        self.names = names
        self._converted: dict[Key, tuple[str, Any, list[Key]]] = {}
        self._validators: dict[tuple[int, Way], tuple[Any, Any]] = {}

    def resolved(self, value: Any) -> Any:
        """The target of a `$ref`, or the value itself."""
        while isinstance(value, Mapping) and isinstance(value.get("$ref"), str):
            value = self.at(value["$ref"])
        return value

    def at(self, ref: str) -> Any:
        """The value at `#/a/b`, or of this name."""
        if not ref.startswith("#/"):
            return self.names[ref]
        node: Any = self.document
        for part in ref[2:].split("/"):
            step = part.replace("~1", "/").replace("~0", "~").replace("%7B", "{").replace("%7D", "}")
            node = node[int(step)] if isinstance(node, list) else node[step]
        return node

    def problems(self, schema: Any, value: Any, way: Way) -> list[str]:
        """Problems of `value` as a request or response; empty if it is valid."""
        known = self._validators.get((id(schema), way))
        if known is None:
            known = self._validators[id(schema), way] = (schema, self._validator(schema, way))  # the id stays taken
        return [_told(error) for error in known[1].iter_errors(value)]

    def _validator(self, schema: Any, way: Way) -> Any:
        pending: list[Key] = []
        root = self._convert(schema, way, pending, closed=True)
        parts: dict[str, Any] = {}
        while pending:
            name, converted, more = self._named(pending.pop())
            if name not in parts:
                parts[name] = converted
                pending += more
        return jsonschema_rs.Draft202012Validator({"allOf": [root], "$defs": parts}, validate_formats=True)

    def _named(self, key: Key) -> tuple[str, Any, list[Key]]:
        if key not in self._converted:
            ref, way, closed = key
            more: list[Key] = []
            name = f"s{len(self._converted)}"
            self._converted[key] = (name, {}, more)
            self._converted[key] = (name, self._convert(self.at(ref), way, more, closed=closed), more)
        return self._converted[key]

    def _convert(self, schema: Any, way: Way, wanted: list[Key], *, closed: bool) -> Any:
        """`schema` as JSON Schema 2020-12; adds the keys it refers to to `wanted`."""
        if not isinstance(schema, Mapping):
            return schema
        if isinstance(schema.get("$ref"), str):
            wanted.append((schema["$ref"], way, closed))
            reference = {"$ref": f"#/$defs/{self._named(wanted[-1])[0]}"}
            return {"anyOf": [{"type": "null"}, reference]} if schema.get("nullable") else reference
        out: dict[str, Any] = {name: value for name, value in schema.items() if name in _KEPT}
        self._convert_members(schema, out, way, wanted)
        composed = [name for name in ("allOf", "anyOf", "oneOf") if schema.get(name)]
        for name in composed:
            # one of several that are not exclusive is what "oneOf" means in most descriptions
            target = "allOf" if name == "allOf" else "anyOf"
            members = [self._convert(member, way, wanted, closed=False) for member in schema[name]]
            out.setdefault("allOf", []).append({target: members})
        if "not" in schema:
            out["not"] = self._convert(schema["not"], way, wanted, closed=False)
        if "additionalProperties" in schema:
            out["additionalProperties"] = self._convert(schema["additionalProperties"], way, wanted, closed=True)
        elif not schema.get("properties") and not composed:
            out["additionalProperties"] = True
        elif closed:
            out["unevaluatedProperties"] = False
        _modernize(schema, out)
        return {"anyOf": [{"type": "null"}, out]} if schema.get("nullable") else out

    def _convert_members(self, schema: Schema, out: dict[str, Any], way: Way, wanted: list[Key]) -> None:
        properties: Mapping[str, Any] = schema.get("properties") or {}
        required = schema.get("required")
        required = (
            required if isinstance(required, list) else [n for n, p in properties.items() if p.get("required") is True]
        )
        hidden = "readOnly" if way == "request" else "writeOnly"
        apart = {name for name, prop in properties.items() if isinstance(prop, Mapping) and prop.get(hidden) is True}
        out["required"] = [name for name in required if name not in apart]
        if properties:
            out["properties"] = {
                name: name not in apart and self._convert(prop, way, wanted, closed=True)
                for name, prop in properties.items()
            }
        items = schema.get("items")
        if isinstance(items, list):
            out["prefixItems"] = [self._convert(item, way, wanted, closed=True) for item in items]
        elif items is not None:
            out["items"] = self._convert(items, way, wanted, closed=True)

    def plain(self, value: Any, schema: Any) -> Any:
        """URL or form text converted to the schema's type where possible; problems are found later."""
        schema = self.resolved(schema)
        if not isinstance(schema, Mapping):
            return value
        for member in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
            result = self.plain(value, member)
            if not self.problems(member, result, "request"):
                return result
        kind = schema.get("type")
        if kind == "array":
            if isinstance(value, Mapping):
                value = list(value.values())  # a[0]=…&a[1]=…
            elements = value if isinstance(value, list) else [value]
            return [self.plain(item, schema.get("items", {})) for item in elements]
        if isinstance(value, Mapping):
            properties, other = schema.get("properties") or {}, schema.get("additionalProperties")
            return {name: self.plain(item, properties.get(name, other)) for name, item in value.items()}
        return _typed(value, kind)

    def sample(self, schema: Any, way: Way = "response", depth: int = 0) -> Any:
        """A small valid value: the schema's example, or its required parts."""
        schema = self.resolved(schema)
        if not isinstance(schema, Mapping) or depth > DEEPEST:
            return None
        if "example" in schema and not self.problems(schema, schema["example"], way):
            return deepcopy(schema["example"])
        if (schema.get("nullable") and depth > DEEPEST // 2) or "const" in schema:
            return deepcopy(schema.get("const"))
        if schema.get("enum"):
            return schema["enum"][0]
        properties, required = self._shape(schema)
        if properties:
            return {name: self.sample(properties[name], way, depth + 1) for name in required if name in properties}
        for member in (*schema.get("allOf", ()), *schema.get("anyOf", ()), *schema.get("oneOf", ())):
            return self.sample(member, way, depth)
        return _simple(schema) if schema.get("type") != "array" else self._items(schema, way, depth)

    def _items(self, schema: Schema, way: Way, depth: int) -> list[Any]:
        return [self.sample(schema.get("items"), way, depth + 1) for _ in range(schema.get("minItems") or 0)]

    def _shape(self, schema: Any) -> tuple[dict[str, Any], dict[str, None]]:
        """Properties and required names from all parts of an object's schema."""
        schema = self.resolved(schema)
        properties = dict(schema.get("properties") or {})
        described = schema.get("required")
        required = dict.fromkeys(described if isinstance(described, list) else ())
        parts = [*schema.get("allOf", ()), *schema.get("anyOf", ())[:1], *schema.get("oneOf", ())[:1]]
        for part in parts:
            more, needed = self._shape(part)
            properties, required = {**more, **properties}, {**needed, **required}
        return properties, required


def _simple(schema: Schema) -> Any:
    kind = schema.get("type")
    kind = next((name for name in kind if name != "null"), "null") if isinstance(kind, list) else kind
    if kind in ("integer", "number"):
        return int(float(schema.get("minimum") or 0)) + 1
    if kind == "string":
        sample = _matching(schema.get("pattern", "")) or _SAMPLES.get(schema.get("format", ""), "a")
        return sample.ljust(schema.get("minLength") or 0, "a")[: schema.get("maxLength")]
    return {"boolean": False, "object": {}, "array": []}.get(str(kind))


def _matching(pattern: str) -> str:
    """Text that matches a simple regular expression such as `^C[A-Z0-9]{8,}$`; empty if it isn't that simple."""
    sample = ""
    unit = r"(?:\[([^\]]+)\]|\\(.)|([^\\\[\](){}|^$*+?]))(?:\{(\d+)[^}]*\}|([*+?]))?"
    for chosen, escaped, plain, times, some in re.findall(unit, pattern):
        char = chosen[:1] or {"d": "1", "w": "a", "s": " "}.get(escaped, escaped) or plain
        sample += char * (int(times) if times else 0 if some in ("*", "?") else 1) if some or times else char
    try:
        return sample if re.search(pattern, sample) else ""
    except re.error:
        return ""


def _modernize(schema: Schema, out: dict[str, Any]) -> None:
    """Convert what OpenAPI 3.0, Swagger 2.0 and discovery documents write differently from JSON Schema 2020-12."""
    for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        value, strict = schema.get(limit), schema.get(exclusive)
        if value is not None:
            out[exclusive if strict is True else limit] = float(value)
        if strict is not None and not isinstance(strict, bool):
            out[exclusive] = strict
    if out.get("type") in ("any", "file"):
        del out["type"]
    if "pattern" in out:
        try:
            re.compile(out["pattern"])
        except re.error:
            del out["pattern"]  # written for another engine
    if schema.get("nullable") and "enum" in out:
        out["enum"] = [*out["enum"], None]


def _typed(value: Any, kind: Any) -> Any:
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), None)
    if not isinstance(value, str):
        return value
    if kind == "integer" and re.fullmatch(r"[+-]?\d+", value):
        return int(value)
    if kind == "number" and re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", value):
        return float(value)
    if kind == "boolean" and value in ("true", "false"):
        return value == "true"
    return value


def _told(error: Any) -> str:
    where = ".".join(str(part) for part in error.instance_path)
    text = str(error.message)
    return f"{where or 'it'}: {text if len(text) <= LONGEST else text[:LONGEST] + '…'}"
