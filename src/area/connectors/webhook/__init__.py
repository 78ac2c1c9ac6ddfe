"""Webhook: a URL that any program can send requests to."""

import re
from typing import Annotated, Any, Literal, cast

import orjson
from pydantic import AfterValidator, BaseModel, SecretStr, model_validator

from area.connectors.webhook.answering import Answering
from area.connectors.webhook.body import form, read
from area.connectors.webhook.certificates import is_event
from area.connectors.webhook.challenges import reply_to, to_discord
from area.connectors.webhook.deliveries import BODY, identity
from area.connectors.webhook.proofs import ASYMMETRIC, CERTIFIED, LABELS, OPEN, PUBLIC, Signature, check
from area.connectors.webhook.public_keys import public_key
from area.sdk import (
    Context,
    Event,
    Events,
    Output,
    Permanent,
    Refused,
    Reply,
    Request,
    Sentence,
    Service,
    Verify,
    output,
    param,
)
from area.sdk.fields import Form
from area.sdk.selection import Budget, JmesPath, TooMuch, evaluate, select
from area.sdk.verify import PLACEHOLDER

LEFT_OUT = frozenset({"cookie", "authorization", "proxy-authorization", "x-area-chain"})

service = Service(
    "webhook",
    "Webhook",
    "Run an AREA when any program sends a request to its webhook URL.",
    quality="verified",
    synonyms={
        "": "incoming request, API, callback, HTTP",
        "received": (
            "webhook, incoming HTTP request, form submitted, contact form, button pressed, press a button, curl,"
            " script, shortcut, any service, Typeform, Tally, Jotform, Calendly, IFTTT, Zapier, n8n, Siri, iPhone"
            " shortcut, Stream Deck, GET, POST, someone fills out a form"
        ),
        "answer": (
            "respond to webhook, webhook response, return a value, reply to the request, send back JSON, build an API,"
            " endpoint, HTTP response, callback"
        ),
    },
)


def _header_name(name: str) -> str:
    if not re.fullmatch(r"[!#$%&'*+.^`|~\w-]+", name, re.ASCII):
        raise ValueError(
            Sentence('"%(name)s" is not a valid header name. Use one such as X-Signature-256.', name=name[:100])
        )
    return name


def _header_or_field(name: str) -> str:
    if name.startswith("body.") and not BODY.fullmatch(name):
        raise ValueError(
            Sentence('"%(name)s" is not a field of the body. Use one such as body.event.id.', name=name[:100])
        )
    return name if name.startswith("body.") else _header_name(name)


def _signed_content(text: str) -> str:
    names = PLACEHOLDER.findall(text)
    if "body" not in names:
        raise ValueError(Sentence("What is signed must include {body}, or anything could be sent in its name."))
    return text


class Incoming(Form):
    """What to read from a request, how the sender signs it, and what it gets."""

    pick: Annotated[
        JmesPath | None,
        param("JMESPath of a part of the body, available as `picked`", "order.items[0].sku"),
    ] = None
    signature: Annotated[
        Signature,
        param(
            "How the sender signs requests; with none, anyone who knows the URL can send", "hmac_sha256", labels=LABELS
        ),
    ] = "none"
    secret: Annotated[
        SecretStr | None,
        param(
            "Secret the sender signs with, token, password or public key; the topic's ARN for Amazon SNS, the webhook's"
            " ID for PayPal",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ),
    ] = None
    signature_header: Annotated[
        str | None,
        AfterValidator(_header_name),
        param(
            "Header with the signature or token, if different from the scheme's default",
            "X-Hub-Signature-256",
            max_length=100,
        ),
    ] = None
    signed: Annotated[
        str,
        AfterValidator(_signed_content),
        param(
            "What the sender signs, with {body}, {timestamp}, {url}, {method} and headers such as {X-Request-Id}",
            "{timestamp}.{body}",
            max_length=200,
        ),
    ] = "{body}"
    timestamp_header: Annotated[
        str | None,
        AfterValidator(_header_name),
        param("Header with the time, if it is signed", "X-Timestamp", max_length=100),
    ] = None
    username: Annotated[str | None, param("Username, for basic authentication", "area", max_length=100)] = None
    delivery_id: Annotated[
        str | None,
        AfterValidator(_header_or_field),
        param(
            "Header or field of the body with the delivery's ID, if it isn't a well-known header; requests with the"
            " same ID run once",
            "body.event.id",
            max_length=200,
        ),
    ] = None
    answer: Annotated[
        Literal["at_once", "with_result"],
        param(
            "When the sender gets its response: at once, or once the run has ended or answered, for up to 25 seconds",
            "at_once",
            labels={"at_once": "At once", "with_result": "With the run's result"},
        ),
    ] = "at_once"
    response_status: Annotated[int | None, param("Status of the response, instead of 202", 200, ge=200, le=299)] = None
    response_body: Annotated[
        str | None, param("Body of the response, instead of the run's ID as JSON", "ok", max_length=10_000)
    ] = None
    response_type: Annotated[
        Literal["text/plain", "text/html", "application/json", "application/xml", "text/xml"],
        param("Content type of the response body", "application/json"),
    ] = "text/plain"

    @model_validator(mode="after")
    def _consistent(self) -> "Incoming":
        if self.answer == "with_result" and (self.response_status or self.response_body is not None):
            raise ValueError(
                Sentence(
                    "The response is the run's. Leave its status and body empty here, and write them with the reaction"
                    ' "Answer the request".'
                )
            )
        if self.signature != "none" and not (self.secret and self.secret.get_secret_value().strip()):
            raise ValueError(
                Sentence("Enter the secret the sender signs with, for the signature %(name)s.", name=self.signature)
            )
        if self.signature in PUBLIC or (self.signature == "standard_webhooks" and self.key.startswith(ASYMMETRIC)):
            public_key(self.key)
        if self.signature in OPEN and ("timestamp" in PLACEHOLDER.findall(self.signed)) != bool(self.timestamp_header):
            raise ValueError(
                Sentence("Enter the header with the time if {timestamp} is part of what is signed, and only then.")
            )
        return self

    @property
    def key(self) -> str:
        """The secret in clear; empty if there is none."""
        return self.secret.get_secret_value() if self.secret else ""


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
    path: str = output("path", "Path after the webhook URL", "/transactions/1", "")
    picked: Any = output("picked", "The part selected by `pick`; null if nothing matches", "SKU-1", None)


