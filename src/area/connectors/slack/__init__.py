"""Slack: messages, reactions, channels and people of a workspace in; messages, reactions, topics and channels out."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, Field

from area.sdk import (
    Account,
    Context,
    Event,
    Inbound,
    Nothing,
    OAuth2,
    Option,
    Permanent,
    Pick,
    Quirks,
    Reply,
    Request,
    Retry,
    Service,
    hmac_versioned,
    parse,
)

EVERY = timedelta(minutes=1)  # conversations.history may be asked 50 times a minute and workspace,
SELDOM = timedelta(minutes=5)  # conversations.list and users.list 20 times
PAGES = 10  # of one list that are read
SPOKEN = {"", "bot_message", "file_share", "me_message", "thread_broadcast"}  # other subtypes: joins, topics and such
BUSY = {"fatal_error", "internal_error", "ratelimited", "request_timeout", "service_unavailable"}
HISTORY = ("channels:history", "groups:history")


class Channel(BaseModel):
    """Which channel."""

    channel: Annotated[str, Pick("channels")] = Field(description="The channel, by its id", examples=["C012AB3CD"])


class Posts(Channel):
    """Which messages."""

    bots: bool = Field(False, description="Also what bots post, AREA among them", examples=[False])


class Reacted(Channel):
    """Which reactions."""

    emoji: str = Field("", description="Only this emoji, by its name; else any", examples=["white_check_mark"])


class Message(BaseModel):
    """A message."""

    channel: str = Field(description="Id of the channel", examples=["C012AB3CD"])
    ts: str = Field(description="What names the message in its channel", examples=["1795424400.000200"])
    text: str = Field("", description="What it says", examples=["The build is green"])
    user: str | None = Field(None, description="Id of who wrote it", examples=["U061F7AUR"])
    user_name: str = Field("", description="Who wrote it", examples=["ada"])


class Reaction(Message):
    """A reaction, and the message that it was added to."""

    emoji: str = Field(description="Name of the emoji", examples=["white_check_mark"])
    by: str = Field(description="Id of who reacted", examples=["U012AB3CDE"])
    by_name: str = Field(description="Who reacted", examples=["grace"])


class About(BaseModel):
    """A channel."""

    id: str = Field(description="Id of the channel", examples=["C0EAQDV4Z"])
    name: str = Field("", description="Its name", examples=["endeavor"])
    creator: str | None = Field(None, description="Id of who made it", examples=["U061F7AUR"])


class Person(BaseModel):
    """A member of the workspace."""

    id: str = Field(description="Id of the member", examples=["U061F7AUR"])
    name: str = Field(description="Name at Slack", examples=["ada"])
    real_name: str | None = Field(None, description="Full name", examples=["Ada Lovelace"])


class Post(Channel):
    """A message to post."""

    text: str = Field(min_length=1, max_length=40_000, description="What to say, in mrkdwn", examples=["*Done*"])
    thread: str = Field("", description="Message to answer in its thread, by its ts", examples=["1795424400.000200"])


class Direct(BaseModel):
    """A message to somebody."""

    user: Annotated[str, Pick("people")] = Field(description="Who gets it, by id", examples=["U061F7AUR"])
    text: str = Field(min_length=1, max_length=40_000, description="What to say, in mrkdwn", examples=["Tea is ready"])


class Topic(Channel):
    """A topic to set."""

    topic: str = Field(max_length=250, description="The topic, without formatting", examples=["Release on Friday"])


class Emoji(Channel):
    """A reaction to add."""

    ts: str = Field(min_length=1, description="The message, by its ts", examples=["1795424400.000200"])
    emoji: str = Field(min_length=1, description="Name of the emoji, without colons", examples=["eyes"])


class Make(BaseModel):
    """A channel to make."""

    name: str = Field(pattern=r"^[^A-Z\s.]{1,80}$", description="Its name, in small letters", examples=["project-x"])
    private: bool = Field(False, description="Whether only who is invited sees it", examples=[False])


class Posted(BaseModel):
    """Where to find the message."""

    channel: str = Field(description="Id of the channel", examples=["C012AB3CD"])
    ts: str = Field(description="What names the message in its channel", examples=["1795424400.000200"])


async def account(ctx: Context) -> Account:
    """The bot that acts in the workspace; the scopes of bots tell nothing of who agreed."""
    # https://docs.slack.dev/reference/methods/auth.test
    me = await _ask(ctx, "auth.test")
    return Account(f"{me['team_id']}:{me['user_id']}", f"{me['user']} in {me['team']}")


def _news(request: Request) -> list[str]:
    """Whose events they are; which ones is read by polling (https://docs.slack.dev/apis/events-api)."""
    told = request.json()
    parties = told.get("authorizations") if isinstance(told, dict) else None
    if not isinstance(parties, list):
        raise Permanent("This is no event of Slack's.")
    return [f"{one.get('team_id')}:{one.get('user_id')}" for one in parties if isinstance(one, dict)]


def _hello(request: Request) -> Reply | None:
    # https://docs.slack.dev/reference/events/url_verification
    told = request.json()
    if isinstance(told, dict) and told.get("type") == "url_verification":
        return Reply(str(told.get("challenge", "")))
    return None


# https://docs.slack.dev/authentication/installing-with-oauth
service = Service(
    "slack",
    "Slack",
    "Messages, reactions, channels and people of a workspace, and posts, direct messages and topics.",
    docs="https://docs.slack.dev/authentication/installing-with-oauth",
    base_url="https://slack.com/api",
    # https://docs.slack.dev/authentication/verifying-requests-from-slack
    inbound=Inbound(hmac_versioned("X-Slack-Signature", "X-Slack-Request-Timestamp"), _news, _hello),
    auth=OAuth2(
        "https://slack.com/oauth/v2/authorize",
        "https://slack.com/api/oauth.v2.access",
        account,
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
    quality="verified",
)


@service.poll("A message is posted in a channel", every=EVERY, scopes=HISTORY)
async def message_posted(ctx: Context, params: Posts, since: datetime) -> AsyncIterator[Event[Message]]:
    """Fires for each new message of a channel that the app was added to, but not for answers in threads."""
    # https://docs.slack.dev/reference/methods/conversations.history
    oldest = f"{since.timestamp():.6f}"
    for row in await _all(ctx, "conversations.history", "messages", channel=params.channel, oldest=oldest):
        if row.get("subtype", "") in SPOKEN and (params.bots or "bot_id" not in row):
            told = await _told(ctx, params.channel, row)
            yield Event(f"{params.channel}:{row['ts']}", parse(Message, told, "Slack"), _time(row["ts"]))


@service.poll("A reaction is added in a channel", every=EVERY, scopes=(*HISTORY, "reactions:read"))
async def reaction_added(ctx: Context, params: Reacted, since: datetime) -> AsyncIterator[Event[Reaction]]:  # noqa: ARG001
    """Fires for each new reaction to one of the newest 100 messages of a channel that the app was added to."""
    # https://docs.slack.dev/reference/methods/conversations.history
    answer = await _ask(ctx, "conversations.history", channel=params.channel, limit="100")
    wanted = params.emoji.strip(":")
    for row in answer["messages"]:
        for one in row.get("reactions", ()):
            for by in one["users"] if wanted in ("", one["name"]) else ():
                told = await _told(ctx, params.channel, row)
                told |= {"emoji": one["name"], "by": by, "by_name": await _name(ctx, by)}
                yield Event(f"{params.channel}:{row['ts']}:{one['name']}:{by}", parse(Reaction, told, "Slack"))


@service.poll("A channel is made", every=SELDOM)
async def channel_created(ctx: Context, params: Nothing, since: datetime) -> AsyncIterator[Event[About]]:  # noqa: ARG001
    """Fires for each new public channel of the workspace."""
    # https://docs.slack.dev/reference/methods/conversations.list
    for row in await _all(ctx, "conversations.list", "channels", types="public_channel"):
        yield Event(row["id"], parse(About, row, "Slack"), _time(row["created"]))


@service.poll("Somebody joins the workspace", every=SELDOM)
async def member_joined(ctx: Context, params: Nothing, since: datetime) -> AsyncIterator[Event[Person]]:  # noqa: ARG001
    """Fires for each new member; not for bots."""
    for row in await _people(ctx):
        yield Event(row["id"], parse(Person, row, "Slack"))


@service.reaction("Post a message", on_crash="fail", scopes=("chat:write", "chat:write.public"))
async def post_message(ctx: Context, params: Post) -> Posted:
    """Posts in a channel, or answers in a thread. In private channels the app has to be a member."""
    # https://docs.slack.dev/reference/methods/chat.postMessage
    form = {"channel": params.channel, "text": params.text}
    if params.thread:
        form["thread_ts"] = params.thread
    return parse(Posted, await _tell(ctx, "chat.postMessage", **form), "Slack")


@service.reaction("Send a direct message", on_crash="fail", scopes=("chat:write", "im:write"))
async def send_direct_message(ctx: Context, params: Direct) -> Posted:
    """Sends a message to a member of the workspace, as the app."""
    # https://docs.slack.dev/reference/methods/conversations.open
    opened = parse(About, (await _tell(ctx, "conversations.open", users=params.user))["channel"], "Slack")
    return parse(Posted, await _tell(ctx, "chat.postMessage", channel=opened.id, text=params.text), "Slack")


@service.reaction("Add a reaction", scopes=("reactions:write",))
async def add_reaction(ctx: Context, params: Emoji) -> Posted:
    """Reacts to a message with an emoji; that it had been added before is no failure."""
    # https://docs.slack.dev/reference/methods/reactions.add
    form = {"channel": params.channel, "timestamp": params.ts, "name": params.emoji.strip(":")}
    await _tell(ctx, "reactions.add", but="already_reacted", **form)
    return Posted(channel=params.channel, ts=params.ts)


@service.reaction("Set the topic of a channel", scopes=("channels:manage", "groups:write"))
async def set_topic(ctx: Context, params: Topic) -> Nothing:
    """Replaces the topic of a channel that the app was added to."""
    # https://docs.slack.dev/reference/methods/conversations.setTopic
    await _tell(ctx, "conversations.setTopic", channel=params.channel, topic=params.topic)
    return Nothing()


@service.reaction("Make a channel", scopes=("channels:manage", "groups:write"))
async def create_channel(ctx: Context, params: Make) -> About:
    """Makes a channel; fails when there is one of that name."""
    # https://docs.slack.dev/reference/methods/conversations.create
    made = await _tell(ctx, "conversations.create", name=params.name, is_private=str(params.private).lower())
    return parse(About, made["channel"], "Slack")


@service.picker
async def channels(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """Channels that are not archived."""
    rows = await _all(
        ctx, "conversations.list", "channels", types="public_channel,private_channel", exclude_archived="true"
    )
    return [Option(row["id"], f"#{row['name']}", "" if row.get("is_member") else "not a member") for row in rows]


@service.picker
async def people(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """Members of the workspace."""
    return [Option(row["id"], row.get("real_name") or row["name"], row["name"]) for row in await _people(ctx)]


async def _people(ctx: Context) -> list[Any]:
    # https://docs.slack.dev/reference/methods/users.list
    rows = await _all(ctx, "users.list", "members")
    return [row for row in rows if not (row.get("deleted") or row.get("is_bot") or row["id"] == "USLACKBOT")]


async def _told(ctx: Context, channel: str, row: Mapping[str, Any]) -> dict[str, Any]:
    name = await _name(ctx, row["user"]) if row.get("user") else row.get("username", "")
    return {"channel": channel, "ts": row["ts"], "text": row["text"], "user": row.get("user"), "user_name": name}


async def _name(ctx: Context, user: str) -> str:
    """What somebody is called, asked once."""
    names: dict[str, str] = ctx.state.setdefault("names", {})
    if user not in names:
        # https://docs.slack.dev/reference/methods/users.info
        names[user] = (await _ask(ctx, "users.info", user=user))["user"]["name"]
        for oldest in [*names][:-200]:
            del names[oldest]
    return names[user]


async def _all(ctx: Context, method: str, key: str, **query: str) -> list[Any]:
    rows: list[Any] = []
    for _ in range(PAGES):
        answer = await _ask(ctx, method, limit="200", **query)
        rows += answer[key]
        query["cursor"] = (answer.get("response_metadata") or {}).get("next_cursor", "")
        if not query["cursor"]:
            break
    return rows


async def _ask(ctx: Context, method: str, **query: str) -> Any:
    return _checked(method, await ctx.http.get(f"/{method}", params=query))


async def _tell(ctx: Context, method: str, but: str = "", **form: str) -> Any:
    return _checked(method, await ctx.http.post(f"/{method}", data=form), but)


def _checked(method: str, answer: Any, but: str = "") -> Any:
    """Slack answers 200, and says in `ok` and `error` whether it is one."""
    if not isinstance(answer, dict) or "ok" not in answer:
        raise Permanent(f"Slack answered {method} with something else than it documents.")
    error = answer.get("error") or "no reason"
    if answer["ok"] or error == but:
        return answer
    needed = f", {answer['needed']} is needed: connect Slack again" if answer.get("needed") else ""
    said = f"Slack answered {method} with {error}{needed}."
    raise Retry(said, parks=error == "ratelimited") if error in BUSY else Permanent(said)


def _time(seconds: str | int) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)
