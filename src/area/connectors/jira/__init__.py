"""Jira Cloud: triggers on created and changed issues and comments; creates, comments on and transitions issues."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator

from area.connectors.jira import api, hints
from area.sdk import (
    Context,
    Event,
    Events,
    OAuth2,
    Option,
    Output,
    Pages,
    Permanent,
    Quirks,
    Sentence,
    Service,
    lookup,
    output,
    param,
    parse,
    profile,
)
from area.sdk.shapes import Items

service = Service(
    "jira",
    "Jira",
    "React to issues and comments in Jira Cloud; create, comment on, transition and assign issues.",
    base_url="https://api.atlassian.com",
    docs="https://developer.atlassian.com/cloud/jira/platform/rest/v3/intro/",
    pages=Pages("issues", next="nextPageToken", cursor="nextPageToken"),
    # https://developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps/
    auth=OAuth2(
        "https://auth.atlassian.com/authorize",
        "https://auth.atlassian.com/oauth/token",
        # Atlassian does not say whether the address was verified
        profile("/me", id="account_id", name="name", email="email"),
        scopes=("offline_access", "read:me"),
        # as https://auth.atlassian.com/.well-known/openid-configuration says
        revoke_url="https://auth.atlassian.com/oauth/revoke",
        quirks=Quirks(
            client_auth="post",
            token_json=True,
            authorize_params={"audience": "api.atlassian.com", "prompt": "consent"},
            refused=frozenset({"invalid_grant", "unauthorized_client"}),
        ),
    ),
    inbound=hints.inbound,
    quality="verified",
    synonyms={
        "": "ticket, project management, Atlassian, agile, sprint",
        "issue_created": "ticket created, bug reported, issue opened",
        "issue_updated": "ticket updated",
        "status_changed": "ticket changes status, moved to done, transition",
        "comment_added": "reply",
        "create_issue": "create ticket, report bug, open an issue",
        "add_comment": "reply",
        "transition_issue": "close ticket, move, resolve, done",
        "assign_issue": "give to someone",
    },
)

service.options("sites", api.SITES, "url", "name", "url", pages=Pages())

READ, WRITE = ("read:jira-work",), ("read:jira-work", "write:jira-work", "read:jira-user")
OFTEN = timedelta(minutes=2)
LATE = timedelta(minutes=30)  # what was changed just now may be found only some time later
NEWEST, MOST = {"orderBy": "-created", "maxResults": "50"}, 500  # comments at a look, projects to choose from

Site = Annotated[str, param("URL of the site", "https://ada.atlassian.net", pick="sites", pattern=r"^https://")]
Project = Annotated[str, param("Project key", "ENG", pick="projects", pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Jql = Annotated[str, param("Only issues that match this JQL", "issuetype = Bug")]
Key = Annotated[str, param("Issue key", "{{key}}", min_length=1)]
Person = Annotated[str, param("Account ID of the assignee", "5b10ac8d82e05b22", pick="people")]
Status = Annotated[str, param("New status", "Done", pick="statuses")]
Text = Annotated[str, BeforeValidator(api.text_of)]


class Made(Output):
    id: str = output("id", "ID", "10002")
    key: str = output("key", "Key", "ENG-42")
    url: str = output("url", "URL", "https://ada.atlassian.net/browse/ENG-42")


class Issue(Made):
    summary: str | None = output("fields.summary", "Title", "It crashes", None)
    description: Text = output("fields.description", "Text", "When I click twice.", "")
    type: str | None = output("fields.issuetype.name", "Type", "Bug", None)
    status: str | None = output("fields.status.name", "Status", "To Do", None)
    priority: str | None = output("fields.priority.name", "Priority", "High", None)
    assignee: str | None = output("fields.assignee.displayName", "Assignee", "Ada", None)
    reporter: str | None = output("fields.reporter.displayName", "Reporter", "Bob", None)
    labels: list[str] = output("fields.labels", "Labels", ["urgent"], [])
    created_at: datetime = output("fields.created", "Date created", "2026-11-23T09:00:00Z")
    updated_at: datetime = output("fields.updated", "Date of the last change", "2026-11-23T09:05:00Z")


class Touched(Output):
    key: str = output("key", "Key", "ENG-42")
    url: str = output("url", "URL", "https://ada.atlassian.net/browse/ENG-42")


class StatusChange(Issue):
    from_status: str | None = output("change.fromString", "Previous status", "To Do", None)
    to_status: str | None = output("change.toString", "New status", "Done", None)
    changed_by: str | None = output("history.author.displayName", "Person who changed it", "Ada", None)
    changed_at: datetime = output("history.created", "Time of the change", "2026-11-23T09:05:00Z")


class Comment(Output):
    id: str = output("id", "ID", "10011")
    text: Text = output("body", "Text", "Fixed in 2.1.", "")
    author: str | None = output("author.displayName", "Author", "Ada", None)
    created_at: datetime = output("created", "Date written", "2026-11-23T09:00:00Z")
    key: str = output("key", "Issue key", "ENG-42")
    url: str = output("url", "URL of the issue", "https://ada.atlassian.net/browse/ENG-42")


class _Named(Output):
    id: str = output("accountId key id", "ID", "ENG")
    name: str = output("displayName name", "Name", "Engineering")
    kind: str = output("accountType", "Of accounts: atlassian, app or customer", "atlassian", "atlassian")
    to: str = output("to.name", "Where a transition goes", "Done", "")


@service.poll("Issue created", every=OFTEN, overlap=LATE, scopes=READ, hint=hints.project)
async def issue_created(ctx: Context, since: datetime, site: Site, project: Project, jql: Jql = "") -> Events[Issue]:
    """Triggers when an issue is created in a project."""
    async for row in api.issues(ctx, site, project, jql, "created", since):
        issue = parse(Issue, row, "Jira")
        yield Event(issue.id, issue, issue.created_at)


@service.poll("Issue changed", every=OFTEN, overlap=LATE, scopes=READ, hint=hints.project)
async def issue_updated(ctx: Context, since: datetime, site: Site, project: Project, jql: Jql = "") -> Events[Issue]:
    """Triggers when an issue in a project changes: a field, its status, a comment. New issues don't count."""
    async for row in api.issues(ctx, site, project, jql, "updated", since):
        issue = parse(Issue, row, "Jira")
        if issue.updated_at - issue.created_at > timedelta(seconds=2):
            yield Event(f"{issue.id} {issue.updated_at.isoformat()}", issue, issue.updated_at)


