"""Build made.json, GitHub's webhook events as this connector declares them, from GitHub's published description.

hatch_build.py calls `make` when AREA is built, with the npm package below.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PACKAGE = "@octokit/openapi-webhooks"
DESCRIPTION = "generated/api.github.com.json"
TYPES = {"boolean": "boolean", "integer": "number", "number": "number", "array": "list", "object": "object"}
# what a GitHub App, the Marketplace or the user's page of sponsors is sent can't be asked for by the API of hooks
PLACES = ("repository", "organization", "app", "marketplace", "sponsors_listing")
LEVELS = 3  # of objects in a sample
LONGEST = 100  # characters of an example
INSIDE = 10  # of an object's values that its description names: first those that most people look for
FIRST = ("number", "title", "full_name", "name", "login", "html_url", "state", "body", "id")

Schema = Mapping[str, Any]
Schemas = Mapping[str, Schema]
Known = Mapping[tuple[str, str], Any]


def make(package: Path, target: Path) -> None:
    """Write the events to `target` from the unpacked npm package; each event's values are indices into `values`."""
    results = list(events(json.loads((package / DESCRIPTION).read_text("utf-8"))))
    values: dict[str, int] = {}  # most events have the same repository, sender and organization
    for item in results:
        item["values"] = [
            values.setdefault(json.dumps(value, ensure_ascii=False), len(values)) for value in item["values"]
        ]
    result = {"values": [json.loads(value) for value in values], "events": results}
    target.write_text(json.dumps(result, ensure_ascii=False, separators=(",", ":")), "utf-8")


def events(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each event: name, header `event`, body `action`, title, description, places, docs and top-level values."""
    schemas = document["components"]["schemas"]
    known = examples(document)
    for described in document["webhooks"].values():
        post = described["post"]
        event, _, action = post["operationId"].replace("-", "_").partition("/")
        if "." in action:  # one of the names that senders of repository_dispatch make up
            action = ""
        schema = resolved(post["requestBody"]["content"]["application/json"]["schema"], schemas)
        fields = schema.get("properties", {})
        own = words(event).capitalize()
        yield {
            "name": f"{event}_{action}" if action else event,
            "event": event,
            "action": action,
            "title": f"{own}: {words(action)}" if action else own,
            "description": plain(post.get("description") or first_sentence(post["summary"])),
            "places": [item for item in PLACES if item in post["x-github"]["supported-webhook-types"]],
            "docs": post["externalDocs"]["url"],
            "values": [top(name, field, schemas, known) for name, field in fields.items()],
        }


def top(name: str, schema: Schema, schemas: Schemas, known: Known) -> dict[str, Any]:
    """One top-level value: name, type, description and sample; an object's description lists its main values."""
    definition = resolved(schema, schemas)
    message = plain(first_sentence(definition.get("description", ""))) or f"The {words(name)}"
    inside = [key for key, value in definition.get("properties", {}).items() if is_told(key, resolved(value, schemas))]
    inside.sort(key=place)
    if inside:
        message += f": {', '.join(f'{name}.{key}' for key in inside[:INSIDE])}{' …' if len(inside) > INSIDE else ''}"
    return {
        "name": name,
        "type": kind(definition),
        "description": message,
        "sample": sample(name, definition, schemas, known),
    }


def is_told(name: str, schema: Schema) -> bool:
    """Whether people read it: not an object, nor a URL or ID for programs only."""
    return (
        kind(schema) not in ("object", "list")
        and not (name.endswith("url") and name != "html_url")
        and (name not in ("node_id", "gravatar_id"))
    )


def kind(schema: Schema) -> str:
    """The SDK's type."""
    of = schema.get("type")
    names = [item for item in (of if isinstance(of, list) else [of]) if item not in (None, "null")]
    if len(names) > 1 or (not names and "properties" not in schema):
        return "any"
    name = TYPES.get(names[0] if names else "object", "string")
    formats = {"date-time": "date", "uri": "url"}
    return formats.get(schema.get("format", ""), name) if name == "string" else name


def resolved(schema: Schema, schemas: Schemas) -> Schema:
    """The schema with references followed and `allOf` merged; of alternatives, the first that isn't null."""
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if "allOf" in schema:
        parts = [resolved(item, schemas) for item in schema["allOf"]]
        properties = {name: prop for part in parts for name, prop in part.get("properties", {}).items()}
        first = next((part for part in parts if part.get("type")), {})
        return {**first, **schema, "properties": properties}
    for choice in ("oneOf", "anyOf"):
        for item in schema.get(choice, ()):
            result = resolved(item, schemas)
            if result.get("type") != "null":
                return {**result, **{key: value for key, value in schema.items() if key == "description"}}
    return schema


def examples(document: Any) -> dict[tuple[str, str], Any]:
    """The most frequent example in the description, by property name and type."""
    result: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)

    def look(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                look(item)
        elif isinstance(value, dict):
            properties = value.get("properties")
            for name, element in properties.items() if isinstance(properties, dict) else ():
                if (
                    isinstance(element, dict)
                    and element.get("examples")
                    and len(str(element["examples"][0])) <= LONGEST
                ):
                    result[name, kind(element)][json.dumps(element["examples"][0])] += 1
            for entry in value.values():
                look(entry)

    look(document)
    return {key: json.loads(counted.most_common(1)[0][0]) for key, counted in result.items()}


def sample(name: str, schema: Schema, schemas: Schemas, known: Known, level: int = 1) -> Any:
    """A plausible value: the schema's own example, one of a property with the same name, or one of the type."""
    item = resolved(schema, schemas)
    of = kind(item)
    variables = [*item.get("enum", ()), *item.get("examples", ())]
    if variables and variables[0] is not None and of not in ("object", "list"):
        return variables[0].strip('"') if isinstance(variables[0], str) else variables[0]
    if of == "object":
        inner = item.get("properties", {})
        return {
            key: sample(key, value, schemas, known, level + 1)
            for key, value in sorted(inner.items(), key=lambda pair: place(pair[0]))
            if is_told(key, resolved(value, schemas)) or (level < LEVELS and kind(resolved(value, schemas)) == "object")
        }
    if of == "list":
        items = resolved(item.get("items", {}), schemas)
        return [sample(name, items, schemas, known, level + 1)] if level < LEVELS and items else []
    if (name, of) in known and not isinstance(known[name, of], dict | list):
        return known[name, of]
    plain_ones = {"boolean": False, "number": 1, "date": "2026-11-23T09:00:00Z", "url": "https://github.com/octocat"}
    return plain_ones.get(of, words(name))


def place(name: str) -> int:
    """Sort key of a value inside an object."""
    return FIRST.index(name) if name in FIRST else len(FIRST)


def words(name: str) -> str:
    """`pull_request` as words."""
    return name.replace("_", " ")


def plain(text: str) -> str:
    """Markdown as a phrase, without links, "For more information, see …" and the last full stop."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(text.split()))
    text = re.sub(r"\s*For (more )?information (about|on) [^.]*\.|\s*For more information,? see [^.]*\.?\"?$", "", text)
    return text.strip().removesuffix(".")


def first_sentence(text: str) -> str:
    """The first sentence."""
    return re.split(r"(?<=\.)\s", text.strip(), maxsplit=1)[0]
