"""The API reference page: the OpenAPI document as plain HTML, without scripts or external resources."""

import base64
import hashlib
import html
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from area.kit import problems

router = APIRouter()

STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#dfe4ea;--back:#fff;--card:#f6f8fa;--link:#0b62c4;
--get:#0b62c4;--post:#18794e;--patch:#9a5b00;--delete:#b42318}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa5b4;--line:#2c3440;--back:#12161c;--card:#1a2028;--link:#6cb2ff;
--get:#6cb2ff;--post:#4cc38a;--patch:#f0b54c;--delete:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;font:16px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--back)}
.page{display:grid;grid-template-columns:16rem minmax(0,1fr);max-width:76rem;margin:0 auto}
nav{position:sticky;top:0;align-self:start;height:100vh;overflow:auto;padding:2rem 1rem;
border-right:1px solid var(--line)}
nav a{display:block;padding:.15rem .5rem;color:var(--soft);text-decoration:none;border-radius:.3rem}
nav a:hover,nav a:focus{color:var(--ink);background:var(--card)}
nav strong{display:block;margin:0 0 .75rem .5rem;font-size:1.15rem}
main{padding:2rem;min-width:0}
h1{margin:0 0 1rem;font-size:1.8rem}
h2{margin:2.5rem 0 .75rem;font-size:1.25rem;text-transform:capitalize}
a{color:var(--link)}
code{font:.875em ui-monospace,monospace;background:var(--card);padding:.1em .3em;border-radius:.25em;
overflow-wrap:anywhere}
details{border:1px solid var(--line);border-radius:.5rem;margin:.5rem 0;overflow:hidden}
summary{display:flex;flex-wrap:wrap;gap:.25rem .75rem;align-items:baseline;padding:.55rem .9rem;cursor:pointer;
background:var(--card)}
summary:focus-visible,a:focus-visible{outline:2px solid var(--link);outline-offset:-2px}
summary span{color:var(--soft);margin-left:auto}
summary code{background:none;padding:0}
.method{font:600 .8rem ui-monospace,monospace;min-width:4rem}
.get{color:var(--get)}.post{color:var(--post)}.patch{color:var(--patch)}.delete{color:var(--delete)}
.inside{padding:.5rem .9rem 1rem}
h3{font-size:.95rem;margin:1.1rem 0 .3rem;color:var(--soft)}
table{width:100%;border-collapse:collapse;font-size:.92rem}
td,th{text-align:left;vertical-align:top;padding:.35rem .5rem .35rem 0;border-top:1px solid var(--line)}
td:first-child{white-space:nowrap;padding-right:1rem}
small{color:var(--soft)}
@media(max-width:760px){.page{display:block}nav{position:static;height:auto;border:0;
border-bottom:1px solid var(--line)}
nav a{display:inline-block}main{padding:1.25rem}td:first-child{white-space:normal}}
"""
POLICY = (
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-"
    f"{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
)
NESTED = 3  # nested objects that are shown

_PROBLEMS = (
    problems.Unauthenticated,
    problems.Forbidden,
    problems.NotFound,
    problems.Conflict,
    problems.Gone,
    problems.PreconditionFailed,
    problems.TooLarge,
    problems.Unsupported,
    problems.Misdirected,
    problems.Invalid,
    problems.TooMany,
)
# those of the framework and of webhooks
_OTHERS = (
    ("bad-request", 400, "Malformed request"),
    ("signature-refused", 401, "A webhook's signature is missing or wrong"),
    ("circle", 409, "AREAs call each other's webhooks without end"),
    ("method-not-allowed", 405, "This address doesn't support this method"),
    ("request-timeout", 408, "The body did not arrive in time"),
    ("unsupported-media-type", 415, "The body's encoding isn't supported"),
    ("internal-server-error", 500, "Internal error; the server's log has the request id"),
    ("service-unavailable", 503, "Unavailable for now; `Retry-After` says when to try again"),
)


@router.get("/api/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """The page."""
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache", "Referrer-Policy": "no-referrer"}
    return HTMLResponse(_once(request.app), headers=headers)


@cache
def _once(app: Any) -> str:
    return render(app.openapi())


def render(document: Mapping[str, Any]) -> str:
    """The OpenAPI document as a page."""
    groups: dict[str, list[str]] = defaultdict(list)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            groups[operation.get("tags", ["other"])[0]].append(_operation(document, method, path, operation))
    title = html.escape(document["info"]["title"])
    links = "".join(f'<a href="#{html.escape(tag)}">{html.escape(tag)}</a>' for tag in [*groups, "problems"])
    sections = "".join(
        f'<section id="{html.escape(tag)}"><h2>{html.escape(tag)}</h2>{"".join(parts)}</section>'
        for tag, parts in groups.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,'
        f'initial-scale=1"><title>{title}: REST API</title><style>{STYLE}</style></head><body><div class="page">'
        f'<nav aria-label="Sections"><strong>{title} API</strong>{links}'
        '<a href="/api/openapi.json">openapi.json</a></nav>'
        f"<main><h1>REST API <small>{html.escape(document['info']['version'])}</small></h1>"
        f"{_prose(document['info'].get('description', ''))}{sections}{_problems()}</main></div></body></html>"
    )


def _problems() -> str:
    known = [(problem.code, problem.status, problem.title) for problem in _PROBLEMS]
    rows = "".join(
        f'<tr id="{code}"><td><code>{code}</code></td><td>{status}</td><td>{html.escape(title)}</td></tr>'
        for code, status, title in sorted({*known, *_OTHERS}, key=lambda row: (row[1], row[0]))
    )
    return (
        f'<section id="problems"><h2>problems</h2><table><tr><th>code<th>status<th>meaning</tr>{rows}</table></section>'
    )


def _operation(document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [_prose(operation.get("description", ""))]
    if operation.get("security") == []:
        parts.append("<p><small>Needs no log-in.</small></p>")
    if operation.get("parameters"):
        rows = "".join(
            _row(
                parameter["name"],
                parameter["schema"],
                parameter.get("description"),
                f"{parameter['in']}{', required' if parameter.get('required') else ''}",
            )
            for parameter in operation["parameters"]
        )
        parts.append(f"<h3>Parameters</h3><table>{rows}</table>")
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<h3>Body <small>{html.escape(kind)}</small></h3>{_schema(document, content.get('schema', {}))}")
    parts.append("<h3>Answers</h3><table>")
    for status, answer in operation.get("responses", {}).items():
        described = _words(answer.get("description", ""))
        content = answer.get("content", {})
        shown = "".join(
            _schema(document, media.get("schema", {})) for kind, media in content.items() if kind == "application/json"
        )
        parts.append(f"<tr><td>{html.escape(status)}</td><td>{described}{shown}</td></tr>")
    parts.append("</table>")
    summary = html.escape(operation.get("summary", ""))
    return (
        f'<details id="{html.escape(operation.get("operationId", ""))}"><summary><span class="method {method}">'
        f"{method.upper()}</span><code>{html.escape(path)}</code><span>{summary}</span></summary>"
        f'<div class="inside">{"".join(parts)}</div></details>'
    ).replace("", "")


def _schema(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    rows = "".join(_rows(document, schema, "", NESTED))
    return f"<table>{rows}</table>" if rows else f"<p><small>{html.escape(_type(schema))}</small></p>"


def _rows(document: Mapping[str, Any], schema: Mapping[str, Any], prefix: str, levels: int) -> Iterator[str]:
    """A row for each property, followed by those of nested objects."""
    schema = _resolved(document, schema)
    for name, field in schema.get("properties", {}).items():
        required = "required" if name in schema.get("required", []) else ""
        yield _row(prefix + name, field, field.get("description"), required)
        inner, mark = _resolved(document, field), "."
        if inner.get("type") == "array":
            inner, mark = _resolved(document, inner.get("items", {})), "[]."
        if inner.get("properties") and levels:
            yield from _rows(document, inner, f"{prefix}{name}{mark}", levels - 1)


def _row(name: str, schema: Mapping[str, Any], description: str | None, note: str) -> str:
    words = html.escape(", ".join(word for word in (_type(schema), note) if word))
    return (
        f"<tr><td><code>{html.escape(name)}</code></td><td>{_words(description or '')} <small>{words}</small></td></tr>"
    )


def _prose(text: str) -> str:
    """Paragraphs, `code` and **bold**: the only Markdown that our descriptions use."""
    return "".join(f"<p>{paragraph}</p>" for paragraph in _words(text).split("\n\n") if paragraph.strip())


def _words(text: str) -> str:
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", escaped)


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema behind a reference, or behind a choice between one schema and null."""
    for option in schema.get("anyOf", []):
        if "$ref" in option:
            schema = option
    if "$ref" in schema:
        target: Mapping[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return target
    return schema


def _type(schema: Mapping[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    kind = str(schema.get("format") or schema.get("type") or "anything")
    if "maxLength" in schema:
        kind += f", at most {schema['maxLength']} characters"
    return kind
