"""Signatures by public keys and certificates, each as its vendor documents it."""

import base64
import json
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, utils
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from area.connectors.webhook import Incoming, certificates, received, service
from area.sdk import Context, Headers, Refused, Request
from area.sdk.testing import Answer, Double, connector

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
STAMP = str(int(NOW.timestamp()))
BODY = '{"id": "evt_1", "text": "Été 👍"}'.encode()
ED = ed25519.Ed25519PrivateKey.generate()
EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
SPKI = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
RAW = ED.public_key().public_bytes_raw()
PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
TOPIC = "arn:aws:sns:eu-west-1:123456789012:doors"
AMAZON, PAYPAL = "https://sns.eu-west-1.amazonaws.com", "https://api.paypal.com"


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def request(headers: dict[str, str], body: bytes = BODY) -> Request:
    return Request("POST", "/hooks/x", Headers(headers.items()), {}, body, NOW, "https://area.example.com/hooks/x")


def es256(signed: bytes) -> bytes:
    """As in a JWT (RFC 7515, appendix A.3): two numbers instead of DER."""
    r, s = utils.decode_dss_signature(EC.sign(signed, ec.ECDSA(SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def stamped(name: str, time: str, sign: Callable[[bytes], str], between: str = "") -> Callable[[bytes], dict[str, str]]:
    return lambda body: {name: sign(f"{STAMP}{between}".encode() + body), time: STAMP}


def standard(body: bytes) -> dict[str, str]:
    signature = b64(ED.sign(f"msg_1.{STAMP}.".encode() + body))
    return {"webhook-id": "msg_1", "webhook-timestamp": STAMP, "webhook-signature": f"v1,AAAA v1a,{signature}"}


EC_KEY = b64(EC.public_key().public_bytes(*SPKI))
SIGNED = {"signed": "{timestamp}.{X-Id}.{body}", "timestamp_header": "X-Time", "signature_header": "X-Sig"}
# by vendor: the choice with its key, and the headers of a body
VENDORS: dict[str, tuple[dict[str, str], Callable[[bytes], dict[str, str]]]] = {
    "discord": (
        {"signature": "discord", "secret": RAW.hex()},
        stamped("X-Signature-Ed25519", "X-Signature-Timestamp", lambda signed: ED.sign(signed).hex()),
    ),
    "telnyx": (
        {"signature": "telnyx", "secret": b64(RAW)},
        stamped("telnyx-signature-ed25519", "telnyx-timestamp", lambda signed: b64(ED.sign(signed)), "|"),
    ),
    "sendgrid": (
        {"signature": "sendgrid", "secret": EC_KEY},
        stamped(
            "X-Twilio-Email-Event-Webhook-Signature",
            "X-Twilio-Email-Event-Webhook-Timestamp",
            lambda signed: b64(EC.sign(signed, ec.ECDSA(SHA256()))),
        ),
    ),
    "standard webhooks, asymmetric": (
        {"signature": "standard_webhooks", "secret": f"whpk_{b64(RAW)}"},
        standard,
    ),
    "wise": (
        {"signature": "public_key", "secret": PEM, "signature_header": "X-Signature-SHA256"},
        lambda body: {"X-Signature-SHA256": b64(RSA.sign(body, PKCS1v15(), SHA256()))},
    ),
    "ES256": (
        {"signature": "public_key", "secret": EC_KEY},
        lambda body: {"X-Signature": f"v0=x, es256={base64.urlsafe_b64encode(es256(body)).decode().rstrip('=')}"},
    ),
    "with an ID": (
        {"signature": "public_key", "secret": RAW.hex(), **SIGNED},
        lambda body: {"X-Sig": ED.sign(f"{STAMP}.7.".encode() + body).hex(), "X-Time": STAMP, "X-Id": "7"},
    ),
}


def accepts(incoming: Request, params: dict[str, str]) -> bool:
    assert received.verify is not None
    try:
        received.verify.check(incoming, "", Incoming(**params))  # type: ignore[arg-type]
    except Refused:
        return False
    return True


@pytest.mark.parametrize("vendor", VENDORS)
def test_what_the_key_signed_is_accepted_and_nothing_else(vendor: str) -> None:
    params, sign = VENDORS[vendor]
    headers = sign(BODY)
    good = request(headers)
    assert accepts(good, params)
    assert not accepts(replace(good, body=BODY + b" "), params)
    for name in headers:
        assert not accepts(request({other: value for other, value in headers.items() if other != name}), params)
        assert not accepts(request(headers | {name: ""}), params)
    other = {"secret": RAW[::-1].hex() if params["secret"] == RAW.hex() else ed25519_key()}
    assert not accepts(good, params | other)
    timed = len(headers) > 1
    for late in (timedelta(seconds=301), timedelta(seconds=-301)):
        assert accepts(replace(good, received_at=NOW + late), params) is not timed


def ed25519_key() -> str:
    return ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()


@pytest.mark.parametrize(
    "secret", ["", "x", "whsec_abc", "AAAA", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"]
)
def test_what_is_no_public_key_is_refused_when_it_is_entered(secret: str) -> None:
    with pytest.raises(ValidationError, match=r"public key|Enter the secret"):
        Incoming(signature="discord", secret=secret)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "params",
    [
        {"signed": "{timestamp}"},
        {"signed": "{timestamp}.{body}"},
        {"timestamp_header": "X-Time"},
        {"signed": "{timestamp}.{body}", "timestamp_header": "not a header"},
    ],
)
def test_what_is_signed_includes_the_body_and_has_its_time(params: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Incoming(signature="hmac_sha256", secret="x", **params)  # type: ignore[arg-type]


def test_discord_tries_by_right_and_wrong_signatures() -> None:
    params, sign = VENDORS["discord"]
    wanted = Incoming(**params)  # type: ignore[arg-type]
    for body, reply in ((b'{"type": 1}', (200, '{"type":1}')), (b'{"type": 0, "application_id": "1"}', (204, ""))):
        answer = received.greeting(request(sign(body), body), wanted)
        assert answer is not None
        assert (answer.status, answer.body) == reply
        assert received.greeting(request(sign(b"another"), body), wanted) is None
        assert not accepts(request(sign(b"another"), body), params), "the wrong one gets 401, as Discord wants"
    for body in (b'{"type": 2}', b'{"type": 1, "event": {}}', b"[1]", b"x"):
        assert received.greeting(request(sign(body), body), wanted) is None


def certificate(days: int = 30) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
    build = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(RSA.public_key())
    build = (
        build.serial_number(1).not_valid_before(NOW - timedelta(days=31)).not_valid_after(NOW + timedelta(days=days))
    )
    return build.sign(RSA, SHA256()).public_bytes(Encoding.PEM)


@pytest.fixture
async def amazon() -> AsyncIterator[Double]:
    certificates._certificates.clear()
    async with Double(None, at=(AMAZON, PAYPAL)) as double:
        double.on("GET", "/cert.pem", Answer(200, body=certificate(), headers={"Content-Type": "text/plain"}))
        double.on("GET", "/old.pem", Answer(200, body=certificate(-1), headers={"Content-Type": "text/plain"}))
        double.on("GET", "/v1/notifications/certs/CERT-1", Answer(200, body=certificate()))
        double.on("GET", "/", Answer(200, body=b"<ConfirmSubscriptionResponse/>"))
        yield double
    certificates._certificates.clear()


@pytest.fixture
async def ctx(amazon: Double) -> AsyncIterator[Context]:
    async with connector(service, amazon) as context:
        yield context


def message(kind: str = "Notification", version: str = "2", **more: str) -> dict[str, str]:
    """A message, signed as Amazon's documentation says."""
    told = {
        "Type": kind,
        "MessageId": "m-1",
        "TopicArn": TOPIC,
        "Message": "The door\nis open",
        "Timestamp": "2026-11-23T09:00:00Z",
    }
    told |= (
        {"Token": "t", "SubscribeURL": f"{AMAZON}/?Action=ConfirmSubscription&Token=t"}
        if kind != "Notification"
        else {}
    )
    told |= more
    names = sorted(name for name in told if name not in ("SigningCertURL", "UnsubscribeURL"))
    content = "".join(f"{name}\n{told[name]}\n" for name in names).encode()
    signature = RSA.sign(content, PKCS1v15(), SHA256() if version == "2" else SHA1())
    return {"SigningCertURL": f"{AMAZON}/cert.pem"} | told | {"SignatureVersion": version, "Signature": b64(signature)}


async def events(ctx: Context, incoming: Request, **params: str) -> list[Any]:
    wanted = Incoming(**params)  # type: ignore[arg-type]
    assert received.verify is not None
    received.verify.check(incoming, "", wanted)
    return [event async for event in received.function(ctx, wanted, incoming)]


async def sns(ctx: Context, told: dict[str, Any], **params: str) -> list[Any]:
    incoming = request({"Content-Type": "text/plain; charset=UTF-8"}, json.dumps(told).encode())
    return await events(ctx, incoming, **{"signature": "sns", "secret": TOPIC, **params})


@pytest.mark.parametrize("version", ["1", "2"])
async def test_amazon_sns(amazon: Double, ctx: Context, version: str) -> None:
    for more in ({}, {"Subject": "Door"}):
        (event,) = await sns(ctx, message(version=version, **more))
        assert (event.id, event.data.body["Message"]) == ("body.MessageId:m-1", "The door\nis open")
    assert [asked.path for asked in amazon.asked] == ["/cert.pem"], "it is fetched once"


async def test_a_subscription_to_the_topic_is_confirmed(amazon: Double, ctx: Context) -> None:
    assert await sns(ctx, message("SubscriptionConfirmation")) == []
    assert amazon.asked[-1].query["Action"] == "ConfirmSubscription"
    asked = len(amazon.asked)
    assert await sns(ctx, message("UnsubscribeConfirmation")) == []
    with pytest.raises(Refused, match="another topic"):
        await sns(ctx, message("SubscriptionConfirmation", TopicArn=f"{TOPIC}2"))
    with pytest.raises(Refused, match="isn't the sender's"):
        await sns(ctx, message("SubscriptionConfirmation", SubscribeURL="https://example.org/"))
    assert len(amazon.asked) == asked


@pytest.mark.parametrize(
    "change",
    [
        {"Message": "The door is closed"},
        {"Subject": "Door"},
        {"TopicArn": f"{TOPIC}2"},
        {"Signature": "AAAA"},
        {"Signature": None},
        {"SignatureVersion": "3"},
        {"SigningCertURL": "https://example.org/cert.pem"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com.example.org/cert.pem"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com@example.org/cert.pem"},
        {"SigningCertURL": "http://sns.eu-west-1.amazonaws.com/cert.pem"},
        {"SigningCertURL": "https://s3.amazonaws.com/cert.pem"},
        {"SigningCertURL": f"{AMAZON}/old.pem"},
        {"SigningCertURL": f"{AMAZON}/"},
        {"SigningCertURL": None},
    ],
)
async def test_other_messages_are_refused(ctx: Context, change: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        await sns(ctx, message() | change)


async def test_raw_messages_are_refused_with_the_way_out(ctx: Context) -> None:
    with pytest.raises(Refused, match="raw message delivery"):
        await sns(ctx, {"door": "open"})


async def test_paypal(amazon: Double, ctx: Context) -> None:
    headers = {
        "Paypal-Transmission-Id": "d938e770-8046-11e6-8103-6b62a8a99ac4",
        "Paypal-Transmission-Time": "2026-11-23T09:00:00Z",
        "Paypal-Auth-Algo": "SHA256withRSA",
        "Paypal-Cert-Url": f"{PAYPAL}/v1/notifications/certs/CERT-1",
    }
    signed = f"{headers['Paypal-Transmission-Id']}|2026-11-23T09:00:00Z|9XL90610J3647323C|{zlib.crc32(BODY)}"
    headers["Paypal-Transmission-Sig"] = b64(RSA.sign(signed.encode(), PKCS1v15(), SHA256()))
    wanted = {"signature": "paypal", "secret": "9XL90610J3647323C"}
    (event,) = await events(ctx, request(headers), **wanted)
    assert event.id == "body.id:evt_1"
    for name in headers:
        with pytest.raises(Refused):
            await events(ctx, request(headers | {name: ""}), **wanted)
    with pytest.raises(Refused):
        await events(ctx, request(headers, BODY + b" "), **wanted)
    with pytest.raises(Refused):
        await events(ctx, request(headers), **wanted | {"secret": "another"})
    with pytest.raises(Refused):
        await events(ctx, request(headers | {"Paypal-Cert-Url": f"{AMAZON}/cert.pem"}), **wanted)
    assert len(amazon.asked) == 1
