"""Check a request against a vendor's description."""

import re
from typing import TYPE_CHECKING, Any

import orjson

from area.sdk.http import Access
from area.sdk.testing.descriptions import Description, Operation, Parameter
from area.sdk.testing.schemas import Schemas

if TYPE_CHECKING:
    from area.sdk.testing.double import Asked

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
MOST = 5  # problems that are told of one request
_NOT_PARAMETERS = {"accept", "content-type", "authorization"}  # https://spec.openapis.org/oas/v3.0.3#fixed-fields-9


class Broken(Exception):
    """A request the vendor would reject with `status`. `ours`: a mistake in the test or the code, whatever the vendor's
    state.
    """

    def __init__(self, status: int, message: str, *, ours: bool = True) -> None:
        super().__init__(message)
        self.status = status
        self.ours = ours


def check(description: Description, operation: Operation, asked: "Asked", access: Access | None) -> None:
    """Raise `Broken` if the operation doesn't accept the request, or the credential is missing or wrong."""
    schemas = description.schemas
    let_in = check_access(operation, asked, access)
    problems = [*_parameter_problems(schemas, operation, asked, let_in)]
    if problems:
        raise Broken(400, "; ".join(problems[:MOST]))
    problems = _body_problems(schemas, operation, asked) or description.more(operation, asked)
    if problems:
        raise Broken(422, "; ".join(problems[:MOST]))


def check_access(operation: Operation, asked: "Asked", access: Access | None) -> set[tuple[str, str]]:
    """The places that contained a credential. Raises `Broken` with 401 if one is missing or wrong."""
    expected = {("header", name.lower()): value for name, value in (access.headers if access else {}).items()}
    expected |= {("query", name): value for name, value in (access.params if access else {}).items()}
    security = [set[tuple[str, str]]()] if operation.security is None else operation.security
    alternatives = [each | set(expected) for each in security]  # whoever is let in sends all of it
    came = {place for each in alternatives for place in each if _at(asked, place) is not None}
    optional = operation.security is not None and not all(operation.security)
    if not optional and alternatives and not any(each <= came for each in alternatives):
        places = " or ".join(" and ".join(f"{where} {name}" for where, name in sorted(each)) for each in alternatives)
        raise Broken(401, f"it comes without a credential: {places}")
    for place, value in expected.items():
        if place in came and _at(asked, place) != value:
            raise Broken(401, f"the {place[0]} {place[1]} is not the credential that was given", ours=False)
    return came


def _at(asked: "Asked", place: tuple[str, str]) -> str | None:
    where, name = place
    return asked.headers.get(name) if where == "header" else asked.query.get(name)


def _parameter_problems(
    schemas: Schemas, operation: Operation, asked: "Asked", let_in: set[tuple[str, str]]
) -> list[str]:
    problems = []
    known = {name for where, name in let_in if where == "query"}
    for parameter in operation.parameters:
        if parameter.where == "header" and parameter.name.lower() in _NOT_PARAMETERS:
            continue
        names = _query_names(parameter, asked) if parameter.where == "query" else set()
        known |= names
        value = _given(parameter, asked, names)
        if value is None:
            # Slack lists its bearer token as a parameter
            if parameter.required and not (parameter.name == "token" and let_in):
                problems.append(f"the {parameter.where} parameter {parameter.name} is missing")
            continue
        described = schemas.problems(parameter.schema, schemas.plain(value, parameter.schema), "request")
        problems += [f"the {parameter.where} parameter {parameter.name}: {problem}" for problem in described]
    unknown = [name for name in dict.fromkeys(asked.query) if name not in known]
    return problems + [f"the query parameter {name} is not known" for name in unknown]


def _query_names(parameter: Parameter, asked: "Asked") -> set[str]:
    name = parameter.name
    return {item for item in asked.query if item in (name, f"{name}[]") or item.startswith(f"{name}[")}


def _given(parameter: Parameter, asked: "Asked", names: set[str]) -> Any:
    """The parameter's value: text, a list or mapping of text, or None."""
    if parameter.where == "path":
        value: Any = asked.params.get(parameter.name)
    elif parameter.where == "header":
        value = asked.headers.get(parameter.name)
    elif not names:
        return None
    elif names == {parameter.name}:
        values = asked.query.getall(parameter.name)
        value = values[0] if len(values) == 1 else values
    else:
        pairs = [(name, value) for name, value in asked.query.items() if name in names]
        return nested(pairs).get(parameter.name)
    if isinstance(value, str) and not parameter.explode:
        separator = {"spaceDelimited": " ", "pipeDelimited": "|"}.get(parameter.style, ",")
        if separator in value and "array" in str(parameter.schema):
            return value.split(separator)
    return value


def nested(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Parse `a[b]=1`, `a[]=2` and `a[0]=3` into mappings and lists; a repeated name becomes a list."""
    result: dict[str, Any] = {}
    for name, value in pairs:
        base, *keys = [name] if "[" not in name else [name.partition("[")[0], *re.findall(r"\[([^\]]*)\]", name)]
        level, last = result, base
        for key in keys:
            step = level.setdefault(last, {})
            if not isinstance(step, dict):
                break
            level, last = step, key or str(len(step))
        level[last] = (
            value if last not in level else [*(level[last] if isinstance(level[last], list) else [level[last]]), value]
        )
    return result


def _body_problems(schemas: Schemas, operation: Operation, asked: "Asked") -> list[str]:
    if not asked.body:
        return ["it has no body"] if operation.body_required else []
    kind = asked.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if not operation.bodies:
        return ["it takes no body"]
    if kind not in operation.bodies:
        pattern = next(
            (
                item
                for item in operation.bodies
                if item == "*/*" or (item.endswith("/*") and kind.startswith(item[:-1]))
            ),
            None,
        )
        if pattern is None:
            return [f"the body is {kind or 'of no type'}, and must be {' or '.join(operation.bodies)}"]
    else:
        pattern = kind
    schema = operation.bodies[pattern]
    if schema is None:
        return []
    if kind in FORMS:
        pairs = list(asked.form.items())
        literal = schemas.resolved(schema).get("properties") or {}
        values = nested([pair for pair in pairs if pair[0] not in literal])
        values |= {name: _one(asked.form.getall(name)) for name in dict.fromkeys(asked.form) if name in literal}
        return [
            f"the form: {problem}" for problem in schemas.problems(schema, schemas.plain(values, schema), "request")
        ]
    if "json" in kind:
        try:
            value = orjson.loads(asked.body)
        except orjson.JSONDecodeError as error:
            return [f"the body is no JSON: {error}"]
        return [f"the body: {problem}" for problem in schemas.problems(schema, value, "request")]
    return []


def _one(values: list[str]) -> Any:
    return values[0] if len(values) == 1 else values
