"""Webhook signatures: what must be refused is refused."""

import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tokens import JWT_SECRET, token

from area.sdk.events import Headers, Request
from area.sdk.service import Nothing
from area.sdk.verify import (
    Refused,
    Verify,
    address_token,
    bearer_jwt,
    hmac_sha1,
    hmac_sha256,
    hmac_timestamped,
    secret_in_query,
    shared_token,
    standard_webhooks,
    token_of,
    unsigned,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECRET = "It's a Secret to Everybody"
BODY = b"Hello, World!"
# the example of https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
GITHUB = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
# the example of https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries (their test vector)
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD_BODY = b'{"test": 2432232314}'
STANDARD_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
STANDARD_STAMP = 1614265330
STANDARD_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def request(body: bytes = BODY, at: datetime = NOW, **headers: str) -> Request:
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Request("POST", "/hooks/x", Headers(pairs), {}, body, at)


def accepts(verify: Verify, incoming: Request, secret: str = SECRET) -> bool:
    try:
        verify.check(incoming, secret, Nothing())
    except Refused:
        return False
    return True


def digest(algorithm: str, secret: str = SECRET, body: bytes = BODY) -> bytes:
    return hmac.new(secret.encode(), body, algorithm).digest()


GITHUB_STYLE = hmac_sha256("X-Hub-Signature-256", prefix="sha256=")


def test_githubs_own_example() -> None:
    assert accepts(GITHUB_STYLE, request(x_hub_signature_256=f"sha256={GITHUB}"))
    assert accepts(GITHUB_STYLE, request(x_hub_signature_256=f"sha256={GITHUB.upper()}"))


@pytest.mark.parametrize(
    "signature",
    [
        "", "sha256=", GITHUB, f"sha1={GITHUB}", f"sha256={GITHUB[:-1]}", f"sha256={GITHUB}0", f"sha256= {GITHUB}",
        f"sha256={GITHUB[:-1]}0", "sha256=é", f"sha256={GITHUB}, sha256={GITHUB}", "sha256=" + "0" * 64,
    ],
)  # fmt: skip
def test_a_wrong_signature_is_refused(signature: str) -> None:
    assert not accepts(GITHUB_STYLE, request(x_hub_signature_256=signature))


def test_a_missing_signature_is_refused() -> None:
    assert not accepts(GITHUB_STYLE, request())


def test_another_body_is_refused() -> None:
    assert not accepts(GITHUB_STYLE, request(BODY + b" ", x_hub_signature_256=f"sha256={GITHUB}"))
    assert not accepts(GITHUB_STYLE, request(b"", x_hub_signature_256=f"sha256={GITHUB}"))


def test_a_refusal_says_nothing_of_the_secret() -> None:
    with pytest.raises(Refused) as refusal:
        GITHUB_STYLE.check(request(x_hub_signature_256="sha256=00"), SECRET, Nothing())
    assert SECRET not in str(refusal.value)
    assert GITHUB not in str(refusal.value)


def test_another_secret_is_refused() -> None:
    assert not accepts(GITHUB_STYLE, request(x_hub_signature_256=f"sha256={GITHUB}"), "another")


def test_without_a_secret_nothing_is_accepted() -> None:
    forged = digest("sha256", "").hex()
    assert not accepts(GITHUB_STYLE, request(x_hub_signature_256=f"sha256={forged}"), "")
    assert not accepts(hmac_sha256("X-S"), request(x_s=forged), "")
    assert not accepts(hmac_sha1("X-S"), request(x_s=digest("sha1", "").hex()), "")
    assert not accepts(shared_token("X-T"), request(x_t=""), "")
    assert not accepts(shared_token("X-T"), request(), "")


def test_base64() -> None:
    verify = hmac_sha256("X-Shopify-Hmac-Sha256", encoding="base64")
    signature = base64.b64encode(digest("sha256")).decode()
    assert accepts(verify, request(x_shopify_hmac_sha256=signature))
    assert not accepts(verify, request(x_shopify_hmac_sha256=signature.swapcase()))
    assert not accepts(verify, request(x_shopify_hmac_sha256=digest("sha256").hex()))
    assert not accepts(verify, request(x_shopify_hmac_sha256=""))
    assert not accepts(verify, request())


def test_sha1() -> None:
    verify = hmac_sha1("X-Hub-Signature", prefix="sha1=")
    assert accepts(verify, request(x_hub_signature=f"sha1={digest('sha1').hex()}"))
    assert not accepts(verify, request(x_hub_signature=f"sha1={digest('sha256').hex()}"))
    assert not accepts(verify, request(x_hub_signature="sha1="))
    assert accepts(hmac_sha1("X-S", encoding="base64"), request(x_s=base64.b64encode(digest("sha1")).decode()))


@pytest.mark.parametrize(
    ("stamp", "signature", "good"),
    [
        (0, "v1={0}", True),
        (-300, "v1={0}", True),
        (0, "v1=00, v1={0},v0=11", True),
        (-301, "v1={0}", False),
        (301, "v1={0}", False),
        (0, "v0={0}", False),
        (0, "v1=", False),
        (0, "v1={0}0", False),
        (0, "{0}", False),
        (0, "", False),
    ],
)
def test_timestamped(stamp: int, signature: str, good: bool) -> None:
    seconds = int(NOW.timestamp()) + stamp
    digest_of = hmac.new(SECRET.encode(), f"{seconds}.".encode() + BODY, "sha256").hexdigest()
    signed = request(stripe_signature=f"t={seconds},{signature.format(digest_of)}")
    assert accepts(hmac_timestamped("Stripe-Signature"), signed) is good
    assert not accepts(hmac_timestamped("Stripe-Signature"), signed, "")
    assert not accepts(hmac_timestamped("Stripe-Signature"), signed, "another")


@pytest.mark.parametrize("stamp", ["", "now", "-1", "1.0", "٣", "9" * 5000])
def test_timestamped_by_no_time(stamp: str) -> None:
    digest_of = hmac.new(SECRET.encode(), f"{stamp}.".encode() + BODY, "sha256").hexdigest()
    assert not accepts(hmac_timestamped("X-S"), request(x_s=f"t={stamp},v1={digest_of}"))
    assert not accepts(hmac_timestamped("X-S"), request(x_s=f"v1={digest_of}"))


def test_an_address_that_is_signed_too() -> None:
    verify = hmac_sha1("X-Trello-Webhook", encoding="base64", with_url=True)
    signature = base64.b64encode(digest("sha1", body=BODY + b"https://area.example/hooks/x")).decode()
    here = replace(request(x_trello_webhook=signature), url="https://area.example/hooks/x")
    assert accepts(verify, here)
    assert not accepts(verify, replace(here, url="https://area.example/hooks/y"))
    assert not accepts(verify, replace(here, url=""))


def test_shared_token() -> None:
    verify = shared_token("X-Gitlab-Token")
    assert accepts(verify, request(x_gitlab_token=SECRET))
    assert not accepts(verify, request(x_gitlab_token=SECRET.lower()))
    assert not accepts(verify, request(x_gitlab_token=""))
    assert not accepts(verify, request())
    assert accepts(verify, request(x_gitlab_token="clé"), "clé")


def standard(
    signature: str = STANDARD_SIGNATURE,
    *,
    stamp: str = str(STANDARD_STAMP),
    identity: str = STANDARD_ID,
    body: bytes = STANDARD_BODY,
    age: float = 0,
) -> Request:
    at = datetime.fromtimestamp(STANDARD_STAMP, UTC) + timedelta(seconds=age)
    return request(body, at, webhook_id=identity, webhook_timestamp=stamp, webhook_signature=signature)


def test_standard_webhooks_own_example() -> None:
    assert accepts(standard_webhooks(), standard(), STANDARD_SECRET)
    assert accepts(standard_webhooks(), standard(), STANDARD_SECRET.removeprefix("whsec_"))


def test_standard_webhooks_by_svix_own_names() -> None:
    named = {name.replace("webhook-", "svix-"): value for name, value in standard().headers.items()}
    assert accepts(standard_webhooks(), replace(standard(), headers=Headers(named.items())), STANDARD_SECRET)
    assert not accepts(
        standard_webhooks(), replace(standard(body=b"{}"), headers=Headers(named.items())), STANDARD_SECRET
    )
    for name, value in named.items():  # a mix of both is nobody's
        mixed = {**named, name.replace("svix-", "webhook-"): value}
        del mixed[name]
        assert not accepts(standard_webhooks(), replace(standard(), headers=Headers(mixed.items())), STANDARD_SECRET)


def test_standard_webhooks_with_a_secret_that_is_no_base64() -> None:
    signed = f"{STANDARD_ID}.{STANDARD_STAMP}.".encode() + STANDARD_BODY
    signature = base64.b64encode(hmac.new(b"not base64!", signed, hashlib.sha256).digest()).decode()
    assert accepts(standard_webhooks(), standard(f"v1,{signature}"), "not base64!")


def test_standard_webhooks_with_several_signatures() -> None:
    verify = standard_webhooks()
    others = "v1,AAAA v1a,BBBB v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert accepts(verify, standard(f"{others} {STANDARD_SIGNATURE}"), STANDARD_SECRET)
    assert accepts(verify, standard(f"{STANDARD_SIGNATURE} {others}"), STANDARD_SECRET)
    assert not accepts(verify, standard(others), STANDARD_SECRET)


@pytest.mark.parametrize(("age", "good"), [(300, True), (-300, True), (301, False), (-301, False), (86400, False)])
def test_standard_webhooks_with_an_old_timestamp(age: float, good: bool) -> None:
    assert accepts(standard_webhooks(), standard(age=age), STANDARD_SECRET) is good


@pytest.mark.parametrize("stamp", ["", "now", "-1614265330", "1614265330.0", "٣", "1" * 400, "9" * 5000, "1614265331"])
def test_standard_webhooks_with_another_timestamp(stamp: str) -> None:
    assert not accepts(standard_webhooks(), standard(stamp=stamp), STANDARD_SECRET)


def test_standard_webhooks_bind_id_body_and_signature() -> None:
    verify = standard_webhooks()
    assert not accepts(verify, standard(identity="msg_other"), STANDARD_SECRET)
    assert not accepts(verify, standard(identity=""), STANDARD_SECRET)
    assert not accepts(verify, standard(body=b"{}"), STANDARD_SECRET)
    assert not accepts(verify, standard(""), STANDARD_SECRET)
    assert not accepts(verify, standard(STANDARD_SIGNATURE.removeprefix("v1,")), STANDARD_SECRET)
    assert not accepts(verify, request(), STANDARD_SECRET)


@pytest.mark.parametrize("secret", ["", "whsec_"])
def test_standard_webhooks_with_an_empty_secret(secret: str) -> None:
    """An empty key would let anybody sign."""
    signed = f"{STANDARD_ID}.{STANDARD_STAMP}.".encode() + STANDARD_BODY
    forged = base64.b64encode(hmac.new(b"", signed, hashlib.sha256).digest()).decode()
    assert not accepts(standard_webhooks(), standard(f"v1,{forged}"), secret)


@settings(deadline=None)
@given(st.text(), st.text(), st.text(), st.text(min_size=1))
def test_any_header_is_refused_and_nothing_else_raised(identity: str, stamp: str, signature: str, secret: str) -> None:
    sent = request(webhook_id=identity, webhook_timestamp=stamp, webhook_signature=signature, x_s=signature)
    for verify in (standard_webhooks(), hmac_sha256("X-S"), hmac_sha256("X-S", encoding="base64"), hmac_sha1("X-S")):
        assert not accepts(verify, sent, secret + "!")


def test_unsigned_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="reason"):
        unsigned("")
    with pytest.raises(ValueError, match="reason"):
        unsigned(" ")
    verify = unsigned("The vendor signs nothing.")
    assert accepts(verify, request(), "")
    assert verify.reason == "The vendor signs nothing."
    assert not hmac_sha256("X-S").reason


