"""Requests by which senders try an address before they send events: each gets the reply its sender expects."""

import hashlib
import hmac
import json
import re
from typing import Any

import orjson

from area.sdk import Reply, Request
from area.sdk.decoding import parse_json

LARGEST = 10_000  # bytes of such a body
LONGEST = 1000  # characters that are echoed
TWITCH = "twitch-eventsub-message-type"
# without colons: else the reply would be the signature of an event (`v0:time:body`) that anybody wrote
PLAIN_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,100}")


def reply_to(request: Request, signature: str, secret: str) -> Reply | None:
    """The reply to a sender's challenge; None for all other requests."""
    return _to_query(request) or _to_headers(request) or _to_body(request, signature, secret)


def _to_query(request: Request) -> Reply | None:
    query = request.query
    if request.method == "GET" and query.get("hub.mode") in ("subscribe", "unsubscribe") and query.get("hub.challenge"):
        # https://www.w3.org/TR/websub/#hub-verifies-intent, and
        # https://developers.facebook.com/docs/graph-api/webhooks/getting-started#verification-requests
        return _text(query["hub.challenge"])
    if request.method == "GET" and list(query) == ["challenge"]:
        # https://www.dropbox.com/developers/reference/webhooks#verification
        return _text(query["challenge"])
    if request.method == "POST" and query.get("validationToken"):
        # https://learn.microsoft.com/graph/change-notifications-delivery-webhooks#notificationurl-validation
        return _text(query["validationToken"])
    return None


def _to_headers(request: Request) -> Reply | None:
    headers = request.headers
    if request.method == "GET" and (value := headers.get("x-okta-verification-challenge")):
        # https://developer.okta.com/docs/concepts/event-hooks/#one-time-verification-request
        return _json({"verification": value})
    if request.method == "POST" and not request.body.strip(b" {}") and (value := headers.get("x-hook-secret")):
        # https://developers.asana.com/docs/webhooks-guide#the-webhook-handshake
        return Reply(status=200, headers={"x-hook-secret": value[:LONGEST]})
    return None


def to_discord(request: Request) -> Reply | None:
    """The reply to a ping of Discord, which tries by wrong signatures, too: it must be checked before it is sent."""
    if request.method != "POST" or len(request.body) > LARGEST:
        return None
    try:
        body = parse_json(request.body)
    except json.JSONDecodeError:
        return None
    if not isinstance(body, dict) or "event" in body:
        return None
    if body.get("type") == 1:
        # https://docs.discord.com/developers/interactions/receiving-and-responding
        return _json({"type": 1})
    # https://docs.discord.com/developers/events/webhook-events#preparing-for-events
    return Reply(status=204) if body.get("type") == 0 else None


def _to_body(request: Request, signature: str, secret: str) -> Reply | None:
    if request.method != "POST" or len(request.body) > LARGEST or not _may_be_challenge(request.body):
        return None
    try:
        body = parse_json(request.body)
    except json.JSONDecodeError:
        return None
    first = body[0] if isinstance(body, list) and body else body
    if not isinstance(first, dict):
        return None
    challenge = first.get("challenge")
    if isinstance(challenge, str) and request.headers.get(TWITCH) == "webhook_callback_verification":
        # https://dev.twitch.tv/docs/eventsub/handling-webhook-events/#responding-to-a-challenge-request
        return _text(challenge)
    if isinstance(challenge, str) and (first.get("type") == "url_verification" or list(first) == ["challenge"]):
        # https://docs.slack.dev/reference/events/url_verification, Lark, and
        # https://developer.monday.com/apps/docs/webhooks#verification
        return _json({"challenge": challenge})
    if first.get("event") == "endpoint.url_validation" and signature == "zoom" and secret:
        # https://developers.zoom.us/docs/api/webhooks/#validate-your-webhook-endpoint
        token = _at(first, "payload", "plainToken")
        if not PLAIN_TOKEN.fullmatch(token):
            return None
        digest = hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()
        return _json({"plainToken": token, "encryptedToken": digest})
    if first.get("eventType") == "Microsoft.EventGrid.SubscriptionValidationEvent":
        # https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema
        code = _at(first, "data", "validationCode")
        return _json({"validationResponse": code}) if code else None
    return None


def _may_be_challenge(body: bytes) -> bool:
    return b'"challenge"' in body or b"url_validation" in body or b"SubscriptionValidationEvent" in body


def _at(values: dict[str, Any], *names: str) -> str:
    value: Any = values
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def _text(value: str) -> Reply:
    return Reply(value[:LONGEST])


def _json(value: Any) -> Reply:
    return Reply(orjson.dumps(value).decode(), "application/json")
