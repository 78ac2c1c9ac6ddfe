"""Reddit: posts of subreddits and searches, comments, what is saved and upvoted in; posts, comments and saves out."""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from area.sdk import (
    Account,
    Context,
    Event,
    Nothing,
    OAuth2,
    Option,
    Permanent,
    Pick,
    Quirks,
    Response,
    Retry,
    Row,
    Service,
    found,
    parse,
)

SITE = "https://www.reddit.com"
OFTEN = timedelta(minutes=2)  # 100 requests a minute are allowed for each registration, of all its users together
PAGES = 3  # of 100 rows
# https://support.reddithelp.com/hc/en-us/articles/16160319875092-Reddit-Data-API-Wiki: a user agent that is its own
AGENT = {"User-Agent": "web:area-server:1 (self-hosted)"}
WAIT = re.compile(r"(\d+) (second|minute)")
FULL = re.compile(r"t[13]_[a-z0-9]+")
ADDRESS = re.compile(r"/comments/([a-z0-9]+)(?:/[^/?]*(?:/([a-z0-9]+))?)?")


async def _account(ctx: Context) -> Account:
    me = await _get(ctx, "/api/v1/me")  # https://www.reddit.com/dev/api/oauth#GET_api_v1_me: it tells no e-mail address
    return Account(me["id"], me["name"])


service = Service(
    "reddit",
    "Reddit",
    "Posts of subreddits and searches, comments, and what you save or upvote; posts, comments and saves.",
    docs="https://www.reddit.com/dev/api/oauth",
    base_url="https://oauth.reddit.com",
    auth=OAuth2(  # https://github.com/reddit-archive/reddit/wiki/OAuth2
        f"{SITE}/api/v1/authorize",
        f"{SITE}/api/v1/access_token",
        _account,
        scopes=("identity",),
        login_scopes=("identity",),
        revoke_url=f"{SITE}/api/v1/revoke_token",
        quirks=Quirks(pkce=False, authorize_params={"duration": "permanent"}, token_headers=AGENT),
    ),
)


def _subreddit(text: str) -> str:
    return text.strip().removeprefix("/").removeprefix("r/")


Subreddit = Annotated[str, Pick("subreddits"), AfterValidator(_subreddit)]


class InSubreddit(BaseModel):
    """Which subreddit."""

    subreddit: Subreddit = Field(
        pattern=r"^\s*/?(r/)?\w{2,21}\s*$", description="Name of the subreddit", examples=["selfhosted"]
    )


class Search(BaseModel):
    """What to search for, and where."""

    query: str = Field(min_length=1, max_length=512, description="What to search for", examples=["home automation"])
    subreddit: Subreddit = Field(
        "", pattern=r"^\s*(/?(r/)?\w{2,21})?\s*$", description="Only in this subreddit", examples=["selfhosted"]
    )


class ByUser(BaseModel):
    """Who."""

    user: str = Field(pattern=r"^[\w-]{3,20}$", description="Name of the user", examples=["spez"])


class Kind(BaseModel):
    """What of yours to look at."""

    kind: Literal["saved", "upvoted"] = Field("saved", description="What you do to it", examples=["saved"])


class NewLink(InSubreddit):
    """A link to post."""

    title: str = Field(min_length=1, max_length=300, description="Title", examples=["Look at this"])
    url: str = Field(pattern=r"^https?://", description="Address to post", examples=["https://example.com/"])


class NewText(InSubreddit):
    """A text to post."""

    title: str = Field(min_length=1, max_length=300, description="Title", examples=["A question"])
    text: str = Field("", max_length=40_000, description="Text, in Markdown", examples=["How do you **do** it?"])


class Target(BaseModel):
    """Which post or comment."""

    target: str = Field(min_length=1, description="Post or comment, by its id or address", examples=["t3_15bfi0"])


class NewComment(Target):
    """What to say, and to what."""

    text: str = Field(min_length=1, max_length=10_000, description="Text, in Markdown", examples=["Well said."])


