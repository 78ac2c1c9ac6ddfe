"""YouTube's WebSub hub for new videos (https://developers.google.com/youtube/v3/guides/push_notifications)."""

from datetime import timedelta

from pydantic import BaseModel

from area.sdk import Context, Hint, Hook, Permanent, Reply, Request, Sentence, Subscription, hmac_sha1, now

HUB = "https://pubsubhubbub.appspot.com/subscribe"
TOPIC = "https://www.youtube.com/feeds/videos.xml?channel_id="
LASTS = timedelta(days=5)


async def _subscribe(ctx: Context, params: BaseModel, hook: Hook) -> Subscription:
    """Subscribing again with the same topic and URL extends the lease."""
    topic = TOPIC + await _channel(ctx, params.model_dump()["channel"])
    more = {"hub.secret": hook.secret, "hub.lease_seconds": f"{LASTS.total_seconds():.0f}"}
    await _ask(ctx, "subscribe", topic, hook, **more)
    return Subscription(topic, now() + LASTS)


async def _unsubscribe(ctx: Context, params: BaseModel, hook: Hook, subscription: str) -> None:
    await _ask(ctx, "unsubscribe", subscription, hook)


async def _ask(ctx: Context, mode: str, topic: str, hook: Hook, **more: str) -> None:
    # https://pubsubhubbub.github.io/PubSubHubbub/pubsubhubbub-core-0.4.html#subscribing
    request = {"hub.mode": mode, "hub.topic": topic, "hub.callback": hook.url, "hub.verify": "async", **more}
    await ctx.http.call("POST", HUB, data=request)


async def _channel(ctx: Context, channel: str) -> str:
    """ID of a channel, which may be given by its handle."""
    if not channel.startswith("@"):
        return channel
    # https://developers.google.com/youtube/v3/docs/channels/list
    async for row in ctx.http.rows("/channels", params={"part": "id", "forHandle": channel}, most=1):
        return str(row["id"])
    raise Permanent(Sentence("YouTube has no channel %(channel)s.", channel=channel))


def _meant(request: Request) -> Reply | None:
    """Answer the hub's verification of a subscription or its end."""
    challenge = request.query.get("hub.challenge") if request.method == "GET" else None
    return None if challenge is None else Reply(challenge)


published = Hint(hmac_sha1("X-Hub-Signature", "sha1="), _subscribe, _unsubscribe, handshake=_meant)
