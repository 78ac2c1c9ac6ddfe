"""Reddit: triggers on posts of subreddits and searches, comments, saves and upvotes; posts, comments and saves."""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from area.sdk import (
    Context,
    Event,
    Events,
    OAuth2,
    Output,
    Pages,
    Permanent,
    Quirks,
    Response,
    Retry,
    Sentence,
    Service,
    composed,
    lookup,
    output,
    param,
    parse,
    profile,
    without_blanks,
)
from area.sdk.shapes import ADDRESS

SITE = "https://www.reddit.com"
OFTEN = timedelta(minutes=2)  # 100 requests a minute are allowed for each registration, of all its users together
HOUR = timedelta(hours=1)
# https://support.reddithelp.com/hc/en-us/articles/16160319875092-Reddit-Data-API-Wiki: a user agent that is its own
AGENT = {"User-Agent": "web:area-server:1 (self-hosted)"}
RAW = {"raw_json": "1"}  # < and & come as they are: https://www.reddit.com/dev/api/oauth#response_body_encoding
READ, HISTORY, SUBMIT = ("read", "mysubreddits"), ("history", "read"), ("submit", "mysubreddits")
WAIT = re.compile(r"(\d+) (second|minute)")
FULL = re.compile(r"t[13]_[a-z0-9]+")
COMMENTS = re.compile(r"/comments/([a-z0-9]+)(?:/[^/?]*(?:/([a-z0-9]+))?)?")


def _refusal(response: Response, body: Mapping[str, Any]) -> Retry | Permanent | None:
    """X-Ratelimit-Reset of a 429 is in seconds: https://github.com/reddit-archive/reddit/wiki/API.

    Errors may also come with status 200, as a list of code, message and field.
    """
    reset = response.headers.get("x-ratelimit-reset", "")
    if response.status == 429 and reset.isdecimal() and "retry-after" not in response.headers:
        return Retry("Rate-limited by Reddit.", timedelta(seconds=int(reset) + 1), parks=True)
    for code, message, *_ in lookup("json.errors", body, ()) if response.status < 400 else ():
        if wait := WAIT.search(message) if code == "RATELIMIT" else None:
            return Retry(Sentence("Reddit: %(said)s", said=message), timedelta(**{f"{wait[2]}s": int(wait[1]) + 1}))
        return Permanent(Sentence("Reddit: %(said)s", said=f"{message} ({code})"))
    return None


service = Service(
    "reddit",
    "Reddit",
    "React to posts, comments and what you save or upvote; post, comment and save.",
    docs="https://www.reddit.com/dev/api/oauth",
    base_url="https://oauth.reddit.com",
    headers=AGENT,
    # https://www.reddit.com/dev/api/oauth#listings
    pages=Pages("data.children", next="data.after", cursor="after", query={"limit": "100", **RAW}, most=3),
    refusal=_refusal,
    auth=OAuth2(  # https://github.com/reddit-archive/reddit/wiki/OAuth2
        f"{SITE}/api/v1/authorize",
        f"{SITE}/api/v1/access_token",
        # https://www.reddit.com/dev/api/oauth#GET_api_v1_me: it tells no e-mail address
        profile("/api/v1/me", id="id", name="name"),
        scopes=("identity",),
        login_scopes=("identity",),
        revoke_url=f"{SITE}/api/v1/revoke_token",
        quirks=Quirks(pkce=False, authorize_params={"duration": "permanent"}, token_headers=AGENT),
    ),
    synonyms={
        "": "forum, social media, social network",
        "post_created": "subreddit, new thread",
        "post_found": "keyword, mention",
        "item_kept": "bookmark, upvote",
        "submit_link": "share a URL, post link",
        "submit_text": "thread, discussion",
        "save": "bookmark",
    },
)
# https://www.reddit.com/dev/api/oauth#GET_subreddits_mine_{where}
service.options("subreddits", "/subreddits/mine/subscriber", "data.display_name", "data.display_name", "data.title")


def _subreddit(text: str) -> str:
    return text.strip().removeprefix("/").removeprefix("r/")


Plain = AfterValidator(_subreddit)
Named = Annotated[str, param("Subreddit name", "selfhosted", pick="subreddits")]
Subreddit = Annotated[Named, param("Subreddit name", pattern=r"^\s*/?(r/)?\w{2,21}\s*$"), Plain]
Within = Annotated[Named, param("Only in this subreddit", pattern=r"^\s*(/?(r/)?\w{2,21})?\s*$"), Plain]
Query = Annotated[str, param("Search", "home automation", min_length=1, max_length=512)]
User = Annotated[str, param("Username", "spez", pattern=r"^[\w-]{3,20}$")]
Kept = Annotated[Literal["saved", "upvoted"], param("Saved or upvoted", "saved")]
Title = Annotated[str, param("Title", "Look at this", min_length=1, max_length=300)]
Link = Annotated[str, param("URL to post", "https://example.com/", pattern=r"^https?://", shape=ADDRESS)]
Text = Annotated[str, param("Text, in Markdown", "How do you **do** it?", max_length=40_000)]
Comment = Annotated[str, param("Text, in Markdown", "Well said.", min_length=1, max_length=10_000)]
Target = Annotated[str, param("ID or URL of the post or comment", "t3_15bfi0", min_length=1)]


