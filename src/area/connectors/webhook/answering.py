"""What a run answers the request that started it: status, body and headers."""

import re
from typing import Annotated, Any, Literal

import orjson
from pydantic import BeforeValidator

from area.sdk import Number, Permanent, Sentence, param
from area.sdk.fields import Form
from area.sdk.shapes import HTML, JSON, Shape, as_text, by_format, json_document

LONGEST = 500_000  # characters of a body
MOST_HEADERS = 50
BREAKS = re.compile(r"[\0\n\x0b\x0c\r\x1c-\x1e\x85\u2028\u2029]")  # what str.splitlines breaks at, and NUL
# others frame the message, or would act on AREA's own pages, as a cookie or a question for a password does
HEADERS = frozenset({
    "age", "allow", "cache-control", "content-disposition", "content-language", "etag", "expires", "last-modified",
    "link", "location", "retry-after", "vary",
})  # fmt: skip

# what reverse proxies obey: some serve any file or internal address that such a header names
# https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ignore_headers
FOR_PROXIES = ("x-accel-", "x-sendfile", "x-lighttpd-", "x-litespeed-", "x-reproxy-", "x-forwarded-")

ContentType = Literal["text/plain", "text/html", "application/json", "application/xml", "text/xml"]


def _pairs(text: str) -> list[list[str]]:
    """Name and value of each line."""
    return [line.split(":", 1) for line in text.splitlines() if line.strip()]


def _header_table(given: Any) -> Any:
    """Headers from an object, from the text of one, or from lines `Name: value`."""
    if isinstance(given, str):
        text = given
        given = json_document(text) if text.lstrip().startswith("{") else _pairs(text)
    if isinstance(given, list):
        if any(not isinstance(pair, list) or len(pair) != 2 for pair in given):
            raise ValueError("Enter one header per line, such as Cache-Control: no-store, or a JSON object.")
        given = {as_text(name).strip(): content for name, content in given}
    if not isinstance(given, dict):
        return given
    if len(given) > MOST_HEADERS:
        raise ValueError(Sentence("Enter at most %(most)s headers.", most=MOST_HEADERS))
    return {name: _header(name, as_text(content).strip()) for name, content in given.items()}


def _header(name: str, content: str) -> str:
    lower = name.lower()
    if not re.fullmatch(r"[\w-]+", name, re.ASCII) or not (lower in HEADERS or lower.startswith("x-")):
        raise ValueError(
            Sentence(
                "The header %(name)s can't be set here. Use one that begins with X-, or one of: %(names)s.",
                name=name[:100],
                names=", ".join(sorted(HEADERS)),
            )
        )
    if lower.startswith(FOR_PROXIES):
        raise ValueError(
            Sentence("The header %(name)s is an instruction for a reverse proxy. Remove it.", name=name[:100])
        )
    if lower in ("x-request-id", "x-content-type-options", "x-frame-options"):
        raise ValueError(Sentence("AREA sets the header %(name)s itself. Remove it.", name=name))
    if BREAKS.search(content) or not content.isascii():
        raise ValueError(Sentence("The header %(name)s may only contain one line of ASCII characters.", name=name))
    return content


class Answering(Form):
    """The response to the request that started the run."""

    status: Annotated[int, param("HTTP status", 200, ge=200, le=599)] = 200
    content_type: Annotated[ContentType, param("Content type of the body", "application/json")] = "application/json"
    body: Annotated[
        Any,
        param(
            "Body: text, or a JSON object or list",
            '{"id": "{{result.id}}"}',
            shape=by_format(
                "content_type",
                {"application/json": JSON, "": JSON, "text/html": HTML, "text/xml": HTML, "application/xml": HTML},
            ),
        ),
    ] = None
    headers: Annotated[
        Annotated[dict[str, str], BeforeValidator(_header_table)] | None,
        param(
            "Headers, as a JSON object or one `Name: value` per line",
            "Cache-Control: no-store",
            shape=Shape(split=lambda text: json_document(text) if text.lstrip().startswith("{") else _pairs(text)),
        ),
    ] = None

    def written(self) -> str:
        """The body as text. Raises `Permanent` if it is too long."""
        text = (
            self.body if isinstance(self.body, str) else "" if self.body is None else orjson.dumps(self.body).decode()
        )
        if len(text) > LONGEST:
            raise Permanent(
                Sentence(
                    "The body has %(size)s characters; the limit is %(most)s.",
                    size=Number(len(text)),
                    most=Number(LONGEST),
                )
            )
        return text
