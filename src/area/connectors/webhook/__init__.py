"""Webhook: a URL that any program can send requests to."""

import hashlib
import re
from typing import Annotated, Any, Literal, cast

import orjson
from pydantic import AfterValidator, BaseModel, SecretStr, model_validator

from area.connectors.webhook.body import form, read
from area.sdk import (
    Context,
    Event,
    Events,
    Output,
    Permanent,
    Request,
    Service,
    Verify,
    hmac_sha256,
    output,
    param,
    standard_webhooks,
)
from area.sdk.fields import Form
from area.sdk.selection import Budget, JmesPath, TooMuch, evaluate, select

LEFT_OUT = frozenset({"cookie", "authorization", "proxy-authorization"})

service = Service(
    "webhook",
    "Webhook",
    "Run an AREA when any program sends a request to its webhook URL.",
    quality="verified",
)


def _header_name(name: str) -> str:
    if not re.fullmatch(r"[!#$%&'*+.^`|~\w-]+", name, re.ASCII):
        raise ValueError(f"{name!r} is not a valid header name. Use one such as X-Signature-256.")
    return name


class Incoming(Form):
    """What to read from a request, and how the sender signs it."""

    pick: Annotated[
        JmesPath | None,
        param("JMESPath of a part of the body, available as `picked`", "order.items[0].sku"),
    ] = None
    signature: Annotated[
        Literal["none", "hmac_sha256", "standard_webhooks"],
        param("How the sender signs requests; with none, knowing the URL is enough", "hmac_sha256"),
    ] = "none"
    secret: Annotated[
        SecretStr | None, param("Secret the sender signs with", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    ] = None
    signature_header: Annotated[
        str,
        AfterValidator(_header_name),
        param("Header with the signature (hmac_sha256)", "X-Hub-Signature-256", max_length=100),
    ] = "X-Signature-256"

    @model_validator(mode="after")
    def _signed_with_a_secret(self) -> "Incoming":
        if self.signature != "none" and not (self.secret and self.secret.get_secret_value().strip()):
            raise ValueError(f"Enter the secret the sender signs with, for the signature {self.signature!r}.")
        return self


class Received(Output):
    body: Any = output(
        "body",
        "Body: parsed JSON, form fields as an object, text, or binary as base64; null if empty",
        {"order": {"id": 42}},
        None,
    )
    headers: dict[str, str] = output(
        "headers",
        "Headers, with lower-case names and without cookies and passwords",
        {"content-type": "application/json"},
    )
    query: dict[str, Any] = output("query", "Query parameters; a repeated name becomes a list", {"source": "shop"})
    method: str = output("method", "HTTP method", "POST")
    picked: Any = output("picked", "The part selected by `pick`; null if nothing matches", "SKU-1", None)


_standard_webhooks = standard_webhooks()


def _check(request: Request, _secret: str, params: BaseModel) -> None:
    """Verify the signature as the parameters say, with the secret entered there."""
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
    "New request",
    verify=Verify("as the AREA says", _check, 'With the signature "none", the unguessable address is all the proof.'),
)
async def received(ctx: Context, params: Incoming, request: Request) -> Events[Received]:
    """Triggers for each request, of any method, to the AREA's webhook URL.

    Requests with an `Idempotency-Key` or `webhook-id` header run once per key; all others run every time.
    """
    headers = dict(request.headers)
    body = read(request.body, headers.get("content-type", ""))
    picked = await _picked(params.pick, body, len(request.body)) if params.pick else None
    yield Event(
        _identity(headers, signed=params.signature == "standard_webhooks"),
        Received.model_construct(
            body=body,
            headers={name: value for name, value in headers.items() if name not in LEFT_OUT},
            query=form(request.query_string.encode()) if request.query_string else dict(request.query),
            method=request.method,
            picked=picked,
        ),
        request.received_at,
    )


def _identity(headers: dict[str, str], *, signed: bool) -> str:
    """The event's ID. If `webhook-id` is signed, nothing else counts: another header could make a replay look new."""
    for name in ("webhook-id",) if signed else ("idempotency-key", "webhook-id"):
        if value := headers.get(name):
            identity = f"{name}:{value}"
            return identity if len(identity) <= 255 else f"{name}:sha256:{hashlib.sha256(value.encode()).hexdigest()}"
    return ""


async def _picked(path: str, body: Any, size: int) -> Any:
    def work(budget: Budget) -> Any:
        picked = select(path, body, budget)
        orjson.dumps(picked)  # a number over 64 bits and an unapplied &expression can be computed, but not stored
        return picked

    try:
        return await evaluate(work, size)
    except TooMuch as error:
        raise Permanent(f"`pick` can't be evaluated: {error}") from error
    except (ValueError, TypeError):
        return None
