"""User IDs of channels."""

from area.sdk import Context, Permanent


async def user_id(ctx: Context, channel: str = "") -> str:
    """ID of the channel, or of the user's own."""
    # https://dev.twitch.tv/docs/api/reference#get-users
    users = (await ctx.http.get("/users", params={"login": channel} if channel else {}))["data"]
    if not users:
        raise Permanent(f"Twitch has no channel {channel!r}.")
    return str(users[0]["id"])
