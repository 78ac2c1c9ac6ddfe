"""How senders prove where their requests come from: one scheme for each choice of `signature`."""

import hashlib
import hmac
from dataclasses import replace
from typing import Any, Literal

from area.connectors.webhook.body import form, read
from area.connectors.webhook.certificates import statement
from area.connectors.webhook.public_keys import signatures_in, verify
from area.sdk import Nothing, Permanent, Refused, Request, standard_webhooks
from area.sdk.verify import (
    FORM,
    MISMATCH,
    Scheme,
    check_basic,
    check_bearer,
    check_stamp,
    check_token,
    full_url,
)

Signature = Literal[
    "none", "hmac_sha256", "hmac_sha1", "hmac_sha512", "standard_webhooks", "token", "bearer", "basic", "stripe",
    "slack", "zoom", "pagerduty", "twilio", "mandrill", "trello", "square", "hubspot", "zendesk", "paddle", "mailgun",
    "discord", "telnyx", "sendgrid", "sns", "paypal", "public_key",
]  # fmt: skip
LABELS: dict[Signature, str] = {
    "none": "None: anyone who knows the URL can send",
    "hmac_sha256": "HMAC-SHA256 of the body (GitHub, Shopify, Typeform …)",
    "hmac_sha1": "HMAC-SHA1 of the body (Intercom, Webex …)",
    "hmac_sha512": "HMAC-SHA512 of the body (Paystack …)",
    "standard_webhooks": "Standard Webhooks or Svix (Clerk, Resend …)",
    "token": "Token in a header (GitLab, Telegram …)",
    "bearer": "Bearer token (Grafana, Alertmanager …)",
    "basic": "Username and password (Jira, Zabbix …)",
    "stripe": "Stripe, Calendly",
    "slack": "Slack",
    "zoom": "Zoom",
    "pagerduty": "PagerDuty",
    "twilio": "Twilio",
    "mandrill": "Mandrill",
    "trello": "Trello",
    "square": "Square",
    "hubspot": "HubSpot",
    "zendesk": "Zendesk",
    "paddle": "Paddle",
    "mailgun": "Mailgun",
    "discord": "Discord",
    "telnyx": "Telnyx",
    "sendgrid": "SendGrid",
    "sns": "Amazon SNS",
    "paypal": "PayPal",
    "public_key": "Public key: Ed25519, ECDSA or RSA (Wise …)",
}
DEFAULT_HEADER = "X-Signature-256"
# the header, unless another one is given
SCHEMES: dict[Signature, Scheme] = {
    "hmac_sha256": Scheme(DEFAULT_HEADER),
    "hmac_sha1": Scheme("X-Hub-Signature", algorithm="sha1"),
    "hmac_sha512": Scheme("X-Signature-512", algorithm="sha512"),
    # https://docs.stripe.com/webhooks#verify-manually
    "stripe": Scheme("Stripe-Signature", "{timestamp}.{body}", label="v1", timestamp_label="t"),
    # https://docs.slack.dev/authentication/verifying-requests-from-slack
    "slack": Scheme(
        "X-Slack-Signature", "v0:{timestamp}:{body}", label="v0", timestamp_header="X-Slack-Request-Timestamp"
    ),
    # https://developers.zoom.us/docs/api/webhooks/#verify-webhook-events
    "zoom": Scheme("x-zm-signature", "v0:{timestamp}:{body}", label="v0", timestamp_header="x-zm-request-timestamp"),
    # https://developer.pagerduty.com/docs/webhooks-overview#webhook-signatures
    "pagerduty": Scheme("X-PagerDuty-Signature", label="v1"),
    # https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/#webhook-signatures
    "trello": Scheme("X-Trello-Webhook", "{body}{url}", "sha1"),
    # https://developer.squareup.com/docs/webhooks/step3validate
    "square": Scheme("x-square-hmacsha256-signature", "{url}{body}"),
    # https://developers.hubspot.com/docs/guides/apps/authentication/validating-requests
    "hubspot": Scheme(
        "X-HubSpot-Signature-v3", "{method}{url}{body}{timestamp}", timestamp_header="X-HubSpot-Request-Timestamp"
    ),
    # https://developer.zendesk.com/documentation/webhooks/verifying/
    "zendesk": Scheme(
        "X-Zendesk-Webhook-Signature", "{timestamp}{body}", timestamp_header="X-Zendesk-Webhook-Signature-Timestamp"
    ),
    # https://developer.paddle.com/webhooks/signature-verification
    "paddle": Scheme("Paddle-Signature", "{timestamp}:{body}", label="h1", timestamp_label="ts"),
    # https://www.twilio.com/docs/usage/webhooks/webhooks-security
    "twilio": Scheme("X-Twilio-Signature", algorithm="sha1"),
    # https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/#authenticating-webhook-requests
    "mandrill": Scheme("X-Mandrill-Signature", algorithm="sha1"),
}
# what is signed by the private key of which `secret` is the public one
PUBLIC: dict[Signature, Scheme] = {
    "public_key": Scheme("X-Signature"),
    # https://docs.discord.com/developers/interactions/overview#setting-up-an-endpoint-validating-security-request-headers
    "discord": Scheme("X-Signature-Ed25519", "{timestamp}{body}", timestamp_header="X-Signature-Timestamp"),
    # https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks
    "telnyx": Scheme("telnyx-signature-ed25519", "{timestamp}|{body}", timestamp_header="telnyx-timestamp"),
    # https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
    "sendgrid": Scheme(
        "X-Twilio-Email-Event-Webhook-Signature",
        "{timestamp}{body}",
        timestamp_header="X-Twilio-Email-Event-Webhook-Timestamp",
    ),
}
CERTIFIED: frozenset[Signature] = frozenset({"sns", "paypal"})
# whose scheme can be told: what is signed, and where the time is
OPEN: frozenset[Signature] = frozenset({"hmac_sha256", "hmac_sha1", "hmac_sha512", "public_key"})
ASYMMETRIC = "whpk_"  # begins the public keys of Standard Webhooks
_standard_webhooks = standard_webhooks()


