"""How vendors sign, verify a URL and identify deliveries, according to their documentation."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, get_args
from urllib.parse import urlencode

import pytest
from pydantic import ValidationError

from area.connectors.webhook import Incoming, received
from area.connectors.webhook.deliveries import identity
from area.connectors.webhook.proofs import LABELS, SCHEMES, Signature
from area.sdk import Headers, Refused, Reply, Request

TWITCH = "Twitch-Eventsub-Message-Type"
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
STAMP = str(int(NOW.timestamp()))
SECRET = "s3cret word"
URL = "https://area.example.com/hooks/x"
BODY = b'{"id": "evt_1", "event": {"id": "1"}}'
FORM = urlencode([("To", "+15550001"), ("Body", "Hi there! é"), ("From", "+15550002")]).encode()


def mac(signed: bytes, algorithm: str = "sha256", secret: str = SECRET) -> bytes:
    return hmac.new(secret.encode(), signed, algorithm).digest()


def b64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def request(
    body: bytes = BODY,
    headers: Mapping[str, str] | None = None,
    *,
    content_type: str = "application/json",
    query: str = "",
    method: str = "POST",
) -> Request:
    pairs = [("Content-Type", content_type), *(headers or {}).items()]
    values = dict(part.partition("=")[::2] for part in query.split("&") if part)
    return Request(method, "/hooks/x", Headers(pairs), values, body, NOW, URL, query)


def accepts(incoming: Request, signature: str, **params: Any) -> bool:
    assert received.verify is not None
    try:
        received.verify.check(incoming, "", Incoming(signature=signature, secret=SECRET, **params))  # type: ignore[arg-type]
    except Refused:
        return False
    return True


def twilio(body: bytes) -> dict[str, str]:
    signed = URL + "BodyHi there! éFrom+15550002To+15550001"
    return {"X-Twilio-Signature": b64(mac(signed.encode(), "sha1")) if body == FORM else "wrong"}


# by vendor: the choice, other parameters, and the headers of a body
VENDORS: dict[str, tuple[str, dict[str, str], Callable[[bytes], dict[str, str]]]] = {
    "github": (
        "hmac_sha256",
        {"signature_header": "X-Hub-Signature-256"},
        lambda body: {"X-Hub-Signature-256": f"sha256={mac(body).hex()}"},
    ),
    "upper-case-prefix": ("hmac_sha256", {}, lambda body: {"X-Signature-256": f"SHA256={mac(body).hex().upper()}"}),
    "shopify": (
        "hmac_sha256",
        {"signature_header": "X-Shopify-Hmac-Sha256"},
        lambda body: {"X-Shopify-Hmac-Sha256": b64(mac(body))},
    ),
    "typeform": (
        "hmac_sha256",
        {"signature_header": "Typeform-Signature"},
        lambda body: {"Typeform-Signature": f"sha256={b64(mac(body))}"},
    ),
    "gitea": (
        "hmac_sha256",
        {"signature_header": "X-Gitea-Signature"},
        lambda body: {"X-Gitea-Signature": mac(body).hex()},
    ),
    "sentry": (
        "hmac_sha256",
        {"signature_header": "Sentry-Hook-Signature"},
        lambda body: {"Sentry-Hook-Signature": mac(body).hex()},
    ),
    "base64url": (
        "hmac_sha256",
        {},
        lambda body: {"X-Signature-256": base64.urlsafe_b64encode(mac(body)).decode().rstrip("=")},
    ),
    "intercom": ("hmac_sha1", {}, lambda body: {"X-Hub-Signature": f"sha1={mac(body, 'sha1').hex()}"}),
    "paystack": (
        "hmac_sha512",
        {"signature_header": "x-paystack-signature"},
        lambda body: {"x-paystack-signature": mac(body, "sha512").hex()},
    ),
    "gitlab": ("token", {"signature_header": "X-Gitlab-Token"}, lambda _: {"X-Gitlab-Token": SECRET}),
    "telegram": (
        "token",
        {"signature_header": "X-Telegram-Bot-Api-Secret-Token"},
        lambda _: {"X-Telegram-Bot-Api-Secret-Token": SECRET},
    ),
    "grafana": ("bearer", {}, lambda _: {"Authorization": f"Bearer {SECRET}"}),
    "alertmanager": (
        "basic",
        {"username": "area"},
        lambda _: {"Authorization": f"Basic {b64(f'area:{SECRET}'.encode())}"},
    ),
    "stripe": (
        "stripe",
        {},
        lambda body: {"Stripe-Signature": f"t={STAMP},v1=00,v1={mac(f'{STAMP}.'.encode() + body).hex()},v0=6f"},
    ),
    "calendly": (
        "stripe",
        {"signature_header": "Calendly-Webhook-Signature"},
        lambda body: {"Calendly-Webhook-Signature": f"t={STAMP},v1={mac(f'{STAMP}.'.encode() + body).hex()}"},
    ),
    "slack": (
        "slack",
        {},
        lambda body: {
            "X-Slack-Request-Timestamp": STAMP,
            "X-Slack-Signature": f"v0={mac(f'v0:{STAMP}:'.encode() + body).hex()}",
        },
    ),
    "zoom": (
        "zoom",
        {},
        lambda body: {
            "x-zm-request-timestamp": STAMP,
            "x-zm-signature": f"v0={mac(f'v0:{STAMP}:'.encode() + body).hex()}",
        },
    ),
    "pagerduty": ("pagerduty", {}, lambda body: {"X-PagerDuty-Signature": f"v1={'0' * 64},v1={mac(body).hex()}"}),
    "trello": ("trello", {}, lambda body: {"X-Trello-Webhook": b64(mac(body + URL.encode(), "sha1"))}),
    "square": ("square", {}, lambda body: {"x-square-hmacsha256-signature": b64(mac(URL.encode() + body))}),
    "hubspot": (
        "hubspot",
        {},
        lambda body: {
            "X-HubSpot-Request-Timestamp": f"{STAMP}123",
            "X-HubSpot-Signature-v3": b64(mac(b"POST" + URL.encode() + body + f"{STAMP}123".encode())),
        },
    ),
    "zendesk": (
        "zendesk",
        {},
        lambda body: {
            "X-Zendesk-Webhook-Signature-Timestamp": "2026-11-23T09:00:00Z",
            "X-Zendesk-Webhook-Signature": b64(mac(b"2026-11-23T09:00:00Z" + body)),
        },
    ),
    "paddle": (
        "paddle",
        {},
        lambda body: {"Paddle-Signature": f"ts={STAMP};h1={mac(f'{STAMP}:'.encode() + body).hex()}"},
    ),
    # https://dev.twitch.tv/docs/eventsub/handling-webhook-events/#verifying-the-event-message
    "twitch": (
        "hmac_sha256",
        {
            "signature_header": "Twitch-Eventsub-Message-Signature",
            "signed": "{Twitch-Eventsub-Message-Id}{timestamp}{body}",
            "timestamp_header": "Twitch-Eventsub-Message-Timestamp",
        },
        lambda body: {
            "Twitch-Eventsub-Message-Id": "msg-000001",
            "Twitch-Eventsub-Message-Timestamp": "2026-11-23T09:00:00.123456789Z",
            "Twitch-Eventsub-Message-Signature": "sha256="
            + mac(b"msg-0000012026-11-23T09:00:00.123456789Z" + body).hex(),
        },
    ),
    # https://developer.box.com/guides/webhooks/v2/signatures-v2/
    "box": (
        "hmac_sha256",
        {
            "signature_header": "box-signature-primary",
            "signed": "{body}{timestamp}",
            "timestamp_header": "box-delivery-timestamp",
        },
        lambda body: {
            "box-delivery-timestamp": "2026-11-23T01:00:00-08:00",
            "box-signature-primary": b64(mac(body + b"2026-11-23T01:00:00-08:00")),
        },
    ),
    # https://docs.customer.io/journeys/webhooks/#securely-verify-requests
    "customer.io": (
        "hmac_sha256",
        {
            "signature_header": "X-CIO-Signature",
            "signed": "v0:{timestamp}:{body}",
            "timestamp_header": "X-CIO-Timestamp",
        },
        lambda body: {"X-CIO-Timestamp": STAMP, "X-CIO-Signature": mac(f"v0:{STAMP}:".encode() + body).hex()},
    ),
    # https://developers.webflow.com/data/docs/working-with-webhooks
    "webflow": (
        "hmac_sha256",
        {
            "signature_header": "x-webflow-signature",
            "signed": "{timestamp}:{body}",
            "timestamp_header": "x-webflow-timestamp",
        },
        lambda body: {
            "x-webflow-timestamp": f"{STAMP}123",
            "x-webflow-signature": mac(f"{STAMP}123:".encode() + body).hex(),
        },
    ),
}


@pytest.mark.parametrize("vendor", VENDORS)
def test_vendors_signatures(vendor):
    signature, params, headers = VENDORS[vendor]
    assert accepts(request(headers=headers(BODY)), signature, **params)
    assert not accepts(request(), signature, **params)
    assert not accepts(request(headers=dict.fromkeys(headers(BODY), "")), signature, **params)
    wrong = {name: value[:-6] + "000000" for name, value in headers(BODY).items()}
    assert not accepts(request(headers=wrong), signature, **params)
    if signature not in ("token", "bearer", "basic"):
        assert not accepts(request(BODY + b" ", headers(BODY)), signature, **params)


TIMED = [
    name
    for name, (signature, params, _) in VENDORS.items()
    if "timestamp_header" in params or (signature in SCHEMES and "{t" in SCHEMES[signature].signed)  # type: ignore[index]
]


@pytest.mark.parametrize("vendor", TIMED)
@pytest.mark.parametrize("seconds", [-301, 301])
def test_old_deliveries_are_refused(vendor, seconds, monkeypatch):
    signature, params, headers = VENDORS[vendor]
    late = datetime.fromtimestamp(NOW.timestamp() + seconds, UTC)
    incoming = request(headers=headers(BODY))
    object.__setattr__(incoming, "received_at", late)
    assert not accepts(incoming, signature, **params)


def test_stripe_takes_no_older_scheme():
    digest = mac(f"{STAMP}.".encode() + BODY).hex()
    for header in (
        f"t={STAMP},v0={digest}",
        f"t={STAMP},{digest}",
        f"v1={digest}",
        f"t=,v1={digest}",
        f"t=x,v1={digest}",
    ):
        assert not accepts(request(headers={"Stripe-Signature": header}), "stripe")


@pytest.mark.parametrize(
    "given", ["Bearer ", "bearer", f"Basic {SECRET}", f"Token {SECRET}", SECRET, f"Bearer {SECRET}x"]
)
def test_other_bearers_are_refused(given):
    assert not accepts(request(headers={"Authorization": given}), "bearer")


@pytest.mark.parametrize("pair", ["area:", f"other:{SECRET}", f":{SECRET}", "area", f"area:{SECRET}:"])
def test_other_logins_are_refused_with_a_challenge(pair):
    incoming = request(headers={"Authorization": f"Basic {b64(pair.encode())}"})
    assert received.verify is not None
    with pytest.raises(Refused) as caught:
        received.verify.check(incoming, "", Incoming(signature="basic", secret=SECRET, username="area"))  # type: ignore[arg-type]
    assert caught.value.challenge == 'Basic realm="AREA"'


def test_twilio():
    """https://www.twilio.com/docs/usage/security#validating-requests: the address and the sorted fields."""
    form = "application/x-www-form-urlencoded"
    assert accepts(request(FORM, twilio(FORM), content_type=form), "twilio")
    assert not accepts(request(FORM.replace(b"Hi", b"Ho"), twilio(FORM), content_type=form), "twilio")
    assert not accepts(request(FORM, content_type=form), "twilio")
    query = f"bodySHA256={hashlib.sha256(BODY).hexdigest()}"
    signed = {"X-Twilio-Signature": b64(mac(f"{URL}?{query}".encode(), "sha1"))}
    assert accepts(request(BODY, signed, query=query), "twilio")
    assert not accepts(request(BODY + b" ", signed, query=query), "twilio")
    bare = {"X-Twilio-Signature": b64(mac(URL.encode(), "sha1"))}
    assert accepts(request(b"", bare, method="GET"), "twilio")
    assert not accepts(request(BODY, bare), "twilio")  # a body that nothing proves


