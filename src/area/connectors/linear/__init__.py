"""Linear: issues and comments in; issues, their state and comments out."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AliasPath, BaseModel, ConfigDict, Field

from area.sdk import (
    Account,
    Context,
    Event,
    Hook,
    Nothing,
    OAuth2,
    Option,
    Permanent,
    Pick,
    Quirks,
    Refused,
    Request,
    Service,
    Subscription,
    Verify,
    hmac_sha256,
    parse,
)  # fmt: skip

PAGES = 3  # of 100 things to choose from
ADMIN, WRITE = ("admin",), ("write",)  # https://linear.app/developers/webhooks: only admins may have webhooks made
PRIORITIES = ("none", "urgent", "high", "medium", "low")  # 0 to 4
BODY = hmac_sha256("Linear-Signature")
Found = TypeVar("Found", bound=BaseModel)
Team = Annotated[str, Pick("teams")]
State = Annotated[str, Pick("states")]


async def _account(ctx: Context) -> Account:
    me = (await _ask(ctx, "{ viewer { id name email } }"))["viewer"]
    return Account(me["id"], me["name"], me["email"])


service = Service(
    "linear",
    "Linear",
    "Issues and comments as they are written or change state; new issues and comments.",
    docs="https://linear.app/developers",
    base_url="https://api.linear.app",
    quality="verified",
    auth=OAuth2(  # https://linear.app/developers/oauth-2-0-authentication
        "https://linear.app/oauth/authorize",
        "https://api.linear.app/oauth/token",
        _account,
        scopes=("read",),
        revoke_url="https://api.linear.app/oauth/revoke",
        quirks=Quirks(client_auth="post", scope_separator=",", authorize_params={"prompt": "consent"}),
    ),
)


def _check(request: Request, secret: str, params: BaseModel) -> None:
    """The signature, and the time that stands in the signed body (https://linear.app/developers/webhooks#securing-webhooks)."""
    BODY.check(request, secret, params)
    body = request.json()
    stamp = body.get("webhookTimestamp") if isinstance(body, dict) else None
    if not isinstance(stamp, int | float) or abs(request.received_at.timestamp() - stamp / 1000) > 300:
        raise Refused("The webhookTimestamp is missing, or more than five minutes away from now.")


SIGNED = Verify(BODY.name, _check, uses_secret=True)


class InTeam(BaseModel):
    """Which team."""

    team: Team = Field(description="Team", examples=["9cfb482a-81e3-4154-b5b9-2c805e70a02d"])


class Moved(InTeam):
    """Which team, and which state."""

    state: State = Field("", description="Only to this state", examples=["f0d1a1a4-6b0a-4d3f-9c3c-0d4a8d3a8e11"])


class NewIssue(InTeam):
    """An issue to be."""

    title: str = Field(min_length=1, description="Title", examples=["Login fails"])
    text: str = Field("", description="Description, in Markdown", examples=["Since **today**."])
    priority: Literal["none", "urgent", "high", "medium", "low"] = Field(
        "none", description="Priority", examples=["high"]
    )


class OneIssue(BaseModel):
    """Which issue."""

    issue: str = Field(min_length=1, description="Id or identifier of the issue", examples=["ENG-42"])


class NewState(OneIssue, InTeam):
    """Which state an issue is to have."""

    state: State = Field(description="State", examples=["f0d1a1a4-6b0a-4d3f-9c3c-0d4a8d3a8e11"])


class NewComment(OneIssue):
    """What to say of which issue."""

    text: str = Field(min_length=1, description="Text, in Markdown", examples=["Fixed in **1.2**."])


class _Row(BaseModel):
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    id: str = Field(description="Its id", examples=["a1b2c3d4-81e3-4154-b5b9-2c805e70a02d"])
    url: str | None = Field(None, description="Its address", examples=["https://linear.app/acme/issue/ENG-42"])


class Issue(_Row):
    """An issue."""

    identifier: str = Field(description="What people call it", examples=["ENG-42"])
    title: str = Field(description="Title", examples=["Login fails"])
    text: str | None = Field(
        None, validation_alias="description", description="Description", examples=["Since **today**."]
    )
    priority: str = Field("", validation_alias="priorityLabel", description="Priority", examples=["High"])
    state: str = Field(
        "", validation_alias=AliasPath("state", "name"), description="Its state", examples=["In Progress"]
    )
    assignee: str | None = Field(
        None, validation_alias=AliasPath("assignee", "name"), description="Whose it is", examples=["Ada"]
    )


class Comment(_Row):
    """A comment."""

    text: str = Field(validation_alias="body", description="Text", examples=["Fixed in **1.2**."])
    issue: str = Field(
        "",
        validation_alias=AliasPath("issue", "identifier"),
        description="Identifier of the issue",
        examples=["ENG-42"],
    )
    title: str = Field(
        "", validation_alias=AliasPath("issue", "title"), description="Title of the issue", examples=["Login fails"]
    )
    by: str | None = Field(
        None, validation_alias=AliasPath("user", "name"), description="Who wrote it", examples=["Ada"]
    )


FIELDS = "id identifier title description url priorityLabel state { name } assignee { name }"


@service.webhook("An issue is created", verify=SIGNED, scopes=ADMIN)
async def issue_created(ctx: Context, params: InTeam, request: Request) -> AsyncIterator[Event[Issue]]:  # noqa: ARG001
    """An issue of a team is created."""
    if body := _told(request, "Issue", "create"):
        yield _event(request, body, Issue)


@service.webhook("An issue changes its state", verify=SIGNED, scopes=ADMIN)
async def issue_moved(ctx: Context, params: Moved, request: Request) -> AsyncIterator[Event[Issue]]:  # noqa: ARG001
    """An issue of a team gets another state, or a certain one: it is done, for instance."""
    body = _told(request, "Issue", "update")
    if body and "stateId" in (body.get("updatedFrom") or {}) and params.state in ("", body["data"].get("stateId")):
        yield _event(request, body, Issue)


@service.webhook("A comment is written", verify=SIGNED, scopes=ADMIN)
async def comment_created(ctx: Context, params: InTeam, request: Request) -> AsyncIterator[Event[Comment]]:  # noqa: ARG001
    """Somebody comments on an issue of a team."""
    if body := _told(request, "Comment", "create"):
        yield _event(request, body, Comment)


async def _subscribe(ctx: Context, params: InTeam, hook: Hook) -> Subscription:
    for one in (await _ask(ctx, "{ webhooks(first: 250) { nodes { id url } } }"))["webhooks"]["nodes"]:
        if one["url"] == hook.url:
            return Subscription(one["id"])
    create = "mutation ($input: WebhookCreateInput!) { webhookCreate(input: $input) { webhook { id } } }"
    wanted = {"url": hook.url, "secret": hook.secret, "teamId": params.team, "label": "AREA"}
    made = await _ask(ctx, create, input=wanted | {"resourceTypes": ["Issue", "Comment"]})
    return Subscription(made["webhookCreate"]["webhook"]["id"])


async def _unsubscribe(ctx: Context, params: InTeam, hook: Hook, subscription: str) -> None:  # noqa: ARG001
    await _ask(ctx, "mutation ($id: String!) { webhookDelete(id: $id) { success } }", id=subscription)


for webhook in (issue_created, issue_moved, comment_created):
    webhook.subscribe(_subscribe)
    webhook.unsubscribe(_unsubscribe)


@service.poll("An issue is assigned to me", every=timedelta(minutes=5))
async def issue_assigned(ctx: Context, params: Nothing, since: datetime) -> AsyncIterator[Event[Issue]]:  # noqa: ARG001
    """An issue is assigned to the user. Needs no administrator."""
    found = await _ask(
        ctx, f"{{ viewer {{ assignedIssues(first: 100, orderBy: updatedAt) {{ nodes {{ {FIELDS} }} }} }} }}"
    )
    for row in found["viewer"]["assignedIssues"]["nodes"]:
        yield Event(row["id"], parse(Issue, row, "Linear"))


@service.reaction("Create an issue", scopes=WRITE)
async def create_issue(ctx: Context, params: NewIssue) -> Issue:
    """Create an issue in a team."""
    query = f"mutation ($input: IssueCreateInput!) {{ issueCreate(input: $input) {{ issue {{ {FIELDS} }} }} }}"
    wanted = {"teamId": params.team, "title": params.title, "description": params.text}
    made = await _ask(ctx, query, input=wanted | {"priority": PRIORITIES.index(params.priority)})
    return parse(Issue, made["issueCreate"]["issue"], "Linear")


@service.reaction("Change the state of an issue", scopes=WRITE)
async def set_state(ctx: Context, params: NewState) -> Issue:
    """Give an issue another state: done, for instance."""
    query = f"mutation ($id: String!, $input: IssueUpdateInput!) {{ issueUpdate(id: $id, input: $input) {{ issue {{ {FIELDS} }} }} }}"
    made = await _ask(ctx, query, id=params.issue, input={"stateId": params.state})
    return parse(Issue, made["issueUpdate"]["issue"], "Linear")


@service.reaction("Comment on an issue", scopes=WRITE)
async def comment_on_issue(ctx: Context, params: NewComment) -> Comment:
    """Comment on an issue."""
    fields = "id url body issue { identifier title } user { name }"
    query = f"mutation ($input: CommentCreateInput!) {{ commentCreate(input: $input) {{ comment {{ {fields} }} }} }}"
    made = await _ask(ctx, query, input={"issueId": params.issue, "body": params.text})
    return parse(Comment, made["commentCreate"]["comment"], "Linear")


@service.picker
async def teams(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """Teams of the workspace."""
    query = "query ($after: String) { teams(first: 100, after: $after) { nodes { id name key } pageInfo { hasNextPage endCursor } } }"
    found: list[Option] = []
    after = None
    for _ in range(PAGES):  # https://linear.app/developers/pagination
        page = (await _ask(ctx, query, after=after))["teams"]
        found += [Option(one["id"], one["name"], one["key"]) for one in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    return found


@service.picker
async def states(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """States that issues of the chosen team may have."""
    if not form.get("team"):
        return []
    query = "query ($id: String!) { team(id: $id) { states(first: 100) { nodes { id name } } } }"
    found = (await _ask(ctx, query, id=form["team"]))["team"]["states"]["nodes"]
    return [Option(one["id"], one["name"]) for one in found]


def _told(request: Request, kind: str, action: str) -> dict[str, Any] | None:
    """The delivery, if it is of this kind. https://linear.app/developers/webhooks#webhook-payload"""
    body = parse(dict[str, Any], request.json(), "Linear")
    return body if (body.get("type"), body.get("action")) == (kind, action) else None


def _event(request: Request, body: dict[str, Any], model: type[Found]) -> Event[Found]:
    delivery = request.headers.get("Linear-Delivery", "")
    if not delivery:
        raise Permanent("The Linear-Delivery header is missing.")
    row = parse(model, {"url": body.get("url")} | body["data"], "Linear")
    return Event(delivery, row, parse(datetime, body["createdAt"], "Linear"))


async def _ask(ctx: Context, query: str, **variables: Any) -> dict[str, Any]:
    # https://linear.app/developers/graphql, https://linear.app/developers/rate-limiting
    return await ctx.http.graphql(query, variables, limited=("RATELIMITED", "ratelimited"))