class Thing(Row):
    """A post or a comment."""

    id: str = found("name", "Its id", "t3_15bfi0")
    title: str = found("title link_title", "Title of the post", "Look at this", "")
    text: str = found("selftext body", "What it says, in Markdown", "Hello", "")
    author: str = found("author", "Who wrote it", "spez")
    subreddit: str = found("subreddit", "Name of the subreddit", "selfhosted")
    url: str = found("permalink", "Its address", f"{SITE}/r/selfhosted/comments/15bfi0/look_at_this/")
    link: str = found("url", "What a post links to", "https://example.com/", "")
    created_at: datetime = found("created_utc", "When it was written", "2026-11-23T09:00:00Z")


class Posted(Row):
    """What was posted."""

    id: str = found("name", "Its id", "t3_15bfi0")
    url: str = found("url permalink", "Its address", f"{SITE}/r/selfhosted/comments/15bfi0/look_at_this/", "")


@service.poll("A post is made in a subreddit", every=OFTEN, scopes=("read", "mysubreddits"))
async def post_created(ctx: Context, params: InSubreddit, since: datetime) -> AsyncIterator[Event[Thing]]:
    """There is a new post in a subreddit."""
    # https://www.reddit.com/dev/api/oauth#GET_new
    async for event in _new(ctx, f"/r/{params.subreddit}/new", {}, since):
        yield event


@service.poll("A post matches a search", every=OFTEN, overlap=timedelta(hours=1), scopes=("read", "mysubreddits"))
async def post_found(ctx: Context, params: Search, since: datetime) -> AsyncIterator[Event[Thing]]:
    """There is a new post that matches a search. Reddit finds posts some minutes after they were made."""
    query = {"q": params.query, "sort": "new", "type": "link"}
    path = f"/r/{params.subreddit}/search" if params.subreddit else "/search"
    # https://www.reddit.com/dev/api/oauth#GET_search
    async for event in _new(ctx, path, query | ({"restrict_sr": "true"} if params.subreddit else {}), since):
        yield event


@service.poll("A user comments", every=OFTEN, scopes=("history", "read"))
async def comment_created(ctx: Context, params: ByUser, since: datetime) -> AsyncIterator[Event[Thing]]:
    """A user writes a comment, in any subreddit."""
    # https://www.reddit.com/dev/api/oauth#GET_user_{username}_{where}
    async for event in _new(ctx, f"/user/{params.user}/comments", {"sort": "new"}, since):
        yield event


@service.poll("You save or upvote something", every=OFTEN, scopes=("history", "read"))
async def item_kept(ctx: Context, params: Kind, since: datetime) -> AsyncIterator[Event[Thing]]:  # noqa: ARG001
    """You save or upvote a post or a comment."""
    if "me" not in ctx.state:
        ctx.state["me"] = (await _get(ctx, "/api/v1/me"))["name"]
    # https://www.reddit.com/dev/api/oauth#GET_user_{username}_{where}: the last saved comes first, and no row says when
    page = await _get(ctx, f"/user/{ctx.state['me']}/{params.kind}", {"limit": "100"})
    things, known = [_thing(row) for row in page["data"]["children"]], set(ctx.state.get("newest", []))
    # what comes after those that were there is old, also when it comes into view because another was taken away
    for thing in reversed([*takewhile(lambda one: one.id not in known, things)]):
        yield Event(thing.id, thing)
    ctx.state["newest"] = [thing.id for thing in things[:50]]


@service.reaction("Post a link", on_crash="fail", scopes=("submit", "mysubreddits"))
async def submit_link(ctx: Context, params: NewLink) -> Posted:
    """Post a link to a subreddit. Posted there before, it is refused."""
    return await _submit(ctx, params, {"kind": "link", "url": params.url, "resubmit": "false"})


@service.reaction("Post a text", on_crash="fail", scopes=("submit", "mysubreddits"))
async def submit_text(ctx: Context, params: NewText) -> Posted:
    """Post a text to a subreddit."""
    return await _submit(ctx, params, {"kind": "self", "text": params.text})


@service.reaction("Comment", on_crash="fail", scopes=("submit",))
async def comment(ctx: Context, params: NewComment) -> Posted:
    """Comment on a post, or answer a comment."""
    # https://www.reddit.com/dev/api/oauth#POST_api_comment
    made = await _post(ctx, "/api/comment", {"thing_id": _id(params.target), "text": params.text})
    row = made["things"][0]["data"]
    return parse(Posted, {"name": row["name"], "url": f"{SITE}{row.get('permalink', '')}"}, "Reddit")


