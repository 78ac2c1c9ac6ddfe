"""A loopback server that plays a vendor and rejects what the vendor's description doesn't allow."""

import contextlib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Self
from urllib.parse import urlsplit

import orjson
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from multidict import CIMultiDictProxy, MultiDict, MultiMapping

from area.kit.text import did_you_mean
from area.sdk.http import Access
from area.sdk.testing.checks import Broken, check
from area.sdk.testing.descriptions import JSON, Description, Finder, Operation


@dataclass(frozen=True, slots=True)
class Asked:
    """A received request. `route` is the path template, `params` its values; `json` and `form` are parsed."""

    method: str
    host: str
    path: str
    route: str
    params: Mapping[str, str]
    query: MultiMapping[str]
    headers: CIMultiDictProxy[str]
    body: bytes
    json: Any = None
    form: MultiDict[str] = field(default_factory=MultiDict)


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to return. `status` defaults to the first described success.

    `unchecked` says why the response doesn't have to match the description.
    """

    status: int = 0
    json: Any = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    unchecked: str = ""


Answered = tuple[Asked, Answer]
READS = {"GET", "HEAD"}


class Double:
    """Play the vendor of `description` at its URLs `at`, where `*` matches part of a host or path.

    Use it with `async with`; at the end it raises `AssertionError` if a request or response violated the description.
    Without a description every request needs a response declared by `on`. `token` is the expected bearer token,
    `access` the expected headers or parameters; without both, `connector` uses what its service sends.
    """

    def __init__(
        self,
        description: Description | None,
        at: str | tuple[str, ...] = "",
        *,
        token: str | None = None,
        access: Access | None = None,
    ) -> None:
        self.description = description
        self.access = access or (Access(headers={"Authorization": f"Bearer {token}"}) if token else None)
        self.asked: list[Asked] = []
        self.answered: list[Answered] = []
        self.answers_again: dict[tuple[str, str], Answer | None] = {}
        self.broken: list[str] = []
        self.url = ""
        self._at = at
        self._handlers: dict[tuple[str, str], Any] = {}
        self._failing: Answer | None = None
        self._repeat: Repeat | None = None
        self._server: RawTestServer | None = None

    @property
    def at(self) -> tuple[str, ...]:
        """The vendor's base URLs."""
        if self._at:
            return (self._at,) if isinstance(self._at, str) else self._at
        assert self.description is not None, "say where the vendor is: at=…"
        return (self.description.server,)

    def on(self, method: str, route: str, answer: Any) -> None:
        """Respond to requests to a path template with JSON, an `Answer`, or the result of a (coroutine) function of
        `Asked`.

        The latest for a route applies. Raises `AssertionError` if the description has no such route.
        """
        if self.description is not None:
            routes = self.description.routes
            hint = (
                did_you_mean(route, list(routes))
                if route not in routes
                else f" It has {', '.join(routes.get(route, ()))}."
            )
            assert method in routes.get(route, ()), f"{self.description.name} has no {method} {route}{hint}"
        self._handlers[method, route] = answer

    def again(self, method: str, route: str, answer: Answer | None = None) -> None:
        """Say that the vendor takes a repeated request to this route for what is done already, and what it answers:
        `answer`, or what it answered first.
        """
        self.answers_again[method, route] = answer

    @contextlib.contextmanager
    def repeating(self, answered: Sequence[Answered], *, again: bool) -> Iterator["Repeat"]:
        """Answer as it has `answered`, or as `again` says, and forget it afterwards."""
        self._repeat = Repeat(list(answered), self.answers_again if again else {})
        try:
            yield self._repeat
        finally:
            self._repeat = None

    def fails(self, status: int, body: Any = None, **headers: str) -> None:
        """Respond to everything like this until `works`; `Retry_After="7"` sets a header."""
        raw = body if isinstance(body, bytes) else orjson.dumps(body) if body is not None else b""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._failing = Answer(status, body=raw, headers=named)

    def works(self) -> None:
        """Respond as before `fails`."""
        self._failing = None

    def example(self, method: str, route: str, status: int = 0) -> Any:
        """A copy of the description's example response, or a small one generated from its schema."""
        assert self.description is not None, "there is no description to take an example from"
        operation = self.description.operation(method, route)
        content = operation.answer(status or operation.success) or {}
        media = next((media_type for name, media_type in content.items() if "json" in name or name == "*/*"), None)
        return None if media is None else self._example(media)

    def _example(self, media: Mapping[str, Any]) -> Any:
        """The first example that matches its schema, as not all do, or else a generated one."""
        assert self.description is not None
        schemas = self.description.schemas
        examples = [media["example"]] if "example" in media else []
        examples += [schemas.resolved(example).get("value") for example in media.get("examples", {}).values()]
        for value in map(_read, examples):
            if "schema" not in media or not schemas.problems(media["schema"], value, "response"):
                return deepcopy(value)
        return schemas.sample(media["schema"]) if "schema" in media else None

    async def __aenter__(self) -> Self:
        if self.description is not None:
            _ = self.description.document  # a test without it is skipped here
        self._server = RawTestServer(self._handle)
        await self._server.start_server()
        self.url = str(self._server.make_url("/")).rstrip("/")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        assert self._server is not None
        await self._server.close()
        if self.broken and error is not None:
            error.add_note(self.told())
        elif self.broken:
            raise AssertionError(self.told())

    def told(self) -> str:
        """The violations, one per line."""
        name = self.description.name if self.description else "the double"
        return "\n".join([f"Not as {name} has it:", *(f"- {problem}" for problem in self.broken)])

    def plays(self, url: str) -> bool:
        """Whether this vendor serves the URL."""
        return self._below(url) is not None

    def _below(self, url: str) -> str | None:
        """The path below the vendor's base URL."""
        for base in (*self.at, self.url):
            pattern = re.escape(base.rstrip("/")).replace(r"\*", "[^/]+")
            if match := re.match(rf"{pattern}(?=/|$)", url):
                return url[match.end() :] or "/"
        return None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        scheme = "http" if request.headers.get("Host") == urlsplit(self.url).netloc else "https"
        path = self._below(f"{scheme}://{request.headers.get('Host')}{request.rel_url.raw_path}")
        path = path or request.rel_url.raw_path
        what = f"{request.method} {path}"
        try:
            return await self._answer(request, path)
        except Broken as error:
            if error.ours:
                self.broken.append(f"{what}: {error}")
            body = {"message": str(error)}
            return web.json_response(body, status=error.status)
        except Exception as error:  # noqa: BLE001 - told at the end, where it is seen
            self.broken.append(f"{what}: the test's handler failed: {type(error).__name__}: {error}")
            return web.json_response({"message": "The test's handler failed."}, status=500)

    async def _answer(self, request: web.BaseRequest, path: str) -> web.Response:
        body = await request.read()
        route, params, operation = self._route(request.method, path)
        received = await _asked(request, path, route, params, body)
        if self._repeat is None:
            self.asked.append(received)
        if operation is not None:
            assert self.description is not None
            check(self.description, operation, received, self.access)
        elif self.access is not None:
            _let_in(received, self.access)
        if self._repeat is not None and (repeated := self._repeat.answer(received)) is not None:
            return _sent(repeated, _raw(repeated))
        if self._failing is not None:
            self.answered.append((received, self._failing))
            return _sent(self._failing, self._failing.body or b"")
        created = await self._made(received, operation)
        answer = created if isinstance(created, Answer) else Answer(json=created)
        status = answer.status or (operation.success if operation else 200)
        answer = Answer(status, answer.json, answer.body, answer.headers, answer.unchecked)
        if self._repeat is None:
            self.answered.append((received, answer))
        if operation is not None and not answer.unchecked and created is not None:
            self._check_answer(operation, received, answer)
        return _sent(answer, _raw(answer))

    def _route(self, method: str, path: str) -> tuple[str, dict[str, str], Operation | None]:
        if self.description is None:
            own = [route for verb, route in self._handlers if verb == method]
            result = Finder(own).find(path)
            if result is None:
                raise Broken(404, f"nothing answers it; the test has {', '.join(own) or 'nothing'}")
            return *result, None
        result = self.description.find(path)
        if result is None:
            raise Broken(404, f"there is no such path{did_you_mean(path, list(self.description.routes))}")
        methods = self.description.routes[result[0]]
        if method not in methods:
            raise Broken(405, f"{result[0]} takes {', '.join(methods)}")
        return *result, self.description.operation(method, result[0])

    async def _made(self, asked: Asked, operation: Operation | None) -> Any:
        """The test's response, or else the description's example."""
        answer = self._handlers.get((asked.method, asked.route), self)
        if answer is self:
            assert operation is not None
            content = operation.answer(operation.success)
            if content and (example := self.example(asked.method, asked.route)) is not None:
                return Answer(json=example, unchecked="the description's own")
            if content == {}:
                return None
            raise Broken(501, "the description has no example of an answer: say one with `on`")
        if callable(answer):
            answer = answer(asked)
            if inspect.isawaitable(answer):
                answer = await answer
        return answer

    def _check_answer(self, operation: Operation, asked: Asked, answer: Answer) -> None:
        assert self.description is not None
        content = operation.answer(answer.status)
        if content is None:
            if answer.status >= 400:
                return  # few descriptions tell all errors
            raise Broken(500, f"the test answers {answer.status}, which is not described for it")
        media = (
            content[JSON] if JSON in content else next((item for name, item in content.items() if "json" in name), None)
        )
        if answer.body is not None or media is None:
            return
        problems = self.description.wrong(operation, asked, answer.json)
        if "schema" in media:
            problems += self.description.schemas.problems(media["schema"], answer.json, "response")
        if problems:
            raise Broken(500, f"the test answers {answer.status} otherwise than described: {'; '.join(problems[:5])}")