def test_mandrill():
    body = urlencode({"mandrill_events": '[{"event":"send"}]'}).encode()
    signed = {"X-Mandrill-Signature": b64(mac((URL + 'mandrill_events[{"event":"send"}]').encode(), "sha1"))}
    assert accepts(request(body, signed, content_type="application/x-www-form-urlencoded"), "mandrill")


def test_mailgun():
    def body(stamp: str, token: str, digest: str) -> bytes:
        return json.dumps({"signature": {"timestamp": stamp, "token": token, "signature": digest}}).encode()

    digest = mac(f"{STAMP}abc".encode()).hex()
    assert accepts(request(body(STAMP, "abc", digest)), "mailgun")
    assert not accepts(request(body(STAMP, "abd", digest)), "mailgun")
    assert not accepts(request(body("1", "abc", mac(b"1abc").hex())), "mailgun")
    for other in (b"", b"[]", b"{", b'{"signature": 1}'):
        assert not accepts(request(other), "mailgun")
    form = urlencode({"timestamp": STAMP, "token": "abc", "signature": digest}).encode()
    assert accepts(request(form, content_type="application/x-www-form-urlencoded"), "mailgun")


def test_svix_headers():
    key = base64.b64encode(b"k" * 24).decode()
    signed = b64(hmac.new(b"k" * 24, f"msg_1.{STAMP}.".encode() + BODY, "sha256").digest())
    headers = {"svix-id": "msg_1", "svix-timestamp": STAMP, "svix-signature": f"v1,AAAA v1,{signed}"}
    assert received.verify is not None
    params = Incoming(signature="standard_webhooks", secret=f"whsec_{key}")  # type: ignore[arg-type]
    received.verify.check(request(headers=headers), "", params)
    assert identity(Headers([*headers.items(), ("idempotency-key", "x")]), None, "standard_webhooks", None) == (
        "svix-id:msg_1"
    )


