"""Webhook signatures. Every check is on the raw bytes, in constant time, and a missing secret refuses.

A verifier has a function of the request, the secret and the AREA's parameters, which raises `Refused`.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
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


class Refused(SentenceError):
    """The request does not prove where it comes from. The message is for the sender, and says nothing of the secret."""


FORM = Sentence("The %(header)s header is missing or malformed.")
MISMATCH = Sentence("The signature doesn't match the body.")


@dataclass(frozen=True, slots=True)
class Verify:
    """A named check; `name` is shown in the catalog, `reason` only when the check is that there is none."""

    name: str
    proof: Callable[[Request, str, BaseModel], None]
    reason: str = ""
    uses_secret: bool = False  # the one that AREA makes for each address, which the sender must be told
    uses_client_secret: bool = False  # that of AREA's registration at the vendor, instead
    in_address: bool = False  # the sender is given an address that ends with `?token=`, as `token_of` makes it

    def check(self, request: Request, secret: str, params: BaseModel) -> None:
        """Return when `request` proves where it comes from; `secret` is empty when none is set, which raises `Refused`,
        too.
        """
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

    With `client`, by the client secret of AREA's registration at the vendor; else by the secret of the AREA's address.
    `with_url` is for vendors that sign the address that they were told, too, right after the body.
    """

    def proof(request: Request, secret: str, _params: BaseModel) -> None:
        given = request.headers.get(header, "")
        if not given.startswith(prefix) or len(given) == len(prefix):
            raise Refused(FORM, header=header)
        signed = request.body + request.url.encode() if with_url else request.body
        digest = hmac.new(secret.encode(), signed, algorithm).digest()
        expected = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
        sent = given[len(prefix) :]
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

    Svix, which they come from, calls the headers `svix-id`, `svix-timestamp` and `svix-signature`
    (https://docs.svix.com/receiving/verifying-payloads/how-manual); these are taken too, but no mix of the two.
    """

    def proof(request: Request, secret: str, _params: BaseModel) -> None:
        headers = request.headers
        brand = "webhook" if "webhook-signature" in headers else "svix"
        message_id, stamp, signatures = (
            headers.get(f"{brand}-{part}", "") for part in ("id", "timestamp", "signature")
        )
        if not (message_id and stamp and signatures):
            raise Refused("The webhook-id, webhook-timestamp or webhook-signature header is missing.")
        _check_stamp(request, stamp, f"{brand}-timestamp")
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            key = secret.encode()
        if not key:
            raise Refused("This webhook's secret is empty, so nothing can be accepted.")
        signed = f"{message_id}.{stamp}.".encode() + request.body
        expected = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
        if not any(hmac.compare_digest(one.encode(), expected) for one in signatures.split(" ")):
            raise Refused(MISMATCH)

    return Verify("Standard Webhooks", proof, uses_secret=True)


def hmac_timestamped(header: str) -> Verify:
    """HMAC-SHA256 of `<t>.<body>` in a header written `t=<seconds>,v1=<hex>`, with a `v1` for each secret, as Stripe
    signs.

    A time more than five minutes away from now is refused, so that what was overheard can't be sent again later.
    """

    def proof(request: Request, secret: str, _params: BaseModel) -> None:
        pairs = [part.strip().partition("=")[::2] for part in request.headers.get(header, "").split(",")]
        stamp = next((value for name, value in pairs if name == "t"), "")
        signatures = [value for name, value in pairs if name == "v1" and value]
        if not (stamp and signatures):
            raise Refused(FORM, header=header)
        _check_stamp(request, stamp, header)
        expected = hmac.new(secret.encode(), f"{stamp}.".encode() + request.body, hashlib.sha256).hexdigest().encode()
        if not any(hmac.compare_digest(one.encode(), expected) for one in signatures):
            raise Refused(MISMATCH)

    return Verify(f"timestamped HMAC-SHA256 in {header}", proof, uses_secret=True)


def hmac_versioned(header: str, stamp_header: str, version: str = "v0") -> Verify:
    """HMAC-SHA256 of `v0:<seconds>:<body>` in `header`, written `v0=<hex>`, the time in a header of its own, as Slack
    signs.

    A time more than five minutes away from now is refused, so that what was overheard can't be sent again later.
    """

    def proof(request: Request, secret: str, _params: BaseModel) -> None:
        stamp = request.headers.get(stamp_header, "")
        _check_stamp(request, stamp, stamp_header)
        signed = f"{version}:{stamp}:".encode() + request.body
        expected = f"{version}={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"
        if not hmac.compare_digest(request.headers.get(header, "").encode(), expected.encode()):
            raise Refused(MISMATCH)

    return Verify(f"timestamped HMAC-SHA256 in {header}", proof, uses_secret=True)


def _check_stamp(request: Request, stamp: str, header: str) -> None:
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > LONGEST_TIMESTAMP:
        raise Refused("%(header)s has no time in seconds.", header=header)
    if abs(request.received_at.timestamp() - int(stamp)) > TOLERANCE:
        raise Refused("The time in %(header)s is more than five minutes from now.", header=header)


def shared_token(header: str) -> Verify:
    """A fixed secret that the vendor repeats in `header` of each delivery."""

    def proof(request: Request, secret: str, _params: BaseModel) -> None:
        if not hmac.compare_digest(request.headers.get(header, "").encode(), secret.encode()):
            raise Refused("The %(header)s header doesn't have the agreed token.", header=header)

    return Verify(f"token in {header}", proof, uses_secret=True)


def bearer_jwt() -> Verify:
    """A JWT (RFC 7519) in the Authorization header that the vendor signed with the client secret, by HMAC-SHA256.

    It proves who calls, not what is sent. It is refused five minutes after its `exp`, or after its `iat` if it has no
    `exp`, and when it has neither.
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
            raise Refused("The token doesn't say when it ends.")
        if request.received_at.timestamp() - ends > TOLERANCE:
            raise Refused("The token has expired.")

    return Verify("JWT in Authorization", proof, uses_client_secret=True)


def secret_in_query(name: str) -> Verify:
    """The secret of the address once more, as a parameter of it, for senders that can be given nothing else."""

    def proof(request: Request, secret: str, _params: BaseModel) -> None:
        _same_in_query(request, name, secret)

    return Verify(f"{name} in the address", proof, uses_secret=True)


def token_of(secret: str) -> str:
    """What the address of a service's webhooks carries for `address_token`, by which nobody finds out the client
    secret.
    """
    return hmac.new(secret.encode(), b"the address of webhooks", hashlib.sha256).hexdigest()


def address_token() -> Verify:
    """An unguessable `?token=` in the address, made from the client secret, for senders that take nothing else."""

    def proof(request: Request, secret: str, _params: BaseModel) -> None:
        _same_in_query(request, "token", token_of(secret))

    return Verify("token in the address", proof, uses_client_secret=True, in_address=True)


def _same_in_query(request: Request, name: str, expected: str) -> None:
    if not hmac.compare_digest(request.query.get(name, "").encode(), expected.encode()):
        raise Refused("The address doesn't have the agreed token.")


def unsigned(reason: str) -> Verify:
    """No check, because of `reason`: the AREA's unguessable address is all the proof there is."""
    if not reason.strip():
        raise ValueError("unsigned() needs the reason why nothing can be checked.")
    return Verify("unsigned", lambda _request, _secret, _params: None, reason)