def _verified(request: Request, _secret: str, params: BaseModel) -> None:
    """Verify the request as the parameters say, with the secret entered there."""
    wanted = cast(Incoming, params)
    check(
        wanted.signature,
        request,
        wanted.key,
        header=wanted.signature_header,
        username=wanted.username,
        signed=wanted.signed,
        timestamp_header=wanted.timestamp_header or "",
    )


def _challenged(request: Request, params: BaseModel) -> Reply | None:
    wanted = cast(Incoming, params)
    if wanted.signature == "discord" and (reply := to_discord(request)):
        try:
            _verified(request, "", wanted)
        except Refused:
            return None  # it is refused as an event is
        return reply
    return reply_to(request, wanted.signature, wanted.key)


def _responded(_request: Request, params: BaseModel) -> Reply | None:
    """The chosen response, if any."""
    wanted = cast(Incoming, params)
    if wanted.response_status is None and wanted.response_body is None:
        return None
    kind = wanted.response_type
    content_type = kind if kind == "application/json" else f"{kind}; charset=utf-8"
    return Reply(wanted.response_body or "", content_type, wanted.response_status or 200)


@service.webhook(
    "New request",
    verify=Verify(
        "as the AREA says", _verified, 'With the signature "none", the unguessable address is all the proof.'
    ),
    challenge=_challenged,
    respond=_responded,
    awaits=lambda params: params.answer == "with_result",
)
async def received(ctx: Context, params: Incoming, request: Request) -> Events[Received]:
    """Triggers for each request to the AREA's webhook URL, of any method but HEAD and OPTIONS.

    Requests with the same delivery ID (an `Idempotency-Key` or the sender's equivalent) run once. Requests that a
    sender uses to verify the URL get the expected response and run nothing.
    """
    if params.signature in CERTIFIED and not await is_event(ctx, params.signature, request, params.key):
        return
    headers = request.headers.by_name()
    body = read(request.body, headers.get("content-type", ""))
    picked = await _picked(params.pick, body, len(request.body)) if params.pick else None
    yield Event(
        identity(headers, body, params.signature, params.delivery_id),
        Received.model_construct(
            body=body,
            headers={name: value for name, value in headers.items() if name not in LEFT_OUT},
            query=form(request.query_string.encode()) if request.query_string else dict(request.query),
            method=request.method,
            path=_rest(request.path),
            picked=picked,
        ),
        request.received_at,
    )


def _rest(path: str) -> str:
    """What a sender appended to the AREA's address, with its slash."""
    _, slash, rest = path.removeprefix("/hooks/").partition("/")
    return slash + rest if rest else ""


async def _picked(path: str, body: Any, size: int) -> Any:
    def work(budget: Budget) -> Any:
        picked = select(path, body, budget)
        orjson.dumps(picked)  # a number over 64 bits and an unapplied &expression can be computed, but not stored
        return picked

    try:
        return await evaluate(work, size)
    except TooMuch as error:
        raise Permanent(Sentence("`pick` can't be evaluated: %(error)s", error=error)) from error
    except (ValueError, TypeError):
        return None


class Answered(Output):
    status: int = output("status", "HTTP status of the response", 200)
    first: bool = output("first", "Whether this is the run's first answer, which its sender gets", True)


@service.reaction("Answer the request", idempotent="key")
async def answer(ctx: Context, params: Answering) -> Answered:
    """Answer the webhook request that started this run, for webhooks that respond with the run's result.

    The run's first answer counts. A sender that no longer waits gets it if it sends the same delivery ID again.
    """
    reply = Reply(params.written(), params.content_type, params.status, params.headers or {})
    return Answered(status=params.status, first=await ctx.platform.answer(reply))
