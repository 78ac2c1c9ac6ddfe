"""Signatures that are proved by a certificate at the sender's address: Amazon SNS and PayPal."""

import base64
import re
import zlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm

from area.connectors.webhook.body import read
from area.connectors.webhook.public_keys import PublicKey, is_signed
from area.sdk import Context, Permanent, Refused, Request
from area.sdk.verify import FORM, MISMATCH

MOST_KEPT = 50  # certificates
LARGEST = 20_000  # bytes of a certificate
AMAZON = re.compile(r"sns\.[a-z0-9-]{3,40}\.amazonaws\.com(\.cn)?")
PAYPAL = re.compile(r"api(-m)?(\.sandbox)?\.paypal\.com")
# https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message-verify-message-signature.html
NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")

_certificates: dict[str, x509.Certificate] = {}


@dataclass(frozen=True, slots=True)
class Statement:
    """What a request says about its signature. `confirm` is the page that confirms a subscription."""

    content: bytes
    signature: bytes
    hash: HashAlgorithm
    certificate: str
    is_event: bool = True
    confirm: str = ""


def statement(signature: str, request: Request, secret: str) -> Statement:
    """Read what a request says, of the topic (`sns`) or the webhook (`paypal`) named `secret`. Raises `Refused`."""
    return _of_sns(request, secret) if signature == "sns" else _of_paypal(request, secret)


async def is_event(ctx: Context, signature: str, request: Request, secret: str) -> bool:
    """Check the signature, and whether the request is an event. A subscription to the topic is confirmed.

    Raises `Refused`, and `Retry` if the certificate can't be fetched now.
    """
    said = statement(signature, request, secret)
    key = await _key(ctx, said.certificate, request)
    if not is_signed(key, said.signature, said.content, said.hash):
        raise Refused(MISMATCH)
    if said.confirm:
        # https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html#http-subscription-confirmation-json
        await ctx.http.anonymous.call("GET", said.confirm)
    return said.is_event


def _of_sns(request: Request, topic: str) -> Statement:
    try:
        message: Any = read(request.body, "application/json")
    except Permanent as error:
        raise Refused(MISMATCH) from error
    if not isinstance(message, dict) or not all(isinstance(message.get(name), str) for name in ("Type", "Signature")):
        raise Refused("The message has no signature of Amazon SNS. Switch off raw message delivery.")
    if not topic or message.get("TopicArn") != topic:
        raise Refused("The message is of another topic.")
    kind, version = message["Type"], str(message.get("SignatureVersion"))
    if version not in ("1", "2"):
        raise Refused(MISMATCH)
    names = NOTIFICATION if kind == "Notification" else CONFIRMATION
    content = "".join(f"{name}\n{message[name]}\n" for name in names if isinstance(message.get(name), str))
    return Statement(
        content.encode(),
        _decoded(message["Signature"]),
        SHA1() if version == "1" else SHA256(),  # noqa: S303 - Amazon's default
        _at(message.get("SigningCertURL"), AMAZON),
        is_event=kind == "Notification",
        confirm=_at(message.get("SubscribeURL"), AMAZON) if kind == "SubscriptionConfirmation" else "",
    )


def _of_paypal(request: Request, webhook_id: str) -> Statement:
    """https://developer.paypal.com/api/rest/webhooks/rest/#link-messagesignature"""
    headers = request.headers
    transmission, time, signature = (headers.get(f"paypal-transmission-{name}", "") for name in ("id", "time", "sig"))
    if not (transmission and time and signature):
        raise Refused(FORM, header="Paypal-Transmission-Sig")
    if not webhook_id or headers.get("paypal-auth-algo") != "SHA256withRSA":
        raise Refused(MISMATCH)
    content = f"{transmission}|{time}|{webhook_id}|{zlib.crc32(request.body)}".encode()
    return Statement(content, _decoded(signature), SHA256(), _at(headers.get("paypal-cert-url"), PAYPAL))


async def _key(ctx: Context, url: str, request: Request) -> PublicKey:
    """The public key of the certificate at `url`, which must be in force."""
    certificate = _certificates.get(url)
    if certificate is None:
        try:
            response = await ctx.http.anonymous.call("GET", url, max_bytes=LARGEST)
            certificate = x509.load_pem_x509_certificate(response.body)
        except (Permanent, ValueError) as error:
            raise Refused("The certificate that the message names can't be read.") from error
        for oldest in [*_certificates][: len(_certificates) - MOST_KEPT + 1]:
            del _certificates[oldest]
        _certificates[url] = certificate
    if not certificate.not_valid_before_utc <= request.received_at <= certificate.not_valid_after_utc:
        raise Refused("The certificate that the message names has expired.")
    key = certificate.public_key()
    if not isinstance(key, PublicKey):
        raise Refused(MISMATCH)
    return key


def _at(url: Any, hosts: re.Pattern[str]) -> str:
    """The URL, if it is at one of the sender's hosts."""
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        if parts.scheme == "https" and hosts.fullmatch(parts.netloc):
            return parts.geturl()
    except ValueError:
        pass
    raise Refused("The message names a certificate or page that isn't the sender's.")


def _decoded(signature: str) -> bytes:
    try:
        return base64.b64decode(signature, validate=True)
    except ValueError:
        return b""
