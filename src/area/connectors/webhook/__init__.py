"""Webhook: an address of one's own that any program can send a request to."""

import hashlib
import math
import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import lru_cache
from typing import Annotated, Any, Literal, cast

import jmespath
import orjson
from jmespath.exceptions import JMESPathError, JMESPathTypeError
from jmespath.functions import Functions
from pydantic import AfterValidator, BaseModel, Field, SecretStr, model_validator

from area.connectors.webhook.body import read
from area.sdk import Context, Event, Request, Service, Verify, hmac_sha256, standard_webhooks

MAX_GROWTH = 100
LEFT_OUT = frozenset({"cookie", "authorization", "proxy-authorization"})

service = Service(
    "webhook",
    "Webhook",
    "Starts an AREA when any program sends a request to an address made for it.",
    quality="verified",
)


_compiled: Callable[[str], Any] = lru_cache(1024)(jmespath.compile)
_functions: Any = Functions()


def _growth(node: Any) -> int:
    """How many times its input the result of a JMESPath node can be: multi-selects are what copies."""
    if node["type"] == "function_expression":
        with suppress(JMESPathTypeError):  # the name and the number of arguments are checked first
            _functions.call_function(node["value"], [None] * len(node["children"]))
    grown = [_growth(child) for child in node["children"] if isinstance(child, dict)]
    return max(2, sum(grown)) if node["type"].startswith("multi_select") else math.prod(grown)


def _jmespath(path: str) -> str:
    try:
        growth = _growth(_compiled(path).parsed)
    except (JMESPathError, RecursionError) as error:
        reason = str(error).partition("\n")[0].removesuffix(", for expression:").rstrip(".:")
        raise ValueError(f"This is no JMESPath ({reason}); write one such as order.items[0].sku.") from error
    if growth > MAX_GROWTH:
        raise ValueError("This JMESPath could multiply its input more than a hundred times; select fewer things.")
    return path


def _header_name(name: str) -> str:
    if not re.fullmatch(r"[!#$%&'*+.^`|~\w-]+", name, re.ASCII):
        raise ValueError(f"{name!r} is no header name; write one such as X-Signature-256.")
    return name


class Incoming(BaseModel):
    """What to read from a request, and how it proves where it comes from."""

    pick: Annotated[str, AfterValidator(_jmespath)] | None = Field(
        None,
        description="JMESPath of a part of the body, which becomes the value `picked`",
        examples=["order.items[0].sku"],
        max_length=500,
    )
    signature: Literal["none", "hmac_sha256", "standard_webhooks"] = Field(
        "none", description="How the sender signs; none: knowing the address is enough", examples=["hmac_sha256"]
    )
    secret: SecretStr | None = Field(
        None, description="Secret that the sender signs with", examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
    )
    signature_header: Annotated[str, AfterValidator(_header_name)] = Field(
        "X-Signature-256",
        description="Header that holds the signature (hmac_sha256)",
        examples=["X-Hub-Signature-256"],
        max_length=100,
    )

    @model_validator(mode="before")
    @classmethod
    def _blank_is_left_out(cls, values: Any) -> Any:
        return {k: v for k, v in values.items() if v not in (None, "")} if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _signed_with_a_secret(self) -> "Incoming":
        if self.signature != "none" and not (self.secret and self.secret.get_secret_value().strip()):
            raise ValueError(f"Enter the secret that the sender signs with, for the signature {self.signature!r}.")
        return self


class Received(BaseModel):
    """The request."""

    body: Any = Field(
        None,
        description="The body: parsed JSON, a form as an object, text, binary as base64; null if empty",
        examples=[{"order": {"id": 42}}],
    )
    headers: dict[str, str] = Field(
        description="The headers, names in lower case, without cookies and passwords",
        examples=[{"content-type": "application/json"}],
    )
    query: dict[str, str] = Field(description="The parameters in the address, after ?", examples=[{"source": "shop"}])
    method: str = Field(description="The HTTP method", examples=["POST"])
    picked: Any = Field(None, description="What `pick` selects; null if it finds nothing", examples=["SKU-1"])


_standard_webhooks = standard_webhooks()


def _check(request: Request, _secret: str, params: BaseModel) -> None:
    """Check as the AREA's parameters say; the secret is the one that the user entered there."""
    wanted = cast(Incoming, params)
    secret = wanted.secret.get_secret_value() if wanted.secret else ""
    if wanted.signature == "standard_webhooks":
        _standard_webhooks.check(request, secret, params)
    elif wanted.signature == "hmac_sha256":
        given = request.headers.get(wanted.signature_header, "")
        prefix = "sha256=" if given.startswith("sha256=") else ""
        encoding: Literal["hex", "base64"] = "hex" if len(given) - len(prefix) == 64 else "base64"
        hmac_sha256(wanted.signature_header, prefix, encoding).check(request, secret, params)


@service.webhook(
    "A request arrives",
    verify=Verify("as the AREA says", _check, 'With the signature "none", the unguessable address is all the proof.'),
)
async def received(ctx: Context, params: Incoming, request: Request) -> AsyncIterator[Event[Received]]:  # noqa: ARG001
    """Someone sends a request, of any method, to the address of the AREA.

    Each request is an event of its own, unless it names itself with `Idempotency-Key` or `webhook-id`: one name fires once.
    """
    headers = dict(request.headers)
    body = read(request.body, headers.get("content-type", ""))
    yield Event(
        _identity(headers, signed=params.signature == "standard_webhooks"),
        Received.model_construct(
            body=body,
            headers={name: value for name, value in headers.items() if name not in LEFT_OUT},
            query=dict(request.query),
            method=request.method,
            picked=_pick(params.pick, body) if params.pick else None,
        ),
        request.received_at,
    )


def _identity(headers: dict[str, str], *, signed: bool) -> str:
    """Name of the event. Where `webhook-id` is signed nothing else counts: another header could make a replay look new."""
    for name in ("webhook-id",) if signed else ("idempotency-key", "webhook-id"):
        if value := headers.get(name):
            identity = f"{name}:{value}"
            return identity if len(identity) <= 255 else f"{name}:sha256:{hashlib.sha256(value.encode()).hexdigest()}"
    return ""


def _pick(path: str, body: Any) -> Any:
    try:
        found = _compiled(path).search(body)
        orjson.dumps(found)  # a number over 64 bits and an unapplied &expression can be computed, but not stored
    except (JMESPathError, TypeError, RecursionError):
        return None
    return found
