"""Mastodon's Web Push for notifications (https://docs.joinmastodon.org/methods/push/).

An access token has one subscription; someone else's is left alone. Payloads are encrypted and not read, so the
decryption key is thrown away.
"""

import secrets
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import BaseModel

from area.sdk import Context, Gone, Hint, Hook, Made, Permanent, Subscription, now, parse, secret_in_query

PUSH = "/api/v1/push/subscription"
KINDS = ("mention", "favourite", "reblog", "follow", "follow_request", "poll", "status", "update")
CHECKED = timedelta(days=1)  # Mastodon drops it when this server once answers with an error, and does not say so


async def _subscribe(ctx: Context, params: BaseModel, hook: Hook) -> Subscription:
    there, kind = await _there(ctx), params.model_dump()["kind"]
    if there is None:
        wanted = KINDS if kind == "any" else (kind,)
        body = {
            "subscription": {"endpoint": _endpoint(hook), "keys": _keys()},
            "data": {"alerts": {one: one in wanted for one in KINDS}},
        }
        # https://docs.joinmastodon.org/methods/push/#create
        there = await ctx.http.post(PUSH, dict[str, Any], json=body)
    elif there.get("endpoint") != _endpoint(hook):
        raise Permanent("Another application already receives this access token's notifications.")
    return Subscription(parse(Made, there, "Mastodon").id, now() + CHECKED)


async def _unsubscribe(ctx: Context, _params: BaseModel, hook: Hook, _subscription: str) -> None:
    there = await _there(ctx)
    if there is not None and there.get("endpoint") == _endpoint(hook):
        # https://docs.joinmastodon.org/methods/push/#delete
        await ctx.http.call("DELETE", PUSH)


async def _there(ctx: Context) -> dict[str, Any] | None:
    try:
        # https://docs.joinmastodon.org/methods/push/#get
        return await ctx.http.get(PUSH, dict[str, Any], gone=(404,))
    except Gone:
        return None


def _endpoint(hook: Hook) -> str:
    return f"{hook.url}?token={hook.secret}"


def _keys() -> dict[str, str]:
    """https://www.rfc-editor.org/rfc/rfc8291#section-3.1"""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return {"p256dh": _text(point), "auth": _text(secrets.token_bytes(16))}


def _text(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


notified = Hint(secret_in_query("token"), _subscribe, _unsubscribe)