def test_every_choice_can_be_read_and_needs_a_secret():
    assert set(LABELS) == set(get_args(Signature))
    for signature in set(LABELS) - {"none"}:
        with pytest.raises(ValidationError, match="Enter the secret"):
            Incoming(signature=signature)
        lost = Incoming.model_construct(signature=signature, secret=None, signature_header=None, username="")
        headers = VENDORS[signature][2](BODY) if signature in VENDORS else {"Authorization": "Bearer "}
        assert received.verify is not None
        with pytest.raises(Refused):
            received.verify.check(request(headers=headers), "", lost)


DELIVERIES = {
    "github": ({"X-GitHub-Delivery": "1"}, "x-github-delivery:1"),
    "gitea": ({"X-Gitea-Delivery": "1", "X-GitHub-Delivery": "1"}, "x-github-delivery:1"),
    "shopify": ({"X-Shopify-Webhook-Id": "1"}, "x-shopify-webhook-id:1"),
    "svix": ({"svix-id": "msg_1"}, "svix-id:msg_1"),
    "cloudevents": ({"ce-id": "1", "ce-source": "/a"}, "ce-id:/a 1"),
    "paypal": ({"Paypal-Transmission-Id": "1"}, "paypal-transmission-id:1"),
    "sns": ({"x-amz-sns-message-id": "1"}, "x-amz-sns-message-id:1"),
    "gitlab": ({"Idempotency-Key": "1", "X-Gitlab-Event-UUID": "2"}, "idempotency-key:1"),
    "jira": ({"X-Atlassian-Webhook-Identifier": "1"}, "x-atlassian-webhook-identifier:1"),
    "bitbucket": ({"X-Request-UUID": "1"}, "x-request-uuid:1"),
    "twilio": ({"I-Twilio-Idempotency-Token": "1"}, "i-twilio-idempotency-token:1"),
    "nobody": ({"X-Request-Id": "1"}, ""),
}


