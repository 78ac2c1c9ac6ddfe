"""The ids of deliveries, by which a repeated one is known."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from area.connectors.webhook.proofs import Signature
from area.sdk import lookup

LONGEST = 255
# headers that stay the same when a delivery is repeated
HEADERS = (
    "idempotency-key",
    "webhook-id",  # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    "svix-id",
    "x-github-delivery",  # https://docs.github.com/webhooks/webhook-events-and-payloads#delivery-headers
    "x-gitea-delivery",
    "x-forgejo-delivery",
    "x-gogs-delivery",
    "x-shopify-webhook-id",  # https://shopify.dev/docs/apps/build/webhooks/ignore-duplicates
    "x-wc-webhook-delivery-id",
    "linear-delivery",  # https://linear.app/developers/webhooks
    "paypal-transmission-id",
    "x-amz-sns-message-id",  # https://docs.aws.amazon.com/sns/latest/dg/http-header.html
    "x-atlassian-webhook-identifier",  # https://developer.atlassian.com/server/jira/platform/webhooks/
    "x-request-uuid",  # https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/#HTTP-headers
    "x-zendesk-webhook-invocation-id",
    "i-twilio-idempotency-token",  # https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
)
# where the body has it, and the signature proves it
FIELDS: Mapping[Signature, str] = {
    "stripe": "id",
    "slack": "event_id",
    "pagerduty": "event.id",
    "square": "event_id",
    "paddle": "event_id",
    "mailgun": "event-data.id",
    "sns": "MessageId",
    "paypal": "id",
    "telnyx": "data.id",
}
BODY = re.compile(r"body(?:\.[^.\s]+)+")


def identity(headers: Mapping[str, str], body: Any, signature: Signature, named: str | None) -> str:
    """The delivery's id; empty if it has none.

    It is in the header or the field of the body that is `named`, or else where senders are known to have it. If the
    sender signs its id, nothing else counts: another header could make a replay look new.
    """
    if named:
        return _named(named, lookup(named, {"body": body}) if BODY.fullmatch(named) else headers.get(named))
    if signature == "standard_webhooks":
        svix = "svix-signature" in headers and "webhook-signature" not in headers
        return _of_headers(headers, ("svix-id" if svix else "webhook-id",))
    if signature in FIELDS:
        return _named(f"body.{FIELDS[signature]}", lookup(FIELDS[signature], body))
    if (source := headers.get("ce-source")) and (number := headers.get("ce-id")):
        # https://github.com/cloudevents/spec/blob/main/cloudevents/spec.md#id: unique with the source
        return _named("ce-id", f"{source} {number}")
    return _of_headers(headers, HEADERS)


def _of_headers(headers: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((_named(name, headers[name]) for name in names if headers.get(name)), "")


def _named(name: str, value: Any) -> str:
    if value is None or isinstance(value, bool | dict | list) or value == "":
        return ""
    text = f"{name.lower() if not name.startswith('body.') else name}:{value}"
    return text if len(text) <= LONGEST else f"{name}:sha256:{hashlib.sha256(str(value).encode()).hexdigest()}"
