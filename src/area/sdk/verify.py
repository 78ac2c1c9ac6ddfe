"""Webhook signatures. Every check uses the raw bytes, takes constant time, and fails if the secret is missing.

A verifier has a function of the request, the secret and the AREA's parameters, which raises `Refused`.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import jwt
from jwt.types import Options
from pydantic import BaseModel

from area.kit.sentences import Sentence, SentenceError
from area.sdk.events import Request

# times are compared with when the request came, below
_SIGNATURE_ONLY: Options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False}
TOLERANCE = 300  # seconds, both ways, as Standard Webhooks and Stripe advise
LONGEST_TIMESTAMP = 12  # digits; Python refuses to read numbers of thousands of them
PLACEHOLDER = re.compile(r"\{([\w-]+)\}")
MOST_SIGNATURES = 50  # in one header, for senders that are changing their secret


class Refused(SentenceError):
    """The request doesn't prove its origin. The message is for the sender, and doesn't reveal the secret."""

    challenge = ""  # for `WWW-Authenticate` (RFC 9110 §11.6.1)

    @classmethod
    def login(cls, scheme: Literal["Basic", "Bearer"]) -> "Refused":
        """The Authorization header is missing or wrong."""
        error = cls(Sentence("The Authorization header is missing or wrong."))
        error.challenge = f'{scheme} realm="AREA"'
        return error


FORM = Sentence("The %(header)s header is missing or malformed.")
MISMATCH = Sentence("The signature doesn't match the body.")


@dataclass(frozen=True, slots=True)
class Verify:
    """A named check; `name` is shown in the catalog, and `reason` only if there is no check."""

    name: str
    proof: Callable[[Request, str, BaseModel], None]
    reason: str = ""
    uses_secret: bool = False  # the one that AREA makes for each address, which the sender must be told
    uses_client_secret: bool = False  # that of AREA's registration at the vendor, instead
    in_address: bool = False  # the sender is given an address that ends with `?token=`, as `token_of` makes it

    def check(self, request: Request, secret: str, params: BaseModel) -> None:
        """Return if `request` proves its origin. `secret` is empty if none is set, which also raises `Refused`."""
        if not secret and self.uses_client_secret:
            raise Refused("AREA's registration has no client secret, so nothing can be accepted.")
        if not secret and self.uses_secret:
            raise Refused("This webhook has no secret, so nothing can be accepted.")
        self.proof(request, secret, params)


def hmac_signature(
    algorithm: Literal["sha256", "sha1"],
    header: str,
    prefix: str = "",
    encoding: Literal["hex", "base64"] = "hex",
    *,
    client: bool = False,
    with_url: bool = False,
) -> Verify:
    """HMAC of the raw body in `header`, after an optional `prefix` such as `sha256=`, in hex or base64 (RFC 2104).

    With `client`, uses the client secret of AREA's registration at the vendor, otherwise the secret of the AREA's
    webhook URL. `with_url` is for vendors that also sign the URL they were given, right after the body.
    """

    def proof(request: Request, secret: str, _params: BaseModel) -> None:
        provided = request.headers.get(header, "")
        if not provided.startswith(prefix) or len(provided) == len(prefix):
            raise Refused(FORM, header=header)
        signed = request.body + request.url.encode() if with_url else request.body
        digest = hmac.new(secret.encode(), signed, algorithm).digest()
        expected = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
        sent = provided[len(prefix) :]
        if not hmac.compare_digest((sent.lower() if encoding == "hex" else sent).encode(), expected.encode()):
            raise Refused(MISMATCH)

    return Verify(f"HMAC-{algorithm.upper()} in {header}", proof, uses_secret=not client, uses_client_secret=client)


def hmac_sha256(
    header: str, prefix: str = "", encoding: Literal["hex", "base64"] = "hex", *, client: bool = False
) -> Verify:
    """`hmac_signature` with SHA-256."""
    return hmac_signature("sha256", header, prefix, encoding, client=client)


def hmac_sha1(
    header: str, prefix: str = "", encoding: Literal["hex", "base64"] = "hex", *, with_url: bool = False
) -> Verify:
    """`hmac_signature` with SHA-1, for vendors that offer nothing better."""
    return hmac_signature("sha1", header, prefix, encoding, with_url=with_url)


def standard_webhooks() -> Verify:
    """Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature` (https://www.standardwebhooks.com).

    Svix, which created them, calls the headers `svix-id`, `svix-timestamp` and `svix-signature`
    (https://docs.svix.com/receiving/verifying-payloads/how-manual); these are accepted too, but no mix of the two.
    """

    def proof(request: Request, secret: str, _params: BaseModel) -> None:
        headers = request.headers
        brand = "webhook" if "webhook-signature" in headers else "svix"
        message_id, stamp, signatures = (
            headers.get(f"{brand}-{part}", "") for part in ("id", "timestamp", "signature")
        )
        if not (message_id and stamp and signatures):
            raise Refused("The webhook-id, webhook-timestamp or webhook-signature header is missing.")
        check_stamp(request, stamp, f"{brand}-timestamp")
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            key = secret.encode()
        if not key:
            raise Refused("This webhook's secret is empty, so nothing can be accepted.")
        signed = f"{message_id}.{stamp}.".encode() + request.body
        expected = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
        if not any(hmac.compare_digest(signature.encode(), expected) for signature in signatures.split(" ")):
            raise Refused(MISMATCH)

    return Verify("Standard Webhooks", proof, uses_secret=True)


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a sender signs by HMAC (RFC 2104).

    `signed` is what it signs, with `{body}`, `{timestamp}`, `{method}`, `{url}` (with its query) and headers by their
    names filled in. `header` holds one signature or several, in hex or base64, each after a prefix such as `sha256=` or
    without; if there is a `label`, only those after `label=` count. The time is in `timestamp_header`, or in `header`
    after `timestamp_label=`, in seconds, milliseconds or ISO 8601. A time more than five minutes away from now is
    refused, so that what was overheard can't be sent again later.
    """

    header: str
    signed: str = "{body}"
    algorithm: Literal["sha256", "sha1", "sha512"] = "sha256"
    label: str = ""
    timestamp_header: str = ""
    timestamp_label: str = ""

    def check(self, request: Request, secret: str, *, header: str | None = None) -> None:
        """Raises `Refused` unless one of the signatures fits, in `header` if the sender uses another one."""
        self.compare(*self.parts(request, header), secret)

    def parts(self, request: Request, header: str | None = None) -> tuple[str, bytes]:
        """What the header with the signature holds, and what must be signed. Raises `Refused` if a header is missing,
        or the time is more than five minutes away from now.
        """
        header = header or self.header
        sent = request.headers.get(header, "")
        stamp = request.headers.get(self.timestamp_header, "") if self.timestamp_header else ""
        if self.timestamp_label:
            stamp = next(iter(_labelled(sent, self.timestamp_label)), "")
        if not sent:
            raise Refused(FORM, header=header)
        if self.timestamp_header or self.timestamp_label:
            check_stamp(request, stamp, self.timestamp_header or header)

        def filled(name: str) -> bytes:
            match name:
                case "body":
                    return request.body
                case "timestamp":
                    return stamp.encode()
                case "method":
                    return request.method.encode()
                case "url":
                    return full_url(request).encode()
            value = request.headers.get(name, "")
            if not value:
                raise Refused(FORM, header=name)
            return value.encode()

        pieces = PLACEHOLDER.split(self.signed)  # every second one is a placeholder's name
        return sent, b"".join(filled(piece) if index % 2 else piece.encode() for index, piece in enumerate(pieces))

    def compare(self, given: str, signed: bytes, secret: str) -> None:
        """Raises `Refused` unless one of the signatures in `given` is a signature of `signed`."""
        if not secret:
            raise Refused("This webhook has no secret, so nothing can be accepted.")
        expected = hmac.new(secret.encode(), signed, self.algorithm).digest()
        candidates = _labelled(given, self.label) if self.label else _unlabelled(given, self.algorithm)
        if not any(hmac.compare_digest(_digest_of(text, len(expected)), expected) for text in candidates):
            raise Refused(MISMATCH)


def full_url(request: Request) -> str:
    """The URL as the sender called it, with its query."""
    return f"{request.url}?{request.query_string}" if request.query_string else request.url


def _labelled(given: str, label: str) -> list[str]:
    pairs = [part.partition("=")[::2] for part in re.split(r"[,;\s]+", given)[:MOST_SIGNATURES]]
    return [value for name, value in pairs if name.lower() == label and value]


def _unlabelled(given: str, algorithm: str) -> list[str]:
    """Each part, and its text after the prefix, unless the prefix names another algorithm."""
    parts = re.split(r"[,;\s]+", given)[:MOST_SIGNATURES]
    pairs = [(name.lower(), value) for name, _, value in (part.partition("=") for part in parts)]
    return parts + [value for name, value in pairs if value and (not name.startswith("sha") or name == algorithm)]


def _digest_of(text: str, size: int) -> bytes:
    """A digest of `size` bytes in hex, base64 or base64url; empty if it isn't one."""
    try:
        if len(text) == 2 * size:
            return bytes.fromhex(text)
        plain = text.rstrip("=").replace("-", "+").replace("_", "/")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (ValueError, binascii.Error):
        return b""


def hmac_timestamped(header: str) -> Verify:
    """HMAC-SHA256 of `<t>.<body>` in a header of the form `t=<seconds>,v1=<hex>`, with a `v1` for each secret, as
    Stripe signs.

    A time more than five minutes off is rejected, so that an intercepted request can't be replayed later.
    """

    def proof(request: Request, secret: str, _params: BaseModel) -> None:
        pairs = [part.strip().partition("=")[::2] for part in request.headers.get(header, "").split(",")]
        stamp = next((value for name, value in pairs if name == "t"), "")
        signatures = [value for name, value in pairs if name == "v1" and value]
        if not (stamp and signatures):
            raise Refused(FORM, header=header)
        check_stamp(request, stamp, header)
        expected = hmac.new(secret.encode(), f"{stamp}.".encode() + request.body, hashlib.sha256).hexdigest().encode()
        if not any(hmac.compare_digest(signature.encode(), expected) for signature in signatures):
            raise Refused(MISMATCH)

    return Verify(f"timestamped HMAC-SHA256 in {header}", proof, uses_secret=True)


def hmac_versioned(header: str, stamp_header: str, version: str = "v0") -> Verify:
    """HMAC-SHA256 of `v0:<seconds>:<body>` in `header`, of the form `v0=<hex>`, with the time in its own header, as
    Slack signs.

    A time more than five minutes off is rejected, so that an intercepted request can't be replayed later.
    """

    def proof(request: Request, secret: str, _params: BaseModel) -> None:
        stamp = request.headers.get(stamp_header, "")
        check_stamp(request, stamp, stamp_header)
        signed = f"{version}:{stamp}:".encode() + request.body
        expected = f"{version}={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"
        if not hmac.compare_digest(request.headers.get(header, "").encode(), expected.encode()):
            raise Refused(MISMATCH)

    return Verify(f"timestamped HMAC-SHA256 in {header}", proof, uses_secret=True)


def check_stamp(request: Request, stamp: str, header: str) -> None:
    """Raises `Refused` unless the time (seconds, milliseconds or ISO 8601) is at most five minutes off."""
    at = _seconds(stamp)
    if at is None:
        raise Refused("%(header)s has no time in seconds.", header=header)
    if abs(request.received_at.timestamp() - at) > TOLERANCE:
        raise Refused("The time in %(header)s is more than five minutes off.", header=header)


def _seconds(stamp: str) -> float | None:
    if stamp.isascii() and stamp.isdigit() and len(stamp) <= LONGEST_TIMESTAMP + 3:
        return int(stamp) if len(stamp) <= LONGEST_TIMESTAMP else int(stamp) / 1000
    if "T" not in stamp:
        return None
    try:
        moment = datetime.fromisoformat(stamp)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def check_token(request: Request, header: str, secret: str) -> None:
    """Raises `Refused` unless `header` repeats the secret."""
    if not secret or not hmac.compare_digest(request.headers.get(header, "").encode(), secret.encode()):
        raise Refused("The %(header)s header doesn't have the agreed token.", header=header)


def check_bearer(request: Request, secret: str) -> None:
    """Raises `Refused` unless the secret is the bearer token (RFC 6750)."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if not secret or scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), secret.encode()):
        raise Refused.login("Bearer")


def check_basic(request: Request, username: str, password: str) -> None:
    """Raises `Refused` unless the request has this username and password (RFC 7617)."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    try:
        pair = base64.b64decode(credentials.strip(), validate=True)
    except (ValueError, binascii.Error):
        pair = b""
    if not password or scheme.lower() != "basic" or not hmac.compare_digest(pair, f"{username}:{password}".encode()):
        raise Refused.login("Basic")


def shared_token(header: str) -> Verify:
    """A fixed secret that the vendor repeats in `header` of each delivery."""

    def proof(request: Request, secret: str, _params: BaseModel) -> None:
        check_token(request, header, secret)

    return Verify(f"token in {header}", proof, uses_secret=True)


def bearer_jwt() -> Verify:
    """A JWT (RFC 7519) in the Authorization header that the vendor signed with the client secret, by HMAC-SHA256.

    It proves who calls, not what is sent. It is rejected five minutes after its `exp`, or after its `iat` if it has no
    `exp`, and if it has neither.
    """

    def proof(request: Request, secret: str, _params: BaseModel) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            claims = jwt.decode(token.strip(), secret, algorithms=["HS256"], options=_SIGNATURE_ONLY)
        except jwt.InvalidTokenError as error:
            raise Refused("The Authorization header has no token signed with the client secret.") from error
        if scheme.lower() != "bearer" or not secret:
            raise Refused("The Authorization header has no token signed with the client secret.")
        ends = claims.get("exp", claims.get("iat"))
        if isinstance(ends, bool) or not isinstance(ends, int | float):
            raise Refused("The token has no expiry.")
        if request.received_at.timestamp() - ends > TOLERANCE:
            raise Refused("The token has expired.")

    return Verify("JWT in Authorization", proof, uses_client_secret=True)


def secret_in_query(name: str) -> Verify:
    """The secret of the webhook URL as an additional query parameter, for senders that support nothing else."""

    def proof(request: Request, secret: str, _params: BaseModel) -> None:
        _same_in_query(request, name, secret)

    return Verify(f"{name} in the address", proof, uses_secret=True)


def token_of(secret: str) -> str:
    """The token in a service's webhook URL for `address_token`. It doesn't reveal the client secret."""
    return hmac.new(secret.encode(), b"the address of webhooks", hashlib.sha256).hexdigest()


def address_token() -> Verify:
    """An unguessable `?token=` in the URL, derived from the client secret, for senders that support nothing else."""

    def proof(request: Request, secret: str, _params: BaseModel) -> None:
        _same_in_query(request, "token", token_of(secret))

    return Verify("token in the address", proof, uses_client_secret=True, in_address=True)


def _same_in_query(request: Request, name: str, expected: str) -> None:
    if not hmac.compare_digest(request.query.get(name, "").encode(), expected.encode()):
        raise Refused("The address doesn't have the agreed token.")


def unsigned(reason: str) -> Verify:
    """No check, because of `reason`: the AREA's unguessable URL is the only proof."""
    if not reason.strip():
        raise ValueError("unsigned() needs the reason why nothing can be checked.")
    return Verify("unsigned", lambda _request, _secret, _params: None, reason)