def scheme_of(signature: Signature, signed: str, timestamp_header: str) -> Scheme:
    """The scheme of a choice. What is signed and where the time is can be told for those that are `OPEN`."""
    scheme = PUBLIC.get(signature) or SCHEMES[signature]
    if signature in OPEN:
        return replace(scheme, signed=signed, timestamp_header=timestamp_header)
    return scheme


def check(
    signature: Signature,
    request: Request,
    secret: str,
    *,
    header: str | None,
    username: str | None,
    signed: str = "{body}",
    timestamp_header: str = "",
) -> None:
    """Raises `Refused` unless the request proves where it comes from. A `CERTIFIED` signature is compared when the
    certificate is there.
    """
    if signature == "none":
        return
    if not secret:
        raise Refused("This webhook has no secret, so nothing can be accepted.")
    match signature:
        case "token":
            check_token(request, header or "X-Webhook-Token", secret)
        case "bearer":
            check_bearer(request, secret)
        case "basic":
            check_basic(request, username or "", secret)
        case "standard_webhooks":
            _check_standard(request, secret)
        case "twilio" | "mandrill":
            _check_url_and_fields(SCHEMES[signature], request, secret)
        case "mailgun":
            _check_mailgun(request, secret)
        case _ if signature in CERTIFIED:
            statement(signature, request, secret)
        case _:
            _check_scheme(signature, scheme_of(signature, signed, timestamp_header), request, secret, header)


def _check_scheme(signature: Signature, scheme: Scheme, request: Request, secret: str, header: str | None) -> None:
    if signature in PUBLIC:
        given, content = scheme.parts(request, header)
        verify(secret, signatures_in(given), content)
    else:
        scheme.check(request, secret, header=header)


def _check_standard(request: Request, secret: str) -> None:
    """https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme"""
    if not secret.startswith(ASYMMETRIC):
        _standard_webhooks.proof(request, secret, Nothing())
        return
    scheme = Scheme("webhook-signature", "{webhook-id}.{timestamp}.{body}", timestamp_header="webhook-timestamp")
    given, content = scheme.parts(request)
    versions = [part.partition(",")[::2] for part in given.split(" ")]
    verify(secret, [found for name, text in versions if name == "v1a" for found in signatures_in(text)], content)


def _check_url_and_fields(scheme: Scheme, request: Request, secret: str) -> None:
    given = request.headers.get(scheme.header, "")
    if not given:
        raise Refused(FORM, header=scheme.header)
    scheme.compare(given, _url_and_fields(request), secret)


def _url_and_fields(request: Request) -> bytes:
    """What Twilio and Mandrill sign: the address, and the form's fields by name, each followed by its value.

    Twilio sends the digest of a body that is no form in the address.
    """
    url = full_url(request)
    if expected := request.query.get("bodySHA256"):
        if not hmac.compare_digest(hashlib.sha256(request.body).hexdigest().encode(), expected.lower().encode()):
            raise Refused(MISMATCH)
        return url.encode()
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        if request.body:
            raise Refused(MISMATCH)  # nothing would prove the body
        return url.encode()
    fields = form(request.body)
    lists = ((name, value if isinstance(value, list) else [value]) for name, value in sorted(fields.items()))
    return (url + "".join(name + value for name, values in lists for value in sorted(set(values)))).encode()


def _check_mailgun(request: Request, secret: str) -> None:
    """https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks"""
    try:
        body: Any = read(request.body, request.headers.get("content-type", ""))
    except Permanent as error:
        raise Refused(MISMATCH) from error
    fields = body.get("signature", body) if isinstance(body, dict) else None
    fields = body if isinstance(fields, str) else fields  # of a form, the fields beside it
    if not isinstance(fields, dict):
        raise Refused(MISMATCH)
    stamp, token, given = (str(fields.get(name, "")) for name in ("timestamp", "token", "signature"))
    check_stamp(request, stamp, "timestamp")
    Scheme("signature").compare(given, (stamp + token).encode(), secret)