class Thing(Output):
    id: str = output("data.name", "ID", "t3_15bfi0")
    title: str = output("data.title data.link_title", "Post title", "Look at this", "")
    text: str = output("data.selftext data.body", "Text, in Markdown", "Hello", "")
    author: str = output("data.author", "Author", "spez")
    subreddit: str = output("data.subreddit", "Subreddit name", "selfhosted")
    url: str = composed(f"{SITE}{{data.permalink}}", "URL", f"{SITE}/r/selfhosted/comments/15bfi0/look_at_this/")
    link: str = output("data.url", "Link of the post", "https://example.com/", "")
    created_at: datetime = output("data.created_utc", "Date written", "2026-11-23T09:00:00Z")


class Posted(Output):
    id: str = output("name", "ID", "t3_15bfi0")
    url: str = composed(f"{SITE}{{permalink}}", "URL", f"{SITE}/r/selfhosted/comments/15bfi0/look_at_this/", "")


@service.poll("New post in a subreddit", every=OFTEN, scopes=READ)
def post_created(ctx: Context, subreddit: Subreddit, since: datetime) -> Events[Thing]:
    """Triggers for each new post in a subreddit."""
    # https://www.reddit.com/dev/api/oauth#GET_new
    return _new(ctx, f"/r/{subreddit}/new", {}, since)


@service.poll("New post matching a search", every=OFTEN, overlap=HOUR, scopes=READ)
def post_found(ctx: Context, query: Query, since: datetime, subreddit: Within = "") -> Events[Thing]:
    """Triggers for each new post that matches a search. Reddit's search lags a few minutes behind."""
    asking = {"q": query, "sort": "new", "type": "link"} | without_blanks(restrict_sr="true" if subreddit else "")
    # https://www.reddit.com/dev/api/oauth#GET_search
    return _new(ctx, f"/r/{subreddit}/search" if subreddit else "/search", asking, since)


@service.poll("New comment by a user", every=OFTEN, scopes=HISTORY)
def comment_created(ctx: Context, user: User, since: datetime) -> Events[Thing]:
    """Triggers when a user writes a comment, in any subreddit."""
    # https://www.reddit.com/dev/api/oauth#GET_user_{username}_{where}
    return _new(ctx, f"/user/{user}/comments", {"sort": "new"}, since)


@service.poll("Post or comment saved or upvoted by you", every=OFTEN, scopes=HISTORY)
async def item_kept(ctx: Context, kind: Kept = "saved") -> Events[Thing]:
    """Triggers when you save or upvote a post or comment."""
    if "me" not in ctx.state:
        ctx.state["me"] = await ctx.http.get("/api/v1/me", str, at="name")
    # https://www.reddit.com/dev/api/oauth#GET_user_{username}_{where}: the last saved comes first, and no row says when
    things = [row async for row in ctx.http.rows(f"/user/{ctx.state['me']}/{kind}", Thing, most=100)]
    known = set(ctx.state.get("newest", []))
    # what comes after those that were there is old, also when it comes into view because another was taken away
    for thing in reversed([*takewhile(lambda post: post.id not in known, things)]):
        yield Event(thing.id, thing)
    ctx.state["newest"] = [thing.id for thing in things[:50]]


@service.reaction("Post a link", on_crash="fail", scopes=SUBMIT)
async def submit_link(ctx: Context, subreddit: Subreddit, title: Title, url: Link) -> Posted:
    """Post a link to a subreddit. Fails if the link was already posted there."""
    # https://www.reddit.com/dev/api/oauth#POST_api_submit
    form = {"sr": subreddit, "title": title, "kind": "link", "url": url, "resubmit": "false"}
    return await _post(ctx, "/api/submit", "json.data", form)


@service.reaction("Create a text post", on_crash="fail", scopes=SUBMIT)
async def submit_text(
    ctx: Context, subreddit: Subreddit, title: Annotated[Title, param("Title", "A question")], text: Text = ""
) -> Posted:
    """Create a text post in a subreddit."""
    # https://www.reddit.com/dev/api/oauth#POST_api_submit
    form = {"sr": subreddit, "title": title, "kind": "self", "text": text}
    return await _post(ctx, "/api/submit", "json.data", form)


@service.reaction("Comment", on_crash="fail", scopes=("submit",))
async def comment(ctx: Context, target: Target, text: Comment) -> Posted:
    """Comment on a post or reply to a comment."""
    # https://www.reddit.com/dev/api/oauth#POST_api_comment
    return await _post(ctx, "/api/comment", "json.data.things.0.data", {"thing_id": _id(target), "text": text})


@service.reaction("Save a post or comment", scopes=("save",), idempotent="same")
async def save(ctx: Context, target: Target) -> None:
    # https://www.reddit.com/dev/api/oauth#POST_api_save
    await ctx.http.call("POST", "/api/save", data={"id": _id(target)})


async def _new(ctx: Context, path: str, query: dict[str, str], since: datetime) -> AsyncIterator[Event[Thing]]:
    async for row in ctx.http.rows(path, params=query):
        thing = parse(Thing, row, "Reddit")
        yield Event(thing.id, thing, thing.created_at)
        if thing.created_at < since and not lookup("data.stickied", row):
            return


def _id(target: str) -> str:
    """The full name of a post or comment, also from its URL."""
    if address := COMMENTS.search(target):
        return f"t1_{address[2]}" if address[2] else f"t3_{address[1]}"
    if not FULL.fullmatch(target.strip()):
        raise Permanent(Sentence('"%(text)s" is not the ID or URL of a post or comment.', text=target))
    return target.strip()


async def _post(ctx: Context, path: str, at: str, form: dict[str, str]) -> Posted:
    return await ctx.http.post(path, Posted, at=at, params=RAW, data={"api_type": "json", **form})
