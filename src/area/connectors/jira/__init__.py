"""Jira Cloud: issues made, changed and commented on in; issues, comments and transitions out."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import BaseModel, BeforeValidator, Field

from area.connectors.jira import api
from area.connectors.jira.api import NAME, Named
from area.sdk import Context, Event, Nothing, OAuth2, Option, Permanent, Pick, Quirks, Row, Service, found, parse

service = Service(
    "jira",
    "Jira",
    "Issues of Jira Cloud: made, changed, moved on and commented on; make, comment, move and assign them.",
    base_url="https://api.atlassian.com",
    docs="https://developer.atlassian.com/cloud/jira/platform/rest/v3/intro/",
    # https://developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps/
    auth=OAuth2(
        "https://auth.atlassian.com/authorize",
        "https://auth.atlassian.com/oauth/token",
        api.account,
        scopes=("offline_access", "read:me"),
        revoke_url="https://auth.atlassian.com/oauth/revoke",  # as https://auth.atlassian.com/.well-known/openid-configuration says
        quirks=Quirks(
            client_auth="post",
            token_json=True,
            authorize_params={"audience": "api.atlassian.com", "prompt": "consent"},
            refused=frozenset({"invalid_grant", "unauthorized_client"}),
        ),
    ),
    quality="verified",
)

READ, WRITE = ("read:jira-work",), ("read:jira-work", "write:jira-work", "read:jira-user")
OFTEN = timedelta(minutes=2)
LATE = timedelta(minutes=30)  # what was changed just now may be found only some time later
Text = Annotated[str, BeforeValidator(api.text_of)]


class Site(BaseModel):
    """Which site."""

    site: Annotated[str, Pick("sites")] = Field(
        pattern=r"^https://", description="Address of the site", examples=["https://ada.atlassian.net"]
    )


class Project(Site):
    """Which project."""

    project: Annotated[str, Pick("projects")] = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9_]*$", description="Key of the project", examples=["ENG"]
    )


class Watched(Project):
    """Which issues to look at."""

    jql: str = Field("", description="Only issues that this JQL finds", examples=["issuetype = Bug"])


class NewIssue(Project):
    """The issue to make."""

    type: Annotated[str, Pick("issue_types")] = Field(description="Its type, by name or id", examples=["Bug"])
    summary: str = Field(min_length=1, max_length=255, description="Its title", examples=["It crashes"])
    description: str = Field("", description="What it says", examples=["When I click twice."])
    assignee: Annotated[str, Pick("people")] = Field("", description="Id of who gets it", examples=["5b10ac8d82e05b22"])
    labels: str = Field("", description="Labels, separated by commas", examples=["urgent, web"])


class Which(Site):
    """Which issue."""

    issue: str = Field(min_length=1, description="Key of the issue", examples=["{{key}}"])


class NewComment(Which):
    """What to say on which issue."""

    text: str = Field(min_length=1, description="What to say", examples=["Fixed in 2.1."])


class Transition(Which):
    """Which issue to move on, and where to."""

    status: Annotated[str, Pick("statuses")] = Field(description="The status it is to have", examples=["Done"])


class Assignment(Which):
    """Whose issue it is to be."""

    assignee: Annotated[str, Pick("people")] = Field(description="Id of who gets it", examples=["5b10ac8d82e05b22"])


class Made(Row):
    """An issue that was made."""

    id: str = found("id", "What names it", "10002")
    key: str = found("key", "Its key", "ENG-42")
    url: str = found("url", "Its address", "https://ada.atlassian.net/browse/ENG-42")


class Issue(Made):
    """An issue."""

    summary: str | None = found("fields.summary", "Its title", "It crashes", None)
    description: Text = found("fields.description", "What it says", "When I click twice.", "")
    type: str | None = found("fields.issuetype.name", "Its type", "Bug", None)
    status: str | None = found("fields.status.name", "Its status", "To Do", None)
    priority: str | None = found("fields.priority.name", "Its priority", "High", None)
    assignee: str | None = found("fields.assignee.displayName", "Whose it is", "Ada", None)
    reporter: str | None = found("fields.reporter.displayName", "Who reported it", "Bob", None)
    labels: list[str] = found("fields.labels", "Its labels", ["urgent"], [])
    created_at: datetime = found("fields.created", "When it was made", "2026-11-23T09:00:00Z")
    updated_at: datetime = found("fields.updated", "When it was changed last", "2026-11-23T09:05:00Z")


class StatusChange(Issue):
    """An issue that was moved on."""

    from_status: str | None = found("change.fromString", "The status it had", "To Do", None)
    to_status: str | None = found("change.toString", "The status it got", "Done", None)
    changed_by: str | None = found("history.author.displayName", "Who moved it on", "Ada", None)
    changed_at: datetime = found("history.created", "When it was moved on", "2026-11-23T09:05:00Z")


class Comment(Row):
    """A comment on an issue."""

    id: str = found("id", "What names it", "10011")
    text: Text = found("body", "What it says", "Fixed in 2.1.", "")
    author: str | None = found("author.displayName", "Who wrote it", "Ada", None)
    created_at: datetime = found("created", "When it was written", "2026-11-23T09:00:00Z")
    key: str = found("key", "Key of the issue", "ENG-42")
    url: str = found("url", "Address of the issue", "https://ada.atlassian.net/browse/ENG-42")


class _Change(Row):
    field: str


class _History(Row):
    id: str
    items: list[dict[str, Any]]


class _Changed(Row):
    histories: list[dict[str, Any]] = found("changelog.histories", "What was changed", [], [])


@service.poll("An issue is made", every=OFTEN, overlap=LATE, scopes=READ)
async def issue_created(ctx: Context, params: Watched, since: datetime) -> AsyncIterator[Event[Issue]]:
    """An issue is made in a project."""
    async for row in _issues(ctx, params, "created", since):
        issue = parse(Issue, row, NAME)
        yield Event(issue.id, issue, issue.created_at)


@service.poll("An issue is changed", every=OFTEN, overlap=LATE, scopes=READ)
async def issue_updated(ctx: Context, params: Watched, since: datetime) -> AsyncIterator[Event[Issue]]:
    """An issue of a project is changed: a field, its status, a comment. That it is made does not count."""
    async for row in _issues(ctx, params, "updated", since):
        issue = parse(Issue, row, NAME)
        if issue.updated_at - issue.created_at > timedelta(seconds=2):
            yield Event(f"{issue.id} {issue.updated_at.isoformat()}", issue, issue.updated_at)


@service.poll("The status of an issue changes", every=OFTEN, overlap=LATE, scopes=READ)
async def status_changed(ctx: Context, params: Watched, since: datetime) -> AsyncIterator[Event[StatusChange]]:
    """An issue of a project gets another status."""
    async for row in _issues(ctx, params, "updated", since, expand="changelog"):
        for one in parse(_Changed, row, NAME).histories:
            history = parse(_History, one, NAME)
            for change in history.items:
                if parse(_Change, change, NAME).field == "status":
                    moved = parse(StatusChange, {**row, "history": one, "change": change}, NAME)
                    yield Event(f"{moved.id} {history.id}", moved, moved.changed_at)


@service.poll("A comment is added", every=OFTEN, overlap=LATE, scopes=READ)
async def comment_added(ctx: Context, params: Watched, since: datetime) -> AsyncIterator[Event[Comment]]:
    """A comment is added to an issue of a project."""
    known, ctx.state["known"] = ctx.state.get("known", {}), {}
    async for row in _issues(ctx, params, "updated", since):
        issue = parse(Issue, row, NAME)
        changed = ctx.state["known"][issue.id] = issue.updated_at.isoformat()
        if known.get(issue.id) != changed:  # else nothing was added to it since the last look
            # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-comments/#api-rest-api-3-issue-issueidorkey-comment-get
            path = f"{await api.api(ctx, params.site)}/issue/{issue.id}/comment"
            for one in await api.listed(ctx, path, {"orderBy": "-created", "maxResults": "50"}):
                comment = parse(Comment, api.with_address(params.site, one, issue.key), NAME)
                yield Event(comment.id, comment, comment.created_at)


def _issues(
    ctx: Context, params: Watched, date: str, since: datetime, expand: str = ""
) -> AsyncIterator[dict[str, Any]]:
    """Issues with this date in the window, newest first."""
    also = f" AND ({params.jql})" if params.jql else ""
    jql = f'project = "{params.project}" AND {date} >= {api.since(since)}{also} ORDER BY {date} DESC'
    return api.search(ctx, params.site, jql, expand)


@service.reaction("Make an issue", on_crash="fail", scopes=WRITE)
async def create_issue(ctx: Context, params: NewIssue) -> Made:
    """Make an issue in a project."""
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-post
    kind = {"id" if params.type.isdigit() else "name": params.type}
    fields: dict[str, Any] = {"project": {"key": params.project}, "issuetype": kind, "summary": params.summary}
    if params.description:
        fields["description"] = api.document(params.description)
    if params.assignee:
        fields["assignee"] = {"id": params.assignee}
    if labels := [one.strip() for one in params.labels.split(",") if one.strip()]:
        fields["labels"] = labels
    made = await ctx.http.post(f"{await api.api(ctx, params.site)}/issue", json={"fields": fields})
    return parse(Made, api.with_address(params.site, made), NAME)


@service.reaction("Comment on an issue", on_crash="fail", scopes=WRITE)
async def add_comment(ctx: Context, params: NewComment) -> Comment:
    """Comment on an issue."""
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-comments/#api-rest-api-3-issue-issueidorkey-comment-post
    made = await ctx.http.post(f"{await _issue(ctx, params)}/comment", json={"body": api.document(params.text)})
    return parse(Comment, api.with_address(params.site, made, params.issue), NAME)


@service.reaction("Move an issue on", scopes=WRITE)
async def transition_issue(ctx: Context, params: Transition) -> Nothing:
    """Give an issue another status, by the transition that leads there."""
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-issueidorkey-transitions-get
    path = f"{await _issue(ctx, params)}/transitions"
    ways = parse(list[Named], await api.listed(ctx, path), NAME)
    wanted = params.status.casefold()
    way = next((one for one in ways if wanted in (one.to.casefold(), one.name.casefold())), None)
    if way is None:
        there = ", ".join(one.to or one.name for one in ways) or "nowhere"
        raise Permanent(f"{params.issue} can't be moved to {params.status!r} from where it is; only to: {there}.")
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-issueidorkey-transitions-post
    await ctx.http.post(path, json={"transition": {"id": way.id}})
    return Nothing()


@service.reaction("Assign an issue", scopes=WRITE)
async def assign_issue(ctx: Context, params: Assignment) -> Nothing:
    """Give an issue to somebody."""
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-issueidorkey-assignee-put
    await ctx.http.call("PUT", f"{await _issue(ctx, params)}/assignee", json={"accountId": params.assignee})
    return Nothing()


async def _issue(ctx: Context, params: Which) -> str:
    return f"{await api.api(ctx, params.site)}/issue/{quote(params.issue, safe='')}"


@service.picker
async def sites(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """The sites that the user agreed to."""
    return [Option(one.url, one.name, one.url) for one in await api.sites(ctx)]


@service.picker
async def projects(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """The projects of the site that is chosen."""
    site = form.get("site")
    return [Option(one.id, one.name, one.id) for one in await api.projects(ctx, site)] if site else []


@service.picker
async def issue_types(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """The types of issues that the project has."""
    if not (form.get("site") and form.get("project")):
        return []
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-projects/#api-rest-api-3-project-projectidorkey-get
    path = f"{await api.api(ctx, form['site'])}/project/{quote(form['project'], safe='')}"
    return [Option(one.id, one.name) for one in parse(list[Named], await api.listed(ctx, path), NAME)]


@service.picker
async def statuses(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """All statuses of the site that is chosen."""
    if not form.get("site"):
        return []
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-workflow-statuses/#api-rest-api-3-status-get
    answer = await ctx.http.get(f"{await api.api(ctx, form['site'])}/status")
    return [Option(one, one) for one in dict.fromkeys(each.name for each in parse(list[Named], answer, NAME))]


@service.picker
async def people(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """Who issues of the project may be given to; without a project, who is on the site."""
    if not form.get("site"):
        return []
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-user-search/
    path, project = await api.api(ctx, form["site"]), form.get("project")
    path += "/user/assignable/search" if project else "/users/search"
    answer = await ctx.http.get(path, params={"maxResults": "200"} | ({"project": project} if project else {}))
    return [Option(one.id, one.name) for one in parse(list[Named], answer, NAME) if one.kind == "atlassian"]