@service.reaction("Save a post or a comment", scopes=("save",))
async def save(ctx: Context, params: Target) -> Nothing:
    """Save a post or a comment."""
    # https://www.reddit.com/dev/api/oauth#POST_api_save
    await ctx.http.call("POST", "/api/save", data={"id": _id(params.target)}, headers=AGENT)
    return Nothing()


@service.picker
async def subreddits(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """The subreddits that the user has joined."""
    # https://www.reddit.com/dev/api/oauth#GET_subreddits_mine_{where}
    rows = [row["data"] async for row in _all(ctx, "/subreddits/mine/subscriber", {})]
    return [Option(one["display_name"], one["display_name"], one.get("title") or "") for one in rows]


async def _new(ctx: Context, path: str, query: dict[str, str], since: datetime) -> AsyncIterator[Event[Thing]]:
    async for row in _all(ctx, path, query):
        thing = _thing(row)
        yield Event(thing.id, thing, thing.created_at)
        if thing.created_at < since and not row["data"].get("stickied"):
            return


async def _all(ctx: Context, path: str, query: dict[str, str]) -> AsyncIterator[dict[str, Any]]:
    query = {"limit": "100", **query}
    for _ in range(PAGES):  # https://www.reddit.com/dev/api/oauth#listings
        page = (await _get(ctx, path, query))["data"]
        for row in page["children"]:
            yield row
        if not page["after"]:
            return
        query["after"] = page["after"]


def _thing(row: dict[str, Any]) -> Thing:
    data = row["data"]
    return parse(Thing, data | {"permalink": f"{SITE}{data.get('permalink', '')}"}, "Reddit")


def _id(target: str) -> str:
    """The full name of a post or a comment that is given by it or by its address."""
    address = ADDRESS.search(target)
    if address:
        return f"t1_{address[2]}" if address[2] else f"t3_{address[1]}"
    if not FULL.fullmatch(target.strip()):
        raise Permanent(f"{target!r} is no id or address of a post or a comment.")
    return target.strip()


async def _get(ctx: Context, path: str, query: dict[str, str] | None = None) -> dict[str, Any]:
    # with raw_json, < and & come as they are: https://www.reddit.com/dev/api/oauth#response_body_encoding
    response = await ctx.http.request("GET", path, params={"raw_json": "1", **(query or {})}, headers=AGENT)
    _limits(ctx, response)
    return parse(dict[str, Any], response, "Reddit")


async def _submit(ctx: Context, params: NewLink | NewText, more: dict[str, str]) -> Posted:
    # https://www.reddit.com/dev/api/oauth#POST_api_submit
    made = await _post(ctx, "/api/submit", {"sr": params.subreddit, "title": params.title, **more})
    return parse(Posted, made, "Reddit")


async def _post(ctx: Context, path: str, form: dict[str, str]) -> dict[str, Any]:
    """What was made. A refusal is answered with 200, too, as a list of its code, its sentence and the field."""
    form = {"api_type": "json", **form}
    response = await ctx.http.request("POST", path, params={"raw_json": "1"}, data=form, headers=AGENT)
    _limits(ctx, response)
    answer = parse(dict[str, Any], response, "Reddit").get("json") or {}
    for code, said, *_ in answer.get("errors") or []:
        wait = WAIT.search(said) if code == "RATELIMIT" else None
        if wait:
            raise Retry(f"Reddit: {said}", timedelta(**{f"{wait[2]}s": int(wait[1]) + 1}))
        raise Permanent(f"Reddit: {said} ({code})")
    return parse(dict[str, Any], answer.get("data"), "Reddit")


def _limits(ctx: Context, response: Response) -> None:
    """A 429 says in X-Ratelimit-Reset, in seconds, for how long: https://github.com/reddit-archive/reddit/wiki/API."""
    reset = response.headers.get("x-ratelimit-reset", "")
    if response.status == 429 and reset.isdecimal() and "retry-after" not in response.headers:
        raise Retry("Reddit takes no more requests just now.", timedelta(seconds=int(reset) + 1), parks=True)
    ctx.http.check(response)
