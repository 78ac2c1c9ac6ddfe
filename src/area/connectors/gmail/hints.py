"""Gmail's push notifications through a Pub/Sub topic (https://developers.google.com/workspace/gmail/api/guides/push).

A mailbox has one watch for all of AREA; a new call replaces the previous one.
"""

from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from pydantic import BaseModel

from area.sdk import Context, Hint, Hook, Inbound, Permanent, Request, Subscription, address_token, lookup, now, parse

ME = "/gmail/v1/users/me"
AGAIN = timedelta(hours=36)  # it lasts for a week, and is to be renewed each day: that is in the last third of this


async def _subscribe(ctx: Context, _params: BaseModel, hook: Hook) -> Subscription:
    # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users/watch
    ends = await ctx.http.post(f"{ME}/watch", int, at="expiration", json={"topicName": hook.url})
    return Subscription(await _mailbox(ctx), min(datetime.fromtimestamp(ends / 1000, UTC), now() + AGAIN))


async def _unsubscribe(ctx: Context, _params: BaseModel, _hook: Hook, subscription: str) -> None:
    if await _mailbox(ctx) == subscription:  # else the user has connected another one since
        # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users/stop
        await ctx.http.call("POST", f"{ME}/stop")


async def _mailbox(ctx: Context) -> str:
    # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users/getProfile
    return (await ctx.http.get(f"{ME}/profile", str, at="emailAddress")).lower()


def _changed(request: Request) -> list[str]:
    """https://docs.cloud.google.com/pubsub/docs/push"""
    data = parse(str, lookup("message.data", parse(dict[str, Any], request.json(), "Gmail")), "Gmail")
    try:
        answer = orjson.loads(urlsafe_b64decode(data.replace("+", "-").replace("/", "_") + "=="))
    except ValueError as error:
        raise Permanent("The message isn't from Gmail.") from error
    return [parse(str, lookup("emailAddress", answer), "Gmail").lower()]


inbound = Inbound(address_token(), subscriptions=_changed, topic=True)
mailbox = Hint(None, _subscribe, _unsubscribe)
