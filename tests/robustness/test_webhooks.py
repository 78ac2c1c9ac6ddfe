"""Hostile webhooks: each gets a clear 4xx, or an execution that ends; never a 5xx, and the worker goes on."""

import asyncio
import io
import json

import orjson
import pytest
import pytest_asyncio

from tests.robustness.conftest import begin_exchange, exchange, sentence

MEGABYTE = 1_000_000
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
TEXT = {"Content-Type": "text/plain"}


def multipart(body):
    return body, {"Content-Type": "multipart/form-data; boundary=x"}


BODIES = {
    "braces": (b"{" * MEGABYTE, {}),
    "braces, as JSON": (b"{" * MEGABYTE, JSON),
    "brackets, as JSON": (b"[" * MEGABYTE, JSON),
    "placeholders": (b"{{body}}" * (MEGABYTE // 8), TEXT),
    "one byte too many": (b" " * (MEGABYTE + 1), {}),
    "deep list": (b"[" * 100_000 + b"]" * 100_000, JSON),
    "deep object": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, JSON),
    "deep object, undeclared": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, {}),
    "253 levels": (b"[" * 253 + b"]" * 253, JSON),
    "255 levels": (b"[" * 255 + b"]" * 255, JSON),
    "500,000 values": (b"[" + b"0," * 499_998 + b"0]", JSON),
    "100,000 keys": (orjson.dumps({str(number): number for number in range(70_000)}), JSON),
    "one long key": (orjson.dumps({"k" * 990_000: 1}), JSON),
    "the same key again and again": (b"{" + b'"a":1,' * 100_000 + b'"a":2}', JSON),
    "NUL": (b"a\0b", {}),
    "NUL, as text": (b"a\0b", TEXT),
    "NUL in JSON": (rb'{"id":"a\u0000b"}', JSON),
    "NUL in a JSON key": (rb'{"a\u0000b":1}', JSON),
    "escaped backslash before u0000": (rb'{"id":"a\\u0000b"}', JSON),
    "NUL in a form": (b"a=%00&%00=b", FORM),
    "only NULs": (b"\0" * MEGABYTE, {}),
    "lone high surrogate": (rb'{"id":"\ud800"}', JSON),
    "lone low surrogate, undeclared": (rb'{"id":"\udc00"}', {}),
    "surrogate in UTF-8": (b'{"id":"\xed\xa0\x80"}', JSON),
    "surrogate in a form": (b"a=%ED%A0%80", FORM),
    "1e400": (b'{"id":1e400}', JSON),
    "-1e400, undeclared": (b'{"id":-1e400}', {}),
    "10**5000": (b'{"id":1' + b"0" * 5000 + b"}", JSON),
    "2**64": (b'{"id":18446744073709551616}', JSON),
    "a tiny number of many digits": (b'{"id":0.' + b"0" * 300_000 + b"1}", JSON),
    "NaN": (b'{"id":NaN}', JSON),
    "infinity": (b'{"id":-Infinity}', JSON),
    "null": (b"null", JSON),
    "a number": (b"42", JSON),
    "a text": (b'"text"', JSON),
    "a list where an object is expected": (b'[{"id":1}]', JSON),
    "empty, as JSON": (b"", JSON),
    "spaces, as JSON": (b" " * 100_000, JSON),
    "cut off": (b'{"id":', JSON),
    "two documents": (b'{"id":1}{"id":2}', JSON),
    "a comment": (b'{"id":1}//', JSON),
    "byte order mark": (b"\xef\xbb\xbf" + b'{"id":1}', JSON),
    "UTF-16": ('{"id":"é"}'.encode("utf-16"), JSON),
    "UTF-16, undeclared": ('{"id":"é"}'.encode("utf-16"), {}),
    "invalid UTF-8": (b'{"id":"\xff\xfe\xc3("}', JSON),
    "invalid UTF-8, as text": (b"\xff\xfe\xc3(", TEXT),
    "overlong UTF-8": (b"\xc0\xae\xc0\xae", TEXT),
    "Latin-1 that says UTF-8": ("é".encode("latin-1"), {"Content-Type": "text/plain; charset=utf-8"}),
    "unknown charset": (b"x", {"Content-Type": "text/plain; charset=klingon"}),
    "a charset that is a codec": (b"x", {"Content-Type": "text/plain; charset=rot13"}),
    "a charset that is quadratic": (b"x" * 100_000, {"Content-Type": "text/plain; charset=idna"}),
    "UTF-7": (b"+ADw-script+AD4-", {"Content-Type": "text/plain; charset=utf-7"}),
    "a charset of 8 KB": (b"x", {"Content-Type": "text/plain; charset=" + "x" * 8000}),
    "content type of semicolons": (b"{}", {"Content-Type": ";" * 8000}),
    "empty content type": (b"{}", {"Content-Type": ""}),
    "gzip that is none": (b"not gzip", {"Content-Encoding": "gzip"}),
    "many fields": (b"&".join(b"a=1" for _ in range(200_000)), FORM),
    "a form of ampersands": (b"&" * MEGABYTE, FORM),
    "a form of per cents": (b"%" * MEGABYTE, FORM),
    "multipart without a boundary": (b"--x\r\n", {"Content-Type": "multipart/form-data"}),
    "multipart without an end": multipart(b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nvalue'),
    "multipart with a header of a megabyte": multipart(b"--x\r\nA: " + b"b" * 990_000 + b"\r\n\r\n1\r\n--x--"),
    "multipart of many parts": multipart(
        b"".join(b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' for _ in range(15_000)) + b"--x--"
    ),
    "multipart with NULs": multipart(
        b'--x\r\nContent-Disposition: form-data; name="a\0b"\r\n\r\nc\0d\r\n--x\r\nContent-Disposition: form-data;'
        b' name="f"; filename="../../etc/passwd\0"\r\n\r\nx\r\n--x--'
    ),
    "multipart with invalid UTF-8": multipart(
        b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n\xed\xa0\x80\r\n--x--'
    ),
    "XML bomb": (
        b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><a>&b;</a>',
        {"Content-Type": "application/xml"},
    ),
}


@pytest_asyncio.fixture(scope="session")
async def addresses(site):
    """Webhooks whose reactions do something with all that comes in."""
    to = f"{site.here}/sink"
    templates = [
        {"url": to, "body": '{"body": "{{body}}", "id": "{{body.id}}", "query": "{{query}}"}'},
        {"url": to, "body": "{{body}}", "headers": '{"X-Id": "{{body.id}}", "X-Q": "{{query.q}}"}'},
        {"url": to + "/{{body.id}}?q={{query.q}}", "body": "{{body | truncate:100 | upper}}{{body | json}}"},
        {"url": "{{body.id}}", "method": "{{method}}", "timeout_seconds": "{{body.id}}"},
    ]
    results = [
        await site.make("webhook.received", {"pick": "id"}, "http.request", **parameters) for parameters in templates
    ]
    results.append(
        await site.make(
            "webhook.received",
            {"only_if": 'body.id == "x" or body matches "(a+)+$" or body.id > 10'},
            "inbox.post",
            title="{{picked}}",
            body="{{body}}",
        )
    )
    return [area["webhook_url"] for area in results]


async def check(site, address, status, answer):
    """A 4xx that says why, or an execution that ends and says why."""
    assert status < 500 or (status == 503 and b"This AREA is off" in answer), (status, answer)
    if status >= 400:
        assert status in (400, 401, 404, 405, 411, 413, 414, 422, 431, 503), (status, answer)
        assert sentence(orjson.loads(answer)["detail"]), answer
        return
    end = await site.ended(orjson.loads(answer)["execution_id"])
    if end["status"] != "success":
        assert sentence(end["error_message"]), end


@pytest.mark.parametrize("name", BODIES)
async def test_bodies(site, addresses, name):
    body, headers = BODIES[name]
    for address in addresses[:2] if len(body) > 200_000 else addresses:  # the large ones are slow to read
        async with site.session.post(address, data=io.BytesIO(body), headers=headers) as answer:
            await check(site, address, answer.status, await answer.read())
    await site.lives()


@pytest.mark.parametrize(
    "query",
    [
        "q=%00", "q=%ED%A0%80", "q=%FF%FE", "%", "&" * 5000, "q=" + "x" * 7000, "=&=&=", "q[]=1&q[a]=2", "q=%0d%0aX-Evil:1",
        "&".join(f"a{number}=1" for number in range(1000)), "q={{body}}", "%u0000=1",
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
async def test_queries(site, addresses, query):
    for address in addresses:
        status, answer = await raw(site, address, b"POST", query.encode(), b'{"id":1}', JSON)
        await check(site, address, status, answer)
    await site.lives()


HEADERS = {
    "a header of 60 KB": {"X-Long": "x" * 60_000},
    "200 headers": {f"X-{number}": "1" for number in range(200)},
    "binary": {"X-Binary": "\x80\xff\xfe"},
    "a long key": {"Idempotency-Key": "k" * 5000},
    "a binary key": {"Idempotency-Key": "\xff\xfe\xed\xa0\x80"},
    "an empty key": {"Idempotency-Key": ""},
    "a key of spaces": {"Idempotency-Key": " \t "},
    "a key that looks like SQL": {"Idempotency-Key": "'); drop table areas; --"},
    "a tab": {"X-Tab": "a\tb"},
    "expectation": {"Expect": "200-maybe"},
    "forwarded": {"X-Forwarded-For": "::1, 'x', " + "1.1.1.1," * 500},
    "an upgrade": {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "x"},
    "method override": {"X-HTTP-Method-Override": "DELETE"},
}


@pytest.mark.parametrize("name", HEADERS)
async def test_headers(site, addresses, name):
    for address in addresses[:2]:
        status, answer = await raw(site, address, b"POST", b"", b'{"id":1}', {**JSON, **HEADERS[name]})
        if orjson_or_none(answer) is None:
            assert status in (400, 404, 405, 417, 426, 431), (status, answer)  # the server's own, before AREA is asked
        elif status != 200:  # a key that was sent to this address before
            await check(site, address, status, answer)
    await site.lives()


def orjson_or_none(answer):
    try:
        return orjson.loads(answer)
    except orjson.JSONDecodeError:
        return None


CUT_OFF = ("length without a body", "less than the length", "half a chunk", "no last chunk")
WIRE = {
    "length without a body": b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n",
    "less than the length": b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{}",
    "half a chunk": b"POST %b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
    "no last chunk": b"POST %b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "a chunk of a wrong size": b"POST %b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a huge chunk": b"POST %b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n{}",
    "two lengths": b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a negative length": b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n{}",
    "a length of 5,000 digits": b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
    + b"9" * 5000
    + b"\r\n\r\n{}",
    "length and chunks": (
        b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "a NUL in a header": b"POST %b HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: a\0b\r\nContent-Length: 2\r\n\r\n{}",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00" + b"%b",
    "HTTP/9.9": b"POST %b HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "a method of 1,000 letters": b"X" * 1000 + b" %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("name", WIRE)
async def test_the_wire(site, name):
    """A request that ends too early is no event, and one that is malformed hurts nobody."""
    area = await site.make("webhook.received", {}, "http.request", url=f"{site.here}/sink", body="{{body}}")
    path = area["webhook_url"].removeprefix(site.area.url).encode()
    cut_off = name in CUT_OFF
    request = WIRE[name].replace(b"%b", path)
    answer = await asyncio.to_thread(begin_exchange, site.area.port, request, cut_off=cut_off)
    assert not answer.startswith((b"HTTP/1.1 5", b"HTTP/1.0 5")), answer
    await site.lives()
    if cut_off:
        assert not answer.startswith((b"HTTP/1.1 2", b"HTTP/1.0 2")), answer
        assert not await site.database.fetch("select id from area_executions where area_id = $1", area["id"])


async def raw(site, address, method, query, body, headers):
    """A request as written here, which no client library would send."""
    path = address.removeprefix(site.area.url).encode()
    provided = {"Host": "localhost", **headers}
    lines = [method + b" " + path + (b"?" + query if query else b"") + b" HTTP/1.1"]
    lines += [name.encode("latin-1") + b": " + value.encode("latin-1") for name, value in provided.items()]
    lines += [b"Content-Length: %d" % len(body), b"Connection: close", b"", body]
    return await asyncio.to_thread(exchange, site.area.port, b"\r\n".join(lines))


PATHS = ["", "/", "%00", "..%2f..", "%ff", "%ed%a0%80", "x" * 5000, "a/b", "a?b", "%s%n", "{{body}}", "é"]


@pytest.mark.parametrize("path", PATHS, ids=lambda text: text[:10] or "empty")
async def test_addresses_that_nobody_has(site, path):
    status, answer = await asyncio.to_thread(
        exchange,
        site.area.port,
        f"POST /hooks/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode(),
    )
    assert status in (400, 404, 405, 414), answer


# What a hostile user may write into an AREA

TEMPLATES = {
    "a megabyte of braces": "{" * MEGABYTE,
    "a megabyte of opened placeholders": "{{" * (MEGABYTE // 2),
    "a megabyte of closed ones": "{{body}}" * (MEGABYTE // 8),
    "filters without end": "{{body" + " | upper" * 10_000 + "}}",
    "a path without end": "{{body" + ".a" * 100_000 + "}}",
    "a great truncation": "{{body | truncate:99999999999999999999}}",
    "a growing replacement": '{{body | replace:"","' + "x" * 10_000 + '" | replace:"x","' + "y" * 10_000 + '"}}',
    "a NUL": "a\0b",
    "attributes": "{{body.__class__.__mro__}}",
    "code": "{{7*7}}{% for a in b %}${7*7}<%= 7 %>",
    "deep JSON": '{"a":' * 5000 + '"{{body}}"' + "}" * 5000,
    "a list that grows": "[" + ",".join(['"{{body}}"'] * 20_000) + "]",
}


@pytest.mark.parametrize("name", TEMPLATES)
async def test_templates(site, name):
    parameters = {"url": f"{site.here}/sink", "body": TEMPLATES[name]}
    await saved_or_refused(site, {"component": "http.request", "parameters": parameters})


PARAMETERS = {
    "a number where a text is": {"url": 5},
    "a list where a text is": {"url": ["a"]},
    "an object where a text is": {"url": {"a": {"b": []}}},
    "null": {"url": None},
    "nothing": {},
    "unknown ones": {"url": "http://127.0.0.1/", "__proto__": 1, "self": 1, "": 2},
    "1e400 as a text": {"url": "http://127.0.0.1/", "timeout_seconds": "1e400"},
    "NaN as a text": {"url": "http://127.0.0.1/", "timeout_seconds": "nan"},
    "10**5000 as a text": {"url": "http://127.0.0.1/", "timeout_seconds": "1" + "0" * 5000},
    "true": {"url": "http://127.0.0.1/", "timeout_seconds": True},
    "a file": {"url": "file:///etc/passwd"},
    "the metadata service": {"url": "http://169.254.169.254/latest/meta-data"},
    "a line break in a header": {"url": "http://127.0.0.1/", "headers": {"X-A": "a\r\nX-B: c"}},
    "a NUL in an address": {"url": "http://127.0.0.1/\0"},
    "a port of many digits": {"url": "http://127.0.0.1:" + "9" * 5000},
    "a host of 100,000 letters": {"url": "http://" + "a" * 100_000},
    "an IPv6 address without an end": {"url": "http://[::1"},
}


@pytest.mark.parametrize("name", PARAMETERS)
async def test_parameters(site, name):
    await saved_or_refused(site, {"component": "http.request", "parameters": PARAMETERS[name]})


async def saved_or_refused(site, reaction):
    """Refused with a 422 that says why; or saved, and then it runs or fails with a sentence."""
    body = {"name": "hostile", "action": {"component": "webhook.received"}, "reaction": reaction}
    status, answer = await site.api("POST", "/api/areas", json=body)
    assert status in (201, 400, 413, 422), (status, answer)
    if status != 201:
        assert answer["detail"], answer
        return
    for sent in (b'{"id":1}', b"x" * 100_000):
        async with site.session.post(answer["webhook_url"], data=io.BytesIO(sent)) as hook:
            assert hook.status == 202, await hook.text()
            end = await site.ended((await hook.json())["execution_id"])
        if end["status"] != "success":
            assert sentence(end["error_message"]), end
    await site.lives()
    await site.api("DELETE", f"/api/areas/{answer['id']}")


RAW = {
    "1 MB of braces": b"{" * MEGABYTE,
    "deep": b'{"name":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "NUL": rb'{"name":"a\u0000b"}',
    "surrogate": rb'{"name":"\ud800"}',
    "1e400": b'{"name":1e400}',
    "10**5000": b'{"name":1' + b"0" * 5000 + b"}",
    "invalid UTF-8": b'{"name":"\xff"}',
    "a list": b"[]",
    "null": b"null",
    "empty": b"",
    "3 MB": b'{"name":"' + b"x" * 3 * MEGABYTE + b'"}',
    "wrong types": json.dumps({"name": [], "action": 5, "reaction": {"component": {}, "parameters": "x"}}).encode(),
    "a component of many digits": b'{"name":"x","action":{"component":99999999999999},"reaction":{"component":-1}}',
}


@pytest.mark.parametrize("name", RAW)
@pytest.mark.parametrize("path", ["/api/areas", "/api/auth/login", "/api/auth/register"])
async def test_the_api_refuses_it_with_a_sentence(site, path, name):
    status, answer = await site.api("POST", path, data=io.BytesIO(RAW[name]), headers=JSON)
    assert status in (400, 413, 422), (status, answer)
    assert answer["detail"], answer
