"""GraphQL schemas, enforced: from `*.graphql`, from an introspection's answer (`*.json.gz`), or from the TypeScript
types that graphql-codegen generates.
"""

import gzip
import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import graphql
import orjson
from graphql.execution.values import get_variable_values
from typing_extensions import override

from area.sdk.testing.descriptions import JSON, Description, Operation, fetched
from area.sdk.testing.schemas import Schemas

if TYPE_CHECKING:
    from area.sdk.testing.double import Asked

ROUTES = ("/graphql", "/graphql.json")
_BODY = {
    "type": "object",
    "required": ["query"],
    "properties": {
        "query": {"type": "string"}, "variables": {"type": "object", "nullable": True},
        "operationName": {"type": "string"},
    },
}  # fmt: skip
_TYPE = re.compile(r"^(?:declare |export )*type (\w+) = ((?:\w+ & )*)\{\n(.*?)^\};", re.MULTILINE | re.DOTALL)
_UNION = re.compile(r"^(?:declare |export )*type (\w+) = ((?:\w+\s*\|\s*)+\w+);", re.MULTILINE)
_ENUM = re.compile(r"^(?:declare |export )*enum (\w+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^  (\w+)\??: (.+);$", re.MULTILINE)
_BUILT_IN = {"ID", "String", "Boolean", "Int", "Float"}


class GraphQL(Description):
    """A schema at `POST /graphql` or `/graphql.json`: queries, variables and answers must match it."""

    @cached_property
    @override
    def document(self) -> dict[str, Any]:
        if self.name.endswith(".json.gz"):
            introspection: dict[str, Any] = orjson.loads(gzip.decompress(self.read()))
            return introspection
        text = self.read().decode()
        return {"schema": text if self.name.endswith(".graphql") else definitions(text)}

    @cached_property
    def schema(self) -> graphql.GraphQLSchema:
        """The schema."""
        if "data" in self.document:
            return graphql.build_client_schema(self.document["data"], assume_valid=True)
        return graphql.build_schema(self.document["schema"], assume_valid=True)

    @cached_property
    @override
    def schemas(self) -> Schemas:
        return Schemas(self.document, {})

    @property
    @override
    def server(self) -> str:
        raise AssertionError(f"{self.name} does not say where the vendor is: Double(…, at=…)")

    @cached_property
    @override
    def routes(self) -> dict[str, dict[str, Any]]:
        return {route: {"POST": None} for route in ROUTES}

    @override
    def _operation(self, method: str, route: str, declared: Any) -> Operation:
        return Operation(method, route, [], {JSON: _BODY}, True, {"200": {JSON: {}}}, None)

    @override
    def more(self, operation: Operation, asked: "Asked") -> list[str]:
        """The query and its variables must match the schema."""
        try:
            document = graphql.parse(asked.json["query"])
        except graphql.GraphQLError as error:
            return [str(error)]
        problems = graphql.validate(self.schema, document)
        if not problems:
            for definition in document.definitions:
                if isinstance(definition, graphql.OperationDefinitionNode):
                    values = get_variable_values(
                        self.schema, definition.variable_definitions or (), asked.json.get("variables") or {}
                    )
                    problems += values if isinstance(values, list) else []
        return [problem.message for problem in problems]

    @override
    def wrong(self, operation: Operation, asked: "Asked", answer: Any) -> list[str]:
        """The answer must contain exactly what was queried; an object of several types needs its `__typename`."""
        if not isinstance(answer, Mapping) or "data" not in answer or answer.get("errors"):
            return [] if isinstance(answer, Mapping) and answer.get("errors") else ["it has neither data nor errors"]
        executed = graphql.execute_sync(
            self.schema,
            graphql.parse(asked.json["query"]),
            answer["data"],
            variable_values=asked.json.get("variables"),
            field_resolver=_given,
        )
        if executed.errors:
            return [f"{error.message} ({'.'.join(map(str, error.path or ()))})" for error in executed.errors]
        return [f"{path} was not asked for" for path in _left_out(answer["data"], executed.data, "data")]


def _given(source: Any, info: graphql.GraphQLResolveInfo[Any], **_arguments: Any) -> Any:
    return source.get(info.path.key) if isinstance(source, Mapping) else None


def _left_out(given: Any, asked: Any, where: str) -> list[str]:
    if isinstance(given, Mapping) and isinstance(asked, Mapping):
        missing = [f"{where}.{name}" for name in given if name not in asked and name != "__typename"]
        return missing + [path for name in asked for path in _left_out(given.get(name), asked[name], f"{where}.{name}")]
    if isinstance(given, list) and isinstance(asked, list):
        return [path for pair in zip(given, asked, strict=True) for path in _left_out(*pair, where)]
    return []


def definitions(types: str) -> str:
    """The schema behind graphql-codegen's TypeScript types, without descriptions and defaults."""
    types = re.sub(r"/\*\*.*?\*/", "", types, flags=re.DOTALL)
    result = {name: (parents.split(" & ")[:-1], _FIELD.findall(body)) for name, parents, body in _TYPE.findall(types)}
    enums = {name: re.findall(r'^  \w+ = "(\w+)"', body, re.MULTILINE) for name, body in _ENUM.findall(types)}
    unions = {name: re.findall(r"\w+", body) for name, body in _UNION.findall(types)}
    scalars = [name for name, _ in result.pop("Scalars", ((), ()))[1] if name not in _BUILT_IN]
    objects = {name for name, (_, fields) in result.items() if ("__typename", f'"{name}"') in fields}
    interfaces = {parent for name in objects for parent in result[name][0]}
    arguments: dict[tuple[str, str], str] = {}
    pending: list[str] = []
    for name in objects | interfaces:
        for field, _ in result[name][1]:
            of = f"{name}{field[:1].upper()}{field[1:]}Args"
            if of in result:
                pending.append(of)
                arguments[name, field] = (
                    "(" + ", ".join(f"{argument}: {_kind(kind)}" for argument, kind in result[of][1]) + ")"
                )
    inputs: set[str] = set()
    while pending:
        used = {match for _, kind in result[pending.pop()][1] for match in re.findall(r"\w+", kind)}
        more = (used & set(result)) - inputs - objects
        inputs |= more
        pending += more
    lines = [f"scalar {name}" for name in scalars]
    lines += [f"enum {name} {{ {' '.join(values)} }}" for name, values in enums.items() if values]
    lines += [
        f"union {name} = {' | '.join(members)}" for name, members in unions.items() if objects.issuperset(members)
    ]
    for name in (*objects, *interfaces, *inputs):
        parents, fields = result[name]
        word = "type" if name in objects else "interface" if name in interfaces else "input"
        body = " ".join(
            f"{field}{arguments.get((name, field), '')}: {_kind(kind)}"
            for field, kind in fields
            if field != "__typename"
        )
        above = f" implements {' & '.join(parents)}" if parents else ""
        lines.append(f"{word} {name}{above} {{ {body} }}")
    return "\n".join(lines)


def _kind(declared: str) -> str:
    """`Maybe<Array<Issue>>` as `[Issue!]`."""
    if match := re.fullmatch(r"(?:Input)?Maybe<(.*)>", declared):
        return _kind(match[1]).removesuffix("!")
    if match := re.fullmatch(r"Array<(.*)>", declared):
        return f"[{_kind(match[1])}]!"
    if match := re.match(r'Scalars\["(\w+)"\]', declared):
        return f"{match[1]}!"
    return f"{declared}!"


def graphed(name: str) -> Description:
    """A vendor's GraphQL schema, or TypeScript types generated from one, at `POST /graphql`; otherwise like
    `described`.
    """
    return fetched(name, GraphQL)