class Repeat:
    """Answers to a later attempt: those to the first one. `asked` is what it sent; `answered_again` is true if one of
    `again` was given.
    """

    def __init__(self, answered: list[Answered], again: Mapping[tuple[str, str], Answer | None]) -> None:
        self.asked: list[Asked] = []
        self.answered_again = False
        self._left = answered
        self._again = again

    def answer(self, asked: Asked) -> Answer | None:
        """None for what the first attempt didn't read: the double answers it as ever."""
        self.asked.append(asked)
        route = (asked.method, asked.route)
        alike = [pair for pair in self._left if (pair[0].method, pair[0].route) == route]
        pair = next((pair for pair in alike if (pair[0].path, pair[0].body) == (asked.path, asked.body)), None)
        pair = pair or (alike[0] if alike else None)
        if pair is not None:
            self._left.remove(pair)
        if again := self._again.get(route):
            self.answered_again = True
            return replace(again, status=again.status or 200)
        return pair[1] if pair else None


def _let_in(asked: Asked, access: Access) -> None:
    for name, value in access.headers.items():
        if asked.headers.get(name) != value:
            raise Broken(401, f"the header {name} must be {value!r}", ours=name not in asked.headers)
    for name, value in access.params.items():
        if asked.query.get(name) != value:
            raise Broken(401, f"the parameter {name} must be {value!r}", ours=name not in asked.query)


async def _asked(request: web.BaseRequest, path: str, route: str, params: dict[str, str], body: bytes) -> Asked:
    parsed: Any = None
    form: MultiDict[str] = MultiDict()
    kind = request.content_type
    if "json" in kind:
        with contextlib.suppress(orjson.JSONDecodeError):
            parsed = orjson.loads(body)
    elif kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        for name, value in (await request.post()).items():
            form.add(name, value if isinstance(value, str) else "(a file)")
    return Asked(
        request.method,
        request.headers.get("Host", ""),
        path,
        route,
        params,
        request.query,
        request.headers,
        body,
        parsed,
        form,
    )


def _read(example: Any) -> Any:
    """An example, which some vendors (Atlassian) write as JSON in a string."""
    with contextlib.suppress(orjson.JSONDecodeError):
        return orjson.loads(example) if isinstance(example, str) else example
    return example


def _raw(answer: Answer) -> bytes:
    return answer.body if answer.body is not None else orjson.dumps(answer.json) if answer.json is not None else b""


def _sent(answer: Answer, raw: bytes) -> web.Response:
    headers = dict(answer.headers)
    if raw and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = JSON
    return web.Response(status=answer.status, body=raw, headers=headers)