@service.poll("Issue status changed", every=OFTEN, overlap=LATE, scopes=READ, hint=hints.project)
async def status_changed(
    ctx: Context, since: datetime, site: Site, project: Project, jql: Jql = ""
) -> Events[StatusChange]:
    """Triggers when an issue in a project changes status."""
    async for row in api.issues(ctx, site, project, jql, "updated", since, expand="changelog"):
        for history in lookup("changelog.histories.*", row, []):
            for change in lookup("items.*", history, []):
                if lookup("field", change) == "status":
                    moved = parse(StatusChange, {**row, "history": history, "change": change}, "Jira")
                    yield Event(f"{moved.id} {lookup('id', history)}", moved, moved.changed_at)


@service.poll("New comment on an issue", every=OFTEN, overlap=LATE, scopes=READ, hint=hints.project)
async def comment_added(ctx: Context, since: datetime, site: Site, project: Project, jql: Jql = "") -> Events[Comment]:
    """Triggers when a comment is added to an issue in a project."""
    known, ctx.state["known"] = ctx.state.get("known", {}), {}
    async for row in api.issues(ctx, site, project, jql, "updated", since):
        issue = parse(Issue, row, "Jira")
        changed = ctx.state["known"][issue.id] = issue.updated_at.isoformat()
        if known.get(issue.id) != changed:  # else nothing was added to it since the last look
            path = await api.at(ctx, site, "/issue/{}/comment", issue.id)
            # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-comments/#api-rest-api-3-issue-issueidorkey-comment-get
            async for item in ctx.http.rows(path, at="comments", params=NEWEST):
                comment = parse(Comment, api.with_address(site, item, issue.key), "Jira")
                yield Event(comment.id, comment, comment.created_at)


@service.reaction("Create an issue", on_crash="fail", scopes=WRITE)
async def create_issue(
    ctx: Context,
    site: Site,
    project: Project,
    type: Annotated[str, param("Issue type, by name or ID", "Bug", pick="issue_types")],
    summary: Annotated[str, param("Title", "It crashes", min_length=1, max_length=255)],
    description: Annotated[str, param("Text", "When I click twice.")] = "",
    assignee: Person = "",
    labels: Annotated[Items, param("Labels, separated by commas", "urgent, web")] = [],  # noqa: B006 - each call has its own
) -> Made:
    """Create an issue in a project."""
    kind = {"id" if type.isdigit() else "name": type}
    fields: dict[str, Any] = {"project": {"key": project}, "issuetype": kind, "summary": summary}
    if description:
        fields["description"] = api.document(description)
    if assignee:
        fields["assignee"] = {"id": assignee}
    if labels:
        fields["labels"] = labels
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-post
    created = await ctx.http.post(await api.at(ctx, site, "/issue"), dict[str, Any], json={"fields": fields})
    return parse(Made, api.with_address(site, created), "Jira")


