"""User IDs of channels."""

from area.sdk import Context, Permanent, Sentence


async def user_id(ctx: Context, channel: str = "") -> str:
    """ID of the channel, or of the user's own."""
    # https://dev.twitch.tv/docs/api/reference#get-users
    users = (await ctx.http.get("/users", params={"login": channel} if channel else {}))["data"]
    if not users:
        raise Permanent(Sentence('Twitch has no channel "%(name)s".', name=channel))
    return str(users[0]["id"])
