"""Linear: triggers on issues and comments; creates issues, comments and state changes."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel

from area.sdk import (
    Account,
    Context,
    Event,
    Events,
    Hook,
    OAuth2,
    Option,
    Output,
    Permanent,
    Quirks,
    Refused,
    Request,
    Service,
    Subscription,
    Verify,
    hmac_sha256,
    lookup,
    new_events,
    output,
    param,
    parse,
)

ADMIN, WRITE = ("admin",), ("write",)  # https://linear.app/developers/webhooks: only admins may have webhooks made
PRIORITIES = ("none", "urgent", "high", "medium", "low")  # 0 to 4
FIELDS = "{ id identifier title description url priorityLabel state { name } assignee { name } }"
ISSUE = f"issue {FIELDS}"
COMMENT = "comment { id url body issue { identifier title } user { name } }"
BODY = hmac_sha256("Linear-Signature")
Answer = TypeVar("Answer")


async def _account(ctx: Context) -> Account:
    me = await ctx.http.graphql("{ viewer { id name email } }", at="viewer")
    return Account(me["id"], me["name"], me["email"])


service = Service(
    "linear",
    "Linear",
    "React to new issues, status changes and comments; create issues, comment and change their state.",
    docs="https://linear.app/developers",
    base_url="https://api.linear.app",
    limited=("RATELIMITED", "ratelimited"),  # https://linear.app/developers/rate-limiting
    quality="verified",
    auth=OAuth2(  # https://linear.app/developers/oauth-2-0-authentication
        "https://linear.app/oauth/authorize",
        "https://api.linear.app/oauth/token",
        _account,
        scopes=("read",),
        revoke_url="https://api.linear.app/oauth/revoke",
        quirks=Quirks(client_auth="post", scope_separator=",", authorize_params={"prompt": "consent"}),
    ),
    synonyms={
        "": "ticket, project management, bug tracker",
        "issue_created": "ticket created, bug reported, issue opened",
        "issue_moved": "ticket changes status, done",
        "issue_assigned": "my tasks, assigned to me",
        "create_issue": "create ticket, report bug, open an issue",
        "set_state": "close ticket, move, done",
        "comment_on_issue": "reply",
    },
)


def _check(request: Request, secret: str, params: BaseModel) -> None:
    """Verify the signature and the timestamp in the signed body
    (https://linear.app/developers/webhooks#securing-webhooks).
    """
    BODY.check(request, secret, params)
    body = request.json()
    stamp = body.get("webhookTimestamp") if isinstance(body, dict) else None
    if not isinstance(stamp, int | float) or abs(request.received_at.timestamp() - stamp / 1000) > 300:
        raise Refused("The webhookTimestamp is missing or more than five minutes off.")


SIGNED = Verify(BODY.name, _check, uses_secret=True)
Team = Annotated[str, param("Team", "9cfb482a-81e3-4154-b5b9-2c805e70a02d", pick="teams")]
State = Annotated[str, param("State", "f0d1a1a4-6b0a-4d3f-9c3c-0d4a8d3a8e11", pick="states")]
ToState = Annotated[State, param("Only when it changes to this state")]
IssueId = Annotated[str, param("Issue ID or identifier", "ENG-42", min_length=1)]
Text = Annotated[str, param("Text, in Markdown", "Fixed in **1.2**.", min_length=1)]


class _Thing(Output):
    id: str = output("id", "ID", "a1b2c3d4-81e3-4154-b5b9-2c805e70a02d")
    url: str | None = output("url", "URL", "https://linear.app/acme/issue/ENG-42", None)


class Issue(_Thing):
    identifier: str = output("identifier", "Identifier", "ENG-42")
    title: str = output("title", "Title", "Login fails")
    text: str | None = output("description", "Description", "Since **today**.", None)
    priority: str = output("priorityLabel", "Priority", "High", "")
    state: str = output("state.name", "State", "In Progress", "")
    assignee: str | None = output("assignee.name", "Assignee", "Ada", None)


class Comment(_Thing):
    text: str = output("body", "Text", "Fixed in **1.2**.")
    issue: str = output("issue.identifier", "Issue identifier", "ENG-42", "")
    title: str = output("issue.title", "Issue title", "Login fails", "")
    by: str | None = output("user.name", "Author", "Ada", None)


@service.webhook("Issue created", verify=SIGNED, scopes=ADMIN)
def issue_created(request: Request, team: Team) -> Events[Issue]:
    """Triggers when an issue is created in a team."""
    return _told(request, Issue, "Issue", "create")


@service.webhook("Issue state changed", verify=SIGNED, scopes=ADMIN)
def issue_moved(request: Request, team: Team, state: ToState = "") -> Events[Issue]:
    """Triggers when an issue in a team changes state, for example to done."""
    return _told(request, Issue, "Issue", "update", state)


@service.webhook("New comment on an issue", verify=SIGNED, scopes=ADMIN)
def comment_created(request: Request, team: Team) -> Events[Comment]:
    """Triggers when someone comments on an issue in a team."""
    return _told(request, Comment, "Comment", "create")


async def _subscribe(ctx: Context, team: str, hook: Hook) -> Subscription:
    async for node in ctx.http.nodes("{ webhooks(first: 250) { nodes { id url } } }", at="webhooks"):
        if node["url"] == hook.url:
            return Subscription(node["id"])
    create = "mutation ($input: WebhookCreateInput!) { webhookCreate(input: $input) { webhook { id } } }"
    body = {"url": hook.url, "secret": hook.secret, "teamId": team, "label": "AREA"}
    variables = {"input": {**body, "resourceTypes": ["Issue", "Comment"]}}
    return Subscription(await ctx.http.graphql(create, variables, str, at="webhookCreate.webhook.id"))


async def _unsubscribe(ctx: Context, subscription: str) -> None:
    delete = "mutation ($id: String!) { webhookDelete(id: $id) { success } }"
    await ctx.http.graphql(delete, {"id": subscription}, at="webhookDelete")


for webhook in (issue_created, issue_moved, comment_created):
    webhook.subscribe(_subscribe)
    webhook.unsubscribe(_unsubscribe)


@service.poll("Issue assigned to you", every=timedelta(minutes=5))
def issue_assigned(ctx: Context) -> Events[Issue]:
    """Triggers when an issue is assigned to you. Doesn't need an administrator."""
    query = f"{{ viewer {{ assignedIssues(first: 100, orderBy: updatedAt) {{ nodes {FIELDS} }} }} }}"
    return new_events(ctx.http.nodes(query, kind=Issue, at="viewer.assignedIssues"))


@service.reaction("Create an issue", scopes=WRITE, idempotent="key")
async def create_issue(
    ctx: Context,
    team: Team,
    title: Annotated[str, param("Title", "Login fails", min_length=1)],
    text: Annotated[str, param("Description, in Markdown", "Since **today**.")] = "",
    priority: Annotated[Literal["none", "urgent", "high", "medium", "low"], param("Priority", "high")] = "none",
) -> Issue:
    """Create an issue in a team."""
    body = {"teamId": team, "title": title, "description": text, "priority": PRIORITIES.index(priority)}
    return await _make(ctx, Issue, ISSUE, body)


@service.reaction("Change an issue's state", scopes=WRITE, idempotent="same")
async def set_state(ctx: Context, team: Team, issue: IssueId, state: State) -> Issue:
    """Change an issue's state, for example to done."""
    query = f"mutation($id: String!, $input: IssueUpdateInput!) {{ issueUpdate(id: $id, input: $input) {{ {ISSUE} }} }}"
    variables = {"id": issue, "input": {"stateId": state}}
    return await ctx.http.graphql(query, variables, Issue, at="issueUpdate.issue")


@service.lookup("Find an issue")
async def find_issue(
    ctx: Context, team: Team, words: Annotated[str, param("Text in its title", "login", min_length=1)]
) -> Issue | None:
    """Find the issue of a team whose title contains a text; of several, the one that was changed last."""
    query = (
        "query($team: String!, $filter: IssueFilter)"
        f" {{ team(id: $team) {{ issues(first: 1, orderBy: updatedAt, filter: $filter) {{ nodes {FIELDS} }} }} }}"
    )
    variables = {"team": team, "filter": {"title": {"containsIgnoreCase": words}}}
    nodes = await ctx.http.graphql(query, variables, list[Issue], at="team.issues.nodes")
    return nodes[0] if nodes else None


@service.reaction("Comment on an issue", scopes=WRITE, idempotent="key")
async def comment_on_issue(ctx: Context, issue: IssueId, text: Text) -> Comment:
    return await _make(ctx, Comment, COMMENT, {"issueId": issue, "body": text})


@service.picker
async def teams(ctx: Context) -> list[Option]:
    query = (
        "query ($after: String) { teams(first: 100, after: $after)"
        " { nodes { id name key } pageInfo { hasNextPage endCursor } } }"
    )
    # https://linear.app/developers/pagination
    return [Option(node["id"], node["name"], node["key"]) async for node in ctx.http.nodes(query, at="teams", most=3)]


@service.picker
async def states(ctx: Context, team: str) -> list[Option]:
    query = "query ($id: String!) { team(id: $id) { states(first: 100) { nodes { id name } } } }"
    return [Option(node["id"], node["name"]) async for node in ctx.http.nodes(query, {"id": team}, at="team.states")]


async def _told(request: Request, model: type[Output], kind: str, action: str, to: str | None = None) -> Events[Any]:
    """The delivery, if it is of this kind and changes `to` this state.
    https://linear.app/developers/webhooks#webhook-payload
    """
    body = parse(dict[str, Any], request.json(), "Linear")
    moved = "stateId" in (body.get("updatedFrom") or {}) and to in ("", lookup("data.stateId", body))
    if (body.get("type"), body.get("action")) == (kind, action) and (to is None or moved):
        row = parse(model, {"url": body.get("url")} | body["data"], "Linear")
        yield Event(request.header("Linear-Delivery"), row, parse(datetime, body["createdAt"], "Linear"))


async def _make(ctx: Context, kind: type[Answer], fields: str, wanted: dict[str, Any]) -> Answer:
    """Create something under an ID of this run, unless an earlier attempt did. Raises `Permanent`."""
    name = fields.partition(" ")[0]
    query = f"mutation ($input: {name.title()}CreateInput!) {{ {name}Create(input: $input) {{ {fields} }} }}"
    # "the identifier in UUID v4 format", as https://studio.apollographql.com/public/Linear-API/schema says
    own = {"id": str(UUID(int=UUID(ctx.uuid()).int, version=4))} if ctx.idempotency_key else {}
    try:
        return await ctx.http.graphql(query, {"input": wanted | own}, kind, at=f"{name}Create.{name}")
    except Permanent:
        with suppress(Permanent):  # it is not there: then what was said first is the reason
            if own:
                query = f"query ($id: String!) {{ {fields.replace(name, f'{name}(id: $id)', 1)} }}"
                return await ctx.http.graphql(query, own, kind, at=name)
        raise
