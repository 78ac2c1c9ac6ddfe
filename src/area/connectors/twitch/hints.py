"""Twitch's EventSub for streams and followers (https://dev.twitch.tv/docs/eventsub/handling-webhook-events)."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel

from area.connectors.twitch.users import user_id
from area.sdk import Context, Hint, Hook, Made, Pages, Refused, Reply, Request, Subscription, Verify, lookup, now, parse

SUBSCRIPTIONS = "/eventsub/subscriptions"
HEAD = "Twitch-Eventsub-Message-"
OLDEST = timedelta(minutes=10)  # https://dev.twitch.tv/docs/eventsub/#guarding-against-replay-attacks
CHECKED = timedelta(days=1)  # it ends when this server does not answer for long, and what says so may get lost then
STANDING = {"enabled", "webhook_callback_verification_pending"}


def _check(request: Request, secret: str, _params: BaseModel) -> None:
    """https://dev.twitch.tv/docs/eventsub/handling-webhook-events#verifying-the-event-message"""
    name, stamp, signature = (request.headers.get(HEAD + part, "") for part in ("Id", "Timestamp", "Signature"))
    signed = hmac.new(secret.encode(), (name + stamp).encode() + request.body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(signature.encode(), f"sha256={signed}".encode()):
        raise Refused("The signature doesn't match.")
    try:
        sent = datetime.fromisoformat(stamp).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused("The message has no timestamp.") from None
    if request.received_at - sent > OLDEST:
        raise Refused("The message is more than ten minutes old.")


def _challenge(request: Request) -> Reply | None:
    if request.headers.get(HEAD + "Type") != "webhook_callback_verification":
        return None
    # https://dev.twitch.tv/docs/eventsub/handling-webhook-events#responding-to-a-challenge-request
    return Reply(parse(str, lookup("challenge", request.json()), "Twitch"))


def _revoked(request: Request) -> bool:
    # https://dev.twitch.tv/docs/eventsub/handling-webhook-events#revoking-your-subscription
    return request.headers.get(HEAD + "Type") == "revocation"


async def _unsubscribe(ctx: Context, _params: BaseModel, _hook: Hook, subscription: str) -> None:
    # https://dev.twitch.tv/docs/api/reference#delete-eventsub-subscription
    await ctx.http.app.call("DELETE", SUBSCRIPTIONS, params={"id": subscription})


def _hint(kind: str, version: str, *who: str) -> Hint:
    """The hint for a subscription type whose condition names one user under each key of `who`."""

    async def subscribe(ctx: Context, params: BaseModel, hook: Hook) -> Subscription:
        user = ctx.state.get("id") or await user_id(ctx, params.model_dump().get("channel", ""))
        # https://dev.twitch.tv/docs/api/reference#get-eventsub-subscriptions: those that have ended are shown for days
        pages = Pages("data", next="pagination.cursor", cursor="after")
        async for row in ctx.http.app.rows(SUBSCRIPTIONS, pages=pages, params={"user_id": user}):
            if lookup("transport.callback", row) == hook.url and row["status"] in STANDING:
                return Subscription(row["id"], now() + CHECKED)
        transport = {"method": "webhook", "callback": hook.url, "secret": hook.secret}
        body = {"type": kind, "version": version, "condition": dict.fromkeys(who, user), "transport": transport}
        # https://dev.twitch.tv/docs/api/reference#create-eventsub-subscription
        created = await ctx.http.app.post(SUBSCRIPTIONS, Made, at="data.0", json=body)
        return Subscription(created.id, now() + CHECKED)

    verify = Verify(f"HMAC-SHA256 in {HEAD}Signature", _check, uses_secret=True)
    return Hint(verify, subscribe, _unsubscribe, handshake=_challenge, signs_all=True, over=_revoked)


# https://dev.twitch.tv/docs/eventsub/eventsub-subscription-types#streamonline
online = _hint("stream.online", "1", "broadcaster_user_id")
# https://dev.twitch.tv/docs/eventsub/eventsub-subscription-types#channelfollow: by who may read the list of followers
follow = _hint("channel.follow", "2", "broadcaster_user_id", "moderator_user_id")
