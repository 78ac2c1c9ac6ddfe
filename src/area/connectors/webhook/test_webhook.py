"""Requests with correct and wrong signatures for each scheme; tests/robustness sends them through the real endpoint."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from area.connectors.webhook import Incoming, Received, received, service
from area.connectors.webhook.body import read
from area.sdk import Context, Event, Headers, Permanent, Refused, Request

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def request(body: bytes = b"", content_type: str = "", method: str = "POST", **headers: str) -> Request:
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    if content_type:
        pairs.append(("Content-Type", content_type))
    return Request(method, "/hooks/x", Headers(pairs), {"source": "shop"}, body, NOW)


async def one(incoming: Request, **params: Any) -> Event[Received]:
    events = [event async for event in received.function(cast(Context, None), Incoming(**params), incoming)]
    assert len(events) == 1
    return cast(Event[Received], events[0])


async def body_of(body: bytes, content_type: str = "") -> Any:
    return (await one(request(body, content_type))).data.body


def sign(body: bytes, secret: str = "s3cret") -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def check(incoming: Request, **params: Any) -> None:
    assert received.verify is not None
    received.verify.check(incoming, "", Incoming(**params))


async def test_json_arrives_as_data():
    event = await one(
        request(b'{"order": {"id": 42}}', "application/json", X_Shop="1", Cookie="a=b", Authorization="x")
    )
    assert event.data.body == {"order": {"id": 42}}
    assert event.data.headers == {"content-type": "application/json", "x-shop": "1"}
    assert event.data.query == {"source": "shop"}
    assert event.data.method == "POST"
    assert event.data.picked is None
    assert event.at == NOW


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"", "application/json", None),
        (b"", "", None),
        (b'{"a": 1}', "application/vnd.api+json; charset=utf-8", {"a": 1}),
        (b"\xef\xbb\xbf[1]", "application/json", [1]),
        ('{"a": "\u20ac"}'.encode("utf-16"), "application/json; charset=UTF-16", {"a": "€"}),
        (b'"text"', "application/json", "text"),
        (b'{"a": 1}', "application/x-www-form-urlencoded", {"a": 1}),  # curl -d
        (b' {"a": 1}', "text/plain; charset=UTF-8", {"a": 1}),  # Amazon SNS
        (b'{"a": 1}', "", {"a": 1}),
        (b"{not json", "text/plain", "{not json"),
        (b"a=1&b=x+y&b=%C3%A9&c=", "application/x-www-form-urlencoded", {"a": "1", "b": ["x y", "é"], "c": ""}),
        (b"hello", "text/plain", "hello"),
        (b"hello", "", "hello"),
        (b"caf\xe9", "text/plain; charset=iso-8859-1", "café"),
        (b"caf\xe9", 'text/plain; charset="windows-1252"', "café"),
        (b"<a/>", "application/xml", "<a/>"),
        (b"\x89PNG\x00\xff", "image/png", base64.b64encode(b"\x89PNG\x00\xff").decode()),
        (b"a\x00b", "application/octet-stream", base64.b64encode(b"a\x00b").decode()),
        (b"abc", "application/octet-stream", base64.b64encode(b"abc").decode()),
        (b"a\x00b", "", base64.b64encode(b"a\x00b").decode()),
        (b'"cut \\ud83d"', "application/json", "cut \ufffd"),
        (b'{"a": "\xff!"}', "application/json", {"a": "\ufffd!"}),
        (b'{"a": "\xc3\xa9"}', "application/json; charset=ISO-8859-1", {"a": "é"}),
        (b"caf\xe9!", "text/plain", "café!"),
        (b"a=%E9%21", "application/x-www-form-urlencoded", {"a": "é!"}),
        (b"q=%E9", "application/x-www-form-urlencoded; charset=iso-8859-1", {"q": "é"}),
        (b"q=%82%A0&a=%00", "application/x-www-form-urlencoded; charset=shift_jis", {"q": "あ", "a": "\0"}),
        (b"x", "text/plain; charset=klingon", "x"),
        (b"x", "text/plain; charset=unicode_escape", "x"),
        (
            b'<?xml version="1.0" encoding="ISO-8859-1"?><a>\xe9</a>',
            "text/xml",
            '<?xml version="1.0" encoding="ISO-8859-1"?><a>é</a>',
        ),
        (b"<a>\xe9</a>", "application/xml; charset=iso-8859-1", "<a>é</a>"),
        (b'{"a": "\\\\u0000"}', "application/json", {"a": "\\u0000"}),  # a backslash and u0000, no NUL
    ],
)
async def test_bodies(body, content_type, expected):
    assert await body_of(body, content_type) == expected


async def test_form_with_files():
    parts = (
        b'--B\r\nContent-Disposition: form-data; name="title"\r\n\r\ncaf\xc3\xa9\r\n'
        b'--B\r\nContent-Disposition: form-data; name="tag"\r\n\r\na\r\n'
        b'--B\r\nContent-Disposition: form-data; name="tag"\r\n\r\nb\r\n'
        b'--B\r\nContent-Disposition: form-data; name="f"; filename="x.bin"\r\nContent-Type: image/png\r\n\r\n\x00\r\n\xff\r\n'
        b"--B--\r\n"
    )
    event = await one(request(parts, "multipart/form-data; boundary=B"))
    assert event.data.body == {
        "title": "café",
        "tag": ["a", "b"],
        "f": {"filename": "x.bin", "content_type": "image/png", "base64": base64.b64encode(b"\x00\r\n\xff").decode()},
    }


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("name=\"f\"; filename*=utf-8''caf%C3%A9.png", "café.png"),
        ("name=\"f\"; filename*=iso-8859-1'fr'caf%E9.png", "café.png"),
        ('name="f"; FILENAME* = "UTF-8\'\'a%22b.png"', 'a"b.png'),
        ("name=\"f\"; filename*=UTF-8''a%0D%0Ab.png", "a b.png"),
        ('name="f"; filename="plain.png"; filename*=utf-8\'\'caf%C3%A9.png', "plain.png"),
    ],
)
async def test_a_file_whose_name_is_not_ascii_stays_a_file(disposition, name):
    part = f"--b\r\nContent-Disposition: form-data; {disposition}\r\nContent-Type: image/png\r\n\r\n"
    body = part.encode() + b"\x89PNG filename*=x\r\n--b--\r\n"
    file = (await body_of(body, "multipart/form-data; boundary=b"))["f"]
    assert (file["filename"].replace("%22", '"'), file["content_type"]) == (name, "image/png")
    assert base64.b64decode(file["base64"]) == b"\x89PNG filename*=x"


@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        (b"{", "application/json", "declared as JSON"),
        (b"{'a': 1}", "application/json", "declared as JSON"),
        (b"NaN", "application/json", "declared as JSON"),
        (b"&".join(b"a=1" for _ in range(1001)), "application/x-www-form-urlencoded", "1,000 fields"),
        (b"--X\r\n", "multipart/form-data", "multipart"),
        (
            b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--B',
            "multipart/form-data; boundary=B",
            "incomplete",
        ),
        (b"nothing of the kind", "multipart/form-data; boundary=B", "multipart"),
        (b"[" * 101 + b"]" * 101, "application/json", "100 levels"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "application/json", "100 levels"),
        (b"[" * 100_000 + b"]" * 100_000, "application/json", "declared as JSON"),
    ],
)
async def test_what_can_not_be_kept_is_refused_with_a_sentence(body, content_type, said):
    with pytest.raises(Permanent, match=said) as caught:
        await body_of(body, content_type)
    assert str(caught.value).endswith(".")


async def test_what_is_accepted_can_be_written_again():
    body = await body_of(b"[" * 100 + b"]" * 100, "application/json")
    orjson.dumps({"a": {"b": {"c": body}}})
    wide = orjson.dumps([{"a": [index]} for index in range(5000)])
    assert len(await body_of(wide, "application/json")) == 5000


@given(
    st.binary(max_size=200) | st.text(alphabet='{}[]",:\\u0\0%&=--B\r\n\ufeff', max_size=60).map(lambda t: t.encode()),
    st.sampled_from(
        ["application/json", "a/b+json", "text/plain", "application/x-www-form-urlencoded", "a/b", "", ";;="]
    )
    | st.sampled_from(
        ["multipart/form-data; boundary=B", "multipart/form-data", "text/plain; charset=utf-16", "é; charset="]
    )
    | st.text(max_size=40),
)
def test_whatever_comes_is_kept_or_refused(body, content_type):
    try:
        value = read(body, content_type)
    except Permanent:
        return
    assert json.loads(orjson.dumps(value)) == value


async def test_requests_without_a_name_are_events_of_their_own():
    same = request(b"{}", "application/json")
    assert (await one(same)).id == ""


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Idempotency_Key": "k-1"}, "idempotency-key:k-1"),
        ({"webhook_id": "msg_1"}, "webhook-id:msg_1"),
        ({"webhook_id": "msg_1", "Idempotency_Key": "k-1"}, "idempotency-key:k-1"),
    ],
)
async def test_requests_that_name_themselves_keep_their_name(headers, expected):
    assert (await one(request(**headers))).id == expected


async def test_long_names_are_hashed():
    long = (await one(request(Idempotency_Key="x" * 8000))).id
    assert long == (await one(request(Idempotency_Key="x" * 8000))).id
    assert long != (await one(request(Idempotency_Key="x" * 8001))).id
    assert len(long) <= 255
    assert len((await one(request(Idempotency_Key="x" * 239))).id) == 255


async def test_only_the_signed_name_counts_where_names_are_signed():
    incoming = request(webhook_id="msg_1", Idempotency_Key="made up by who repeats it")
    assert (await one(incoming, signature="standard_webhooks", secret=SECRET)).id == "webhook-id:msg_1"


@pytest.mark.parametrize(
    ("pick", "expected"),
    [
        ("order.items[0].sku", "a"),
        ("order.items[*].{s: sku, n: n}", [{"s": "a", "n": 1}, {"s": "b", "n": 2}]),
        ("order.items[?n > `1`].sku | [0]", "b"),
        ("nothing.there", None),
        ("length(nothing)", None),
        ("&order", None),
        ("to_number('99999999999999999999')", None),
        ("", None),
    ],
)
async def test_pick(pick, expected):
    body = orjson.dumps({"order": {"items": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}]}})
    assert (await one(request(body, "application/json"), pick=pick)).data.picked == expected


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"pick": "a["}, "a valid JMESPath"),
        ({"pick": "foo(a)"}, "Unknown function"),
        ({"pick": "a b"}, "Unexpected token"),
        ({"pick": "(" * 400 + "a" + ")" * 99}, "a valid JMESPath"),
        ({"pick": "a" * 501}, "500"),
        ({"signature": "md5"}, "hmac_sha256"),
        ({"signature": "hmac_sha256"}, "Enter the secret"),
        ({"signature": "hmac_sha256", "secret": ""}, "Enter the secret"),
        ({"signature": "standard_webhooks", "secret": "  "}, "Enter the secret"),
        ({"signature_header": "not a header"}, "header name"),
        ({"signature_header": "X\r\nY"}, "header name"),
    ],
)
def test_wrong_parameters_are_refused(params, said):
    with pytest.raises(ValidationError, match=said):
        Incoming(**params)


def test_the_secret_does_not_show():
    assert "s3cret" not in repr(Incoming(signature="hmac_sha256", secret="s3cret"))


def test_without_a_signature_the_address_is_the_proof():
    check(request(b"x"))
    assert received.verify is not None
    assert received.verify.reason


@pytest.mark.parametrize("encode", [lambda mac: mac, lambda mac: f"sha256={mac}", lambda mac: f"sha256={mac.upper()}"])
def test_hmac_in_hexadecimal(encode):
    check(request(b"body", X_Signature_256=encode(sign(b"body"))), signature="hmac_sha256", secret="s3cret")


def test_hmac_in_base64_in_another_header():
    mac = base64.b64encode(bytes.fromhex(sign(b"body"))).decode()
    incoming = request(b"body", X_Shopify_Hmac_Sha256=mac)
    check(incoming, signature="hmac_sha256", secret="s3cret", signature_header="X-Shopify-Hmac-SHA256")


@pytest.mark.parametrize(
    "given",
    ["", "sha256=", sign(b"other"), sign(b"body", "other"), sign(b"body")[:-1], "sha1=" + sign(b"body"), "é" * 64],
)
def test_wrong_hmac_is_refused(given):
    with pytest.raises(Refused):
        check(request(b"body", X_Signature_256=given), signature="hmac_sha256", secret="s3cret")


def standard(body: bytes, stamp: int, secret: str = SECRET) -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"msg_1.{stamp}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(mac).decode()}"
    return {"webhook_id": "msg_1", "webhook_timestamp": str(stamp), "webhook_signature": signature}


def test_standard_webhooks():
    stamp = int(NOW.timestamp())
    check(request(b"body", **standard(b"body", stamp)), signature="standard_webhooks", secret=SECRET)
    for headers in ({}, standard(b"other", stamp), standard(b"body", stamp - 301)):
        with pytest.raises(Refused):
            check(request(b"body", **headers), signature="standard_webhooks", secret=SECRET)


@pytest.mark.parametrize("signature", ["hmac_sha256", "standard_webhooks"])
@pytest.mark.parametrize("secret", [None, ""])
def test_a_lost_secret_refuses(signature, secret):
    """The parameters can't be saved so; should the secret be lost later, nothing is accepted."""
    assert received.verify is not None
    params = Incoming.model_construct(signature=signature, secret=secret, signature_header="X-Signature-256", pick=None)
    incoming = request(b"body", X_Signature_256=sign(b"body", ""), **standard(b"body", int(NOW.timestamp())))
    with pytest.raises(Refused):
        received.verify.check(incoming, "", params)


def test_fixture_is_what_the_action_returns():
    sample = json.loads(Path(__file__).with_name("fixtures").joinpath("received.json").read_text())
    assert set(sample["data"]) == set(Received.model_fields)
    Received.model_validate(sample["data"])
    assert list(service.actions) == ["received"]