def test_a_jwt() -> None:
    jwt = token(b'{"exp":%d}' % NOW.timestamp())
    assert accepts(bearer_jwt(), request(authorization=f"Bearer {jwt}"), JWT_SECRET)
    assert accepts(bearer_jwt(), request(authorization=f"bearer  {jwt} "), JWT_SECRET)
    for wrong in (
        jwt,
        f"Bearer {jwt}x",
        f"Bearer {jwt[:-1]}",
        f"JWT {jwt}",
        f"Bearer x{jwt}",
        "Bearer ..",
        "Bearer é.é.é",
        "",
    ):
        assert not accepts(bearer_jwt(), request(authorization=wrong), JWT_SECRET), wrong
    assert not accepts(bearer_jwt(), request(authorization=f"Bearer {jwt}"), "another" + JWT_SECRET)
    for algorithm in ("none", "HS512", "RS256"):
        other = token(b'{"exp":%d}' % NOW.timestamp(), header=b'{"alg":"%b"}' % algorithm.encode())
        assert not accepts(bearer_jwt(), request(authorization=f"Bearer {other}"), JWT_SECRET), algorithm


@pytest.mark.parametrize("claim", ["exp", "iat"])
@pytest.mark.parametrize(("age", "good"), [(-3600, True), (0, True), (300, True), (301, False), (86400, False)])
def test_a_jwt_that_has_expired(claim: str, age: int, good: bool) -> None:
    claims = f'{{"{claim}":{NOW.timestamp() - age}}}'.encode()
    assert accepts(bearer_jwt(), request(authorization=f"Bearer {token(claims)}"), JWT_SECRET) is good