@service.reaction("Comment on an issue", on_crash="fail", scopes=WRITE)
async def add_comment(
    ctx: Context, site: Site, issue: Key, text: Annotated[str, param("Text", "Fixed in 2.1.", min_length=1)]
) -> Comment:
    path = await api.at(ctx, site, "/issue/{}/comment", issue)
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-comments/#api-rest-api-3-issue-issueidorkey-comment-post
    created = await ctx.http.post(path, dict[str, Any], json={"body": api.document(text)})
    return parse(Comment, api.with_address(site, created, issue), "Jira")


@service.reaction("Change an issue's status", scopes=WRITE, idempotent="same")
async def transition_issue(ctx: Context, site: Site, issue: Key, status: Status) -> Touched:
    """Change an issue's status through the transition that leads there."""
    path, sought = await api.at(ctx, site, "/issue/{}/transitions", issue), status.casefold()
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-issueidorkey-transitions-get
    ways = await ctx.http.get(path, list[_Named], at="transitions")
    way = next((way for way in ways if sought in (way.to.casefold(), way.name.casefold())), None)
    if way is None:
        raise Permanent(
            Sentence(
                '%(issue)s can\'t change to "%(status)s" from its current status. Possible: %(statuses)s.',
                issue=issue,
                status=status,
                statuses=", ".join(way.to or way.name for way in ways) or Sentence("none"),
            )
        )
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-issueidorkey-transitions-post
    await ctx.http.post(path, json={"transition": {"id": way.id}})
    return parse(Touched, api.with_address(site, {}, issue), "Jira")


@service.reaction("Assign an issue", scopes=WRITE, idempotent="same")
async def assign_issue(ctx: Context, site: Site, issue: Key, assignee: Person) -> Touched:
    """Assign an issue to someone."""
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-issueidorkey-assignee-put
    await ctx.http.call("PUT", await api.at(ctx, site, "/issue/{}/assignee", issue), json={"accountId": assignee})
    return parse(Touched, api.with_address(site, {}, issue), "Jira")


@service.lookup("Find an issue", scopes=READ)
async def find_issue(
    ctx: Context, site: Site, jql: Annotated[str, param("JQL", 'project = ENG AND text ~ "crash"', min_length=1)]
) -> Issue | None:
    """Find the first issue that matches a JQL query, in its order."""
    query = {"jql": jql, "fields": api.FIELDS.split(), "maxResults": 1}
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-search/#api-rest-api-3-search-jql-post
    rows = await ctx.http.post(await api.at(ctx, site, "/search/jql"), list[dict[str, Any]], at="issues", json=query)
    return parse(Issue, api.with_address(site, rows[0]), "Jira") if rows else None


@service.picker
async def projects(ctx: Context, site: str) -> list[Option]:
    """The projects of the site that is chosen."""
    path, options = await api.at(ctx, site, "/project/search"), list[Option]()
    while len(options) < MOST:
        query = {"startAt": str(len(options)), "maxResults": "50", "orderBy": "name"}
        # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-projects/#api-rest-api-3-project-search-get
        page = await ctx.http.get(path, params=query)
        options += [Option(value["key"], value["name"], value["key"]) for value in page["values"]]
        if page.get("isLast", True) or not page["values"]:
            break
    return options


@service.picker
async def issue_types(ctx: Context, site: str, project: str) -> list[Option]:
    """The types of issues that the project has."""
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-projects/#api-rest-api-3-project-projectidorkey-get
    types = ctx.http.rows(await api.at(ctx, site, "/project/{}", project), _Named, at="issueTypes")
    return [Option(kind.id, kind.name) async for kind in types]


@service.picker
async def statuses(ctx: Context, site: str) -> list[Option]:
    """All statuses of the site that is chosen."""
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-workflow-statuses/#api-rest-api-3-status-get
    each = await ctx.http.get(await api.at(ctx, site, "/status"), list[_Named])
    return [Option(name, name) for name in dict.fromkeys(item.name for item in each)]


@service.picker
async def people(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """Who issues of the project may be given to; without a project, who is on the site."""
    if not (site := form.get("site")):
        return []
    query = {"maxResults": "200"} | ({"project": form["project"]} if form.get("project") else {})
    path = await api.at(ctx, site, "/user/assignable/search" if "project" in query else "/users/search")
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-user-search/
    each = await ctx.http.get(path, list[_Named], params=query)
    return [Option(item.id, item.name) for item in each if item.kind == "atlassian"]