@pytest.mark.parametrize("vendor", DELIVERIES)
def test_vendors_delivery_ids(vendor):
    headers, expected = DELIVERIES[vendor]
    assert identity(Headers(headers.items()), {}, "none", None) == expected


@pytest.mark.parametrize(
    ("signature", "named", "expected"),
    [
        ("none", "X-My-Id", "x-my-id:7"),
        ("none", "body.event.id", "body.event.id:1"),
        ("none", "body.id", "body.id:evt_1"),
        ("none", "body.nothing", ""),
        ("none", "body.event", ""),
        ("none", "X-None", ""),
        ("stripe", None, "body.id:evt_1"),
        ("pagerduty", None, "body.event.id:1"),
        ("slack", None, ""),
        ("stripe", "X-My-Id", "x-my-id:7"),
    ],
)
def test_named_delivery_ids(signature, named, expected):
    headers = Headers([("X-My-Id", "7"), ("X-GitHub-Delivery", "2")] if named or signature != "none" else [])
    assert identity(headers, json.loads(BODY), signature, named) == expected


@pytest.mark.parametrize("named", ["not a header", "body.", "body.a b", "X\r\nY", "x" * 201])
def test_wrong_names_are_refused(named):
    with pytest.raises(ValidationError):
        Incoming(delivery_id=named)