@pytest.mark.parametrize("claims", [b"", b"[]", b"no", b"{}", b'{"exp":"soon"}', b'{"exp":null}', b'{"exp":true}'])
def test_a_jwt_that_does_not_say_when_it_ends(claims: bytes) -> None:
    assert not accepts(bearer_jwt(), request(authorization=f"Bearer {token(claims)}"), JWT_SECRET)


def test_a_token_in_the_address() -> None:
    created = token_of(SECRET)
    assert (len(created), created == token_of("another"), SECRET in created) == (64, False, False)
    for query, secret, good in (
        ({"token": created}, SECRET, True),
        ({"token": created}, "another", False),
        ({"token": created[:-1]}, SECRET, False),
        ({"token": "é"}, SECRET, False),
        ({}, SECRET, False),
        ({"token": token_of("")}, "", False),
        ({"token": ""}, "", False),
    ):
        assert accepts(address_token(), replace(request(), query=query), secret) is good, query


def test_a_secret_in_the_query() -> None:
    for query, secret, good in (
        ({"token": SECRET}, SECRET, True),
        ({"token": SECRET + "x"}, SECRET, False),
        ({"token": "é"}, SECRET, False),
        ({"other": SECRET}, SECRET, False),
        ({"token": ""}, "", False),
        ({}, "", False),
    ):
        assert accepts(secret_in_query("token"), replace(request(), query=query), secret) is good, query
