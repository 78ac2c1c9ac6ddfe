"""Slack: triggers on messages, reactions, channels and members; sends messages and reactions, sets topics, creates
channels.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from html import escape
from typing import Annotated, Any

from area.sdk import (
    Context,
    Event,
    Events,
    Inbound,
    Made,
    OAuth2,
    Output,
    Pages,
    Permanent,
    Quirks,
    Reply,
    Request,
    Response,
    Retry,
    Sentence,
    Service,
    account_ids,
    hmac_versioned,
    lookup,
    new_events,
    output,
    param,
    parse,
    profile,
    without_blanks,
)
from area.sdk.shapes import Shape, marks

EVERY = timedelta(minutes=1)  # conversations.history may be asked 50 times a minute and workspace,
SELDOM = timedelta(minutes=5)  # conversations.list and users.list 20 times
SPOKEN = {"", "bot_message", "file_share", "me_message", "thread_broadcast"}  # other subtypes: joins, topics and such
BUSY = {"fatal_error", "internal_error", "ratelimited", "request_timeout", "service_unavailable"}
THERE = {"types": "public_channel,private_channel", "exclude_archived": "true"}
SIGNED = hmac_versioned("X-Slack-Signature", "X-Slack-Request-Timestamp")
ID = "{team_id}:{user_id}"
HISTORY, MANAGE = ("channels:history", "groups:history"), ("channels:manage", "groups:write")


def _hello(request: Request) -> Reply | None:
    answer = request.json()  # https://docs.slack.dev/reference/events/url_verification
    return Reply(str(lookup("challenge", answer, ""))) if lookup("type", answer) == "url_verification" else None


def _refusal(response: Response, body: Mapping[str, Any]) -> Retry | Permanent | None:
    """Slack answers 200 and reports errors in `ok` and `error`. "Already done" counts as success."""
    if response.status >= 400 or body.get("ok") or body.get("error") == "already_reacted":
        return None
    method = response.url.partition("?")[0].rpartition("/")[2]
    if "ok" not in body:
        return Permanent(Sentence("Unexpected response from Slack to %(method)s.", method=method))
    error = body.get("error")
    sentence = Sentence(
        "Slack refused %(method)s: %(error)s.", method=method, error=error or Sentence("no reason given")
    )
    if body.get("needed"):
        sentence = Sentence(
            "%(error)s The scope %(scope)s is missing. Reconnect Slack.", error=sentence, scope=body["needed"]
        )
    return Retry(sentence, parks=error == "ratelimited") if error in BUSY else Permanent(sentence)


service = Service(
    "slack",
    "Slack",
    "React to messages, reactions, new channels and members; post messages, set topics and create channels.",
    docs="https://docs.slack.dev/authentication/installing-with-oauth",
    base_url="https://slack.com/api",
    quality="verified",
    # https://docs.slack.dev/apis/web-api/pagination
    pages=Pages(next="response_metadata.next_cursor", cursor="cursor", query={"limit": "200"}, most=10),
    refusal=_refusal,
    # https://docs.slack.dev/authentication/verifying-requests-from-slack, https://docs.slack.dev/apis/events-api
    inbound=Inbound(SIGNED, account_ids("authorizations", ID), _hello),
    auth=OAuth2(
        "https://slack.com/oauth/v2/authorize",
        "https://slack.com/api/oauth.v2.access",
        # https://docs.slack.dev/reference/methods/auth.test: the bot; the scopes of bots tell nothing of who agreed
        profile("/auth.test", id=ID, name="{user} in {team}"),
        scopes=("channels:read", "groups:read", "users:read"),
        revoke_url="https://slack.com/api/auth.revoke",
        quirks=Quirks(
            client_auth="post",  # so that no Authorization header hides the token that auth.revoke gets in a form
            scope_separator=",",
            pkce=False,  # an app that once uses it is a public client for ever
            refused=frozenset({"invalid_grant", "invalid_refresh_token"}),
            expired_field="error",
            expired_codes=frozenset({"account_inactive", "invalid_auth", "token_expired", "token_revoked"}),
        ),
    ),
    synonyms={
        "": "chat, team messaging, workspace",
        "message_posted": "chat message, keyword in Slack, someone writes",
        "reaction_added": "emoji, emoji reaction, thumbs up",
        "member_joined": "new colleague, new user, new teammate, onboarding",
        "post_message": "channel message, chat, notify the team, announce, tell my team, alert a channel",
        "send_direct_message": "DM, private message, text me, send me a message",
        "add_reaction": "emoji",
        "set_topic": "description",
    },
)


def _membership(row: dict[str, Any]) -> str:
    return "" if row.get("is_member") else "not a member"


def _is_person(row: dict[str, Any]) -> bool:
    return not (row.get("deleted") or row.get("is_bot") or row["id"] == "USLACKBOT")


# https://docs.slack.dev/reference/methods/users.list, https://docs.slack.dev/reference/methods/conversations.list
service.options("people", "/users.list", "id", "real_name name", "name", at="members", where=_is_person)
service.options("channels", "/conversations.list", label="#{name}", hint=_membership, at="channels", params=THERE)

Channel = Annotated[str, param("Channel ID", "C012AB3CD", pick="channels")]
User = Annotated[str, param("User ID of the recipient", "U061F7AUR", pick="people", pattern=r"^[^,\s]+$")]
# what stands between < and > mentions, notifies or links:
# https://docs.slack.dev/messaging/formatting-message-text/#escaping
PLAIN = Shape(place=marks("[<>]", lambda sign: escape(sign[0]), "escape_slack"))
Text = Annotated[str, param("Text, in Slack's mrkdwn", "*Done*", min_length=1, max_length=40_000, shape=PLAIN)]
Direct = Annotated[Text, param("Text, in Slack's mrkdwn", "Tea is ready")]
Thread = Annotated[str, param("ts of the message to reply to in its thread", "1795424400.000200")]
Ts = Annotated[str, param("ts of the message", "1795424400.000200", min_length=1)]
Emoji = Annotated[str, param("Emoji name, without colons", "eyes", min_length=1)]
OnlyEmoji = Annotated[str, param("Only this emoji, by name; any if empty", "white_check_mark")]
Bots = Annotated[bool, param("Include messages from bots, AREA included", False)]
Topic = Annotated[str, param("Topic, without formatting", "Release on Friday", max_length=250)]
Name = Annotated[str, param("Name, in lower case", "project-x", pattern=r"^[^A-Z\s.]{1,80}$")]
Private = Annotated[bool, param("Make it private, visible to invited members only", False)]


class Posted(Output):
    channel: str = output("channel", "Channel ID", "C012AB3CD")
    ts: str = output("ts", "Timestamp that identifies the message in its channel", "1795424400.000200")


class Message(Posted):
    text: str = output("text", "Text", "The build is green", "")
    user: str | None = output("user", "Author's ID", "U061F7AUR", None)
    user_name: str = output("user_name", "Author", "ada", "")


class Reaction(Message):
    emoji: str = output("emoji", "Emoji name", "white_check_mark")
    by: str = output("by", "ID of the person who reacted", "U012AB3CDE")
    by_name: str = output("by_name", "Person who reacted", "grace")


class About(Output):
    id: str = output("id", "Channel ID", "C0EAQDV4Z")
    name: str = output("name", "Name", "endeavor", "")
    creator: str | None = output("creator", "ID of the person who created it", "U061F7AUR", None)


class Person(Output):
    id: str = output("id", "Member ID", "U061F7AUR")
    name: str = output("name", "Slack name", "ada")
    real_name: str | None = output("real_name", "Full name", "Ada Lovelace", None)


@service.poll("New message in a channel", every=EVERY, scopes=HISTORY)
async def message_posted(ctx: Context, channel: Channel, since: datetime, *, bots: Bots = False) -> Events[Message]:
    """Triggers for each new message in a channel the app was added to, except replies in threads."""
    query = {"channel": channel, "oldest": f"{since.timestamp():.6f}"}
    # https://docs.slack.dev/reference/methods/conversations.history
    async for row in ctx.http.rows("/conversations.history", at="messages", params=query):
        if row.get("subtype", "") in SPOKEN and (bots or "bot_id" not in row):
            message = parse(Message, await _told(ctx, channel, row), "Slack")
            yield Event(f"{channel}:{message.ts}", message, parse(datetime, message.ts, "Slack"))


@service.poll("New reaction in a channel", every=EVERY, scopes=(*HISTORY, "reactions:read"))
async def reaction_added(ctx: Context, channel: Channel, emoji: OnlyEmoji = "") -> Events[Reaction]:
    """Triggers for each new reaction to one of the latest 100 messages of a channel the app was added to."""
    query, name = {"channel": channel, "limit": "100"}, emoji.strip(":")
    # https://docs.slack.dev/reference/methods/conversations.history
    for row in await ctx.http.get("/conversations.history", list[dict[str, Any]], at="messages", params=query):
        for reaction in row.get("reactions", ()):
            for by in reaction["users"] if name in ("", reaction["name"]) else ():
                message = await _told(ctx, channel, row)
                message |= {"emoji": reaction["name"], "by": by, "by_name": await _name(ctx, by)}
                yield Event(f"{channel}:{row['ts']}:{reaction['name']}:{by}", parse(Reaction, message, "Slack"))


@service.poll("New channel", every=SELDOM)
async def channel_created(ctx: Context) -> Events[About]:
    """Triggers for each new public channel in the workspace."""
    # https://docs.slack.dev/reference/methods/conversations.list
    async for row in ctx.http.rows("/conversations.list", at="channels", params={"types": "public_channel"}):
        yield Event(row["id"], parse(About, row, "Slack"), parse(datetime, row["created"], "Slack"))


@service.poll("New workspace member", every=SELDOM)
def member_joined(ctx: Context) -> Events[Person]:
    """Triggers for each new member, except bots."""
    return new_events(ctx.http.rows("/users.list", Person, at="members", where=_is_person))


@service.reaction("Post a message", on_crash="fail", scopes=("chat:write", "chat:write.public"))
async def post_message(ctx: Context, channel: Channel, text: Text, thread: Thread = "") -> Posted:
    """Post in a channel or reply in a thread. In private channels the app must be a member."""
    # https://docs.slack.dev/reference/methods/chat.postMessage
    return await ctx.http.post(
        "/chat.postMessage", Posted, data=without_blanks(channel=channel, text=text, thread_ts=thread)
    )


@service.reaction("Send a direct message", on_crash="fail", scopes=("chat:write", "im:write"))
async def send_direct_message(ctx: Context, user: User, text: Direct) -> Posted:
    """Send a message to a member of the workspace, as the app."""
    # https://docs.slack.dev/reference/methods/conversations.open
    opened = await ctx.http.post("/conversations.open", Made, at="channel", data={"users": user})
    return await ctx.http.post("/chat.postMessage", Posted, data={"channel": opened.id, "text": text})


@service.reaction("Add a reaction", scopes=("reactions:write",), idempotent="same")
async def add_reaction(ctx: Context, channel: Channel, ts: Ts, emoji: Emoji) -> Posted:
    """React to a message with an emoji. Succeeds if the reaction is already there."""
    # https://docs.slack.dev/reference/methods/reactions.add
    await ctx.http.post("/reactions.add", data={"channel": channel, "timestamp": ts, "name": emoji.strip(":")})
    return Posted(channel=channel, ts=ts)


@service.reaction("Set the topic of a channel", scopes=MANAGE, idempotent="same")
async def set_topic(ctx: Context, channel: Channel, topic: Topic) -> None:
    """Set the topic of a channel the app was added to."""
    # https://docs.slack.dev/reference/methods/conversations.setTopic
    await ctx.http.call("POST", "/conversations.setTopic", data={"channel": channel, "topic": topic})


@service.reaction("Create a channel", scopes=MANAGE, idempotent="same")
async def create_channel(ctx: Context, name: Name, *, private: Private = False) -> About:
    """Create a channel. Fails if one with that name exists."""
    form = {"name": name, "is_private": str(private).lower()}
    # https://docs.slack.dev/reference/methods/conversations.create
    return await ctx.http.post("/conversations.create", About, at="channel", data=form)


async def _told(ctx: Context, channel: str, row: Mapping[str, Any]) -> dict[str, Any]:
    name = await _name(ctx, row["user"]) if row.get("user") else row.get("username", "")
    return {"channel": channel, "ts": row["ts"], "text": row["text"], "user": row.get("user"), "user_name": name}


async def _name(ctx: Context, user: str) -> str:
    """A user's display name, looked up once."""
    names: dict[str, str] = ctx.state.setdefault("names", {})
    if user not in names:
        # https://docs.slack.dev/reference/methods/users.info
        names[user] = await ctx.http.get("/users.info", str, at="user.name", params={"user": user})
        for oldest in [*names][:-200]:
            del names[oldest]
    return names[user]