def reply(incoming: Request, **params: Any) -> Reply | None:
    return received.greeting(incoming, Incoming(**params))


def sent(value: Any, **options: Any) -> Request:
    return request(json.dumps(value).encode(), **options)


CHALLENGES: dict[str, tuple[Request, str]] = {
    "facebook": (
        request(b"", query="hub.mode=subscribe&hub.challenge=abc123&hub.verify_token=x", method="GET"),
        "abc123",
    ),
    "dropbox": (request(b"", query="challenge=abc", method="GET"), "abc"),
    "microsoft-graph": (request(b"", query="validationToken=abc def", method="POST"), "abc def"),
    "okta": (request(b"", {"X-Okta-Verification-Challenge": "abc"}, method="GET"), '{"verification":"abc"}'),
    "slack": (sent({"type": "url_verification", "token": "t", "challenge": "abc"}), '{"challenge":"abc"}'),
    "twitch": (
        sent({"challenge": "abc", "subscription": {}}, headers={TWITCH: "webhook_callback_verification"}),
        "abc",
    ),
    "monday": (sent({"challenge": "abc"}), '{"challenge":"abc"}'),
    "event-grid": (
        sent([{"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "abc"}}]),
        '{"validationResponse":"abc"}',
    ),
}


@pytest.mark.parametrize("vendor", CHALLENGES)
def test_challenges(vendor):
    incoming, body = CHALLENGES[vendor]
    answer = reply(incoming)
    assert answer is not None
    assert (answer.status, answer.body) == (200, body)
    assert answer.content_type == ("application/json" if body.startswith("{") else "text/plain")


def test_asana():
    answer = reply(request(b"{}", {"X-Hook-Secret": "abc"}))
    assert answer == Reply(headers={"x-hook-secret": "abc"})


def test_zoom_is_told_the_digest_of_its_token_and_of_nothing_else():
    def asked(token: Any) -> Reply | None:
        event = {"event": "endpoint.url_validation", "payload": {"plainToken": token}}
        return reply(sent(event), signature="zoom", secret=SECRET)

    answer = asked("qgg8vlvZRS6UYooatFL8Aw")
    assert answer is not None
    assert json.loads(answer.body) == {
        "plainToken": "qgg8vlvZRS6UYooatFL8Aw",
        "encryptedToken": mac(b"qgg8vlvZRS6UYooatFL8Aw").hex(),
    }
    for token in (f'v0:{STAMP}:{{"event":"x"}}', "", None, ["a"], "a b"):
        assert asked(token) is None


EVENTS: dict[str, Request] = {
    "event-with-a-challenge": sent({"type": "message", "challenge": "abc"}),
    "event": sent({"event": "x"}),
    "twitch-event": sent({"challenge": "abc", "event": {}}, headers={TWITCH: "notification"}),
    "search": request(b"", query="challenge=abc&user=1", method="GET"),
    "get": request(b"", method="GET"),
    "post-with-hub": request(BODY, query="hub.mode=subscribe&hub.challenge=abc"),
    "asana-event": request(BODY, {"X-Hook-Secret": "abc"}),
    "zoom-of-another": sent({"event": "endpoint.url_validation", "payload": {"plainToken": "abc"}}),
    "list": sent(["challenge"]),
    "broken": request(b'{"challenge"'),
}


@pytest.mark.parametrize("name", EVENTS)
def test_events_are_no_challenges(name):
    assert reply(EVENTS[name]) is None


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, None),
        ({"response_body": "ok"}, Reply("ok", "text/plain; charset=utf-8", 200)),
        ({"response_status": 204}, Reply("", "text/plain; charset=utf-8", 204)),
        (
            {"response_status": 201, "response_body": "{}", "response_type": "application/json"},
            Reply("{}", "application/json", 201),
        ),
        (
            {"response_body": "<Response/>", "response_type": "text/xml"},
            Reply("<Response/>", "text/xml; charset=utf-8", 200),
        ),
    ],
)
def test_the_response_can_be_chosen(params, expected):
    assert received.respond is not None
    assert received.respond(request(), Incoming(**params)) == expected


@pytest.mark.parametrize(
    "params", [{"response_status": 199}, {"response_status": 302}, {"response_type": "text/javascript"}]
)
def test_other_responses_are_refused(params):
    with pytest.raises(ValidationError):
        Incoming(**params)
