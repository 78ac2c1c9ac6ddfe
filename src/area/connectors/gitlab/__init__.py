"""GitLab, gitlab.com or self-hosted: triggers on issues, merge requests, pipelines, pushes and to-dos; creates issues,
comments and more.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, HttpUrl

from area.connectors.gitlab.hooks import asked_for, at, brought
from area.sdk import (
    Account,
    Action,
    Context,
    Event,
    Events,
    OAuth2,
    Option,
    Output,
    Pages,
    Quirks,
    Request,
    Service,
    output,
    param,
    parse,
    shared_token,
)
from area.sdk.shapes import Items, Shape, marks

SIGNED = shared_token("X-Gitlab-Token")  # https://docs.gitlab.com/user/project/integrations/webhooks/
# https://docs.gitlab.com/integration/oauth_provider/: there is nothing narrower for hooks and issues
READ, WRITE = ("read_api",), ("api",)
PROJECT = r"^[\w.-]+(/[\w.-]+)+$"


async def account(ctx: Context) -> Account:
    """The user who authorized AREA, with their e-mail address if the sign-in scope was granted."""
    # https://docs.gitlab.com/api/users/#get-the-current-user
    me = await ctx.http.get("/api/v4/user")
    # https://docs.gitlab.com/integration/openid_connect_provider/#shared-information
    answer = await ctx.http.request("GET", "/oauth/userinfo")
    body = parse(dict[str, Any], answer, "GitLab") if answer.status == 200 else {}
    return Account(str(me["id"]), me["username"], body.get("email"), email_verified=body.get("email_verified") is True)


# https://docs.gitlab.com/api/oauth2/#authorization-code-with-proof-key-for-code-exchange-pkce
service = Service(
    "gitlab",
    "GitLab",
    "React to issues, merge requests, pipelines, pushes and to-dos; create and comment. gitlab.com or your own server.",
    base_url="https://gitlab.com",
    docs="https://docs.gitlab.com/api/rest/",
    own_server=True,
    # https://docs.gitlab.com/api/rest/#pagination
    pages=Pages(header="X-Next-Page", cursor="page", query={"per_page": "100", "page": "1"}),
    auth=OAuth2(
        "https://gitlab.com/oauth/authorize",
        "https://gitlab.com/oauth/token",
        account,
        scopes=("read_user",),
        login_scopes=("read_user", "openid", "email"),
        revoke_url="https://gitlab.com/oauth/revoke",
        quirks=Quirks(client_auth="post", implied={"api": ("read_api", "read_user"), "read_api": ("read_user",)}),
    ),
    synonyms={
        "": "code, repo, repository, git, developer",
        "new_issue": "bug reported, ticket, issue opened",
        "issue_closed": "ticket resolved",
        "new_merge_request": "MR, pull request, PR, code review",
        "merge_request_merged": "MR merged, pull request merged",
        "new_comment": "note, reply, someone comments",
        "pipeline_ended": "build fails, CI failed, deployment finished",
        "new_push": "commit, code pushed",
        "new_todo": "assigned to me, mention",
        "open_issue": "report bug, ticket, open an issue",
        "write_comment": "comment on an issue, reply",
        "add_labels": "tag, triage",
        "close_issue": "close ticket, resolve",
        "open_merge_request": "MR, pull request",
        "run_pipeline": "deploy, CI, run CI, build",
    },
)
# https://docs.gitlab.com/api/projects/#list-all-projects
BUSIEST = {"membership": "true", "simple": "true", "order_by": "last_activity_at"}
service.options("projects", "/api/v4/projects", "path_with_namespace", "name_with_namespace", params=BUSIEST)

Project = Annotated[str, param("Project, as group/name", "octo/hello-world", pick="projects", pattern=PROJECT)]
Branch = Annotated[str, param("Branch", "main", pick="branches")]
Number = Annotated[int, param("Number of the issue in the project", 42, ge=1)]
Title = Annotated[str, param("Title", "It crashes on start", min_length=1, max_length=255)]
# a line that begins with a slash is an order to GitLab: https://docs.gitlab.com/user/project/quick_actions/
ORDERS = Shape(place=marks(r"(?i)^([ \t]*)/(?=[a-z_]*(?:\s|\Z))", r"\1\\/"))
Text = Annotated[str, param("Text, in Markdown", "Since the last release …", shape=ORDERS)]
Labels = Annotated[Items, param("Labels, separated by commas", "bug, urgent")]
Ends = Literal["any", "success", "failed", "canceled"]
Names = Annotated[
    list[str], BeforeValidator(lambda all_: [label["title"] if isinstance(label, dict) else label for label in all_])
]
Ref = Annotated[str, BeforeValidator(lambda ref: ref.removeprefix("refs/heads/"))]

PAGE = "https://gitlab.com/octo/hello-world/-"
URL = "object_attributes.url object_attributes.web_url"
AUTHOR = "user.username object_attributes.author.username"


class Told(Output):
    project: str = output("project.path_with_namespace", "Project", "octo/hello-world")


Thing = TypeVar("Thing", bound=Told)


class Issue(Told):
    number: int = output("object_attributes.iid", "Number in the project", 42)
    title: str = output("object_attributes.title", "Title", "It crashes on start")
    description: str | None = output("object_attributes.description", "Text, in Markdown", "Since …", None)
    url: HttpUrl = output(URL, "URL", f"{PAGE}/issues/42")
    author: str | None = output(AUTHOR, "Login of the person", "octocat", None)
    labels: Names = output("labels object_attributes.labels", "Labels", ["bug"], [])


class MergeRequest(Told):
    number: int = output("object_attributes.iid", "Number in the project", 7)
    title: str = output("object_attributes.title", "Title", "Mend the start")
    description: str | None = output("object_attributes.description", "Text, in Markdown", "Closes #42", None)
    url: HttpUrl = output(URL, "URL", f"{PAGE}/merge_requests/7")
    author: str | None = output(AUTHOR, "Login of the person", "octocat", None)
    source: str = output("object_attributes.source_branch", "Branch with the changes", "mend-start")
    target: str = output("object_attributes.target_branch", "Branch to merge into", "main")


TITLES = "issue.title merge_request.title commit.message snippet.title"


class Note(Told):
    body: str = output("object_attributes.note", "Text, in Markdown", "Me too")
    on: str = output(
        "object_attributes.noteable_type", "Type of the subject: Issue, MergeRequest, Commit or Snippet", "Issue"
    )
    title: str | None = output(TITLES, "Title of the subject", "It crashes on start", None)
    url: HttpUrl = output("object_attributes.url", "URL of the comment", f"{PAGE}/issues/42#note_1")
    author: str = output("user.username", "Author's login", "octocat")


class Commented(Output):
    id: int = output("id", "ID", 302)
    body: str = output("body", "Text, in Markdown", "Thank you, we look into it.")
    author: str | None = output("author.username", "Author's username", "ada", None)
    created_at: datetime = output("created_at", "Date written", "2026-11-23T09:00:00Z")


class Pipeline(Told):
    id: int = output("object_attributes.id", "Number", 31)
    status: str = output("object_attributes.status", "Result", "failed")
    ref: str = output("object_attributes.ref", "Branch or tag", "main")
    commit: str | None = output("commit.message", "Message of the commit", "Mend the start", None)
    duration: float | None = output("object_attributes.duration", "Duration in seconds", 63, None)
    url: HttpUrl = output(URL, "URL", f"{PAGE}/pipelines/31")
    user: str | None = output(
        "user.username object_attributes.user.username", "Login of the person who started it", "octocat", None
    )


class Push(Told):
    branch: Ref = output("ref branch", "Branch", "main")
    pusher: str = output("user_username", "Login of the person who pushed", "octocat")
    count: int = output("total_commits_count", "Number of commits", 1)
    message: str = output("newest.message", "Message of the latest commit", "Mend the start", "")
    commits: list[dict[str, Any]] = output(
        "commits", "Latest 20 commits, each with id, message, url and author", [{"message": "Mend the start"}]
    )


class Todo(Told):
    project: str = output("project.path_with_namespace", "Project, if any", "octo/hello-world", "")
    reason: str = output("action_name", "Reason: assigned, mentioned, build_failed, review_requested…", "mentioned")
    title: str | None = output("target.title", "Title of the subject", "It crashes on start", None)
    body: str = output("body", "Text", "@octocat look at this", "")
    url: HttpUrl = output("target_url", "URL of the subject", f"{PAGE}/issues/42")
    created_at: datetime = output("created_at", "Date created", "2026-11-23T09:00:00Z")


def webhook(title: str, events: str) -> Callable[[Callable[..., Events[Any]]], Action]:
    """Declare an action for GitLab's webhook `events`."""

    def declare(function: Callable[..., Events[Any]]) -> Action:
        action = service.webhook(title, verify=SIGNED, scopes=WRITE)(function)
        asked_for(action, events)
        return action

    return declare


async def delivered(request: Request, kind: type[Told], body: dict[str, Any] | None) -> Events[Any]:
    """The event of a delivery, if any; its ID stays the same when resent."""
    if body:
        yield Event(request.headers.get("Idempotency-Key", ""), parse(kind, body, "GitLab"))


@service.webhooks(
    ("new_issue", "issue open", Issue, "New issue",
     "Triggers when an issue is opened in a project. Confidential issues are ignored."),
    ("issue_closed", "issue close", Issue, "Issue closed", "Triggers when an issue in a project is closed."),
    ("new_merge_request", "merge_request open", MergeRequest, "New merge request",
     "Triggers when a merge request is opened in a project."),
    ("merge_request_merged", "merge_request merge", MergeRequest, "Merge request merged",
     "Triggers when a merge request in a project is merged."),
    verify=SIGNED,
    scopes=WRITE,
)  # fmt: skip
def changed(request: Request, kind: str, model: type[Told], project: Project) -> Events[Any]:
    """What became of an issue or a merge request."""
    return delivered(request, model, brought(request, *kind.split()))


for _action, _values in changed.each:
    asked_for(_action, f"{_values['kind'].split()[0]}s_events")


@webhook("New comment", "note_events")
def new_comment(request: Request, project: Project) -> Events[Note]:
    """Triggers when someone comments on an issue, merge request, commit or snippet."""
    body = brought(request, "note")
    new = body and body["object_attributes"].get("action", "create") == "create"  # before 16.11 edits were not sent
    return delivered(request, Note, body if new else None)


@webhook("Pipeline finished", "pipeline_events")
def pipeline_ended(
    request: Request, project: Project, status: Annotated[Ends, param("Result", "failed")] = "any"
) -> Events[Pipeline]:
    """Triggers when a pipeline in a project succeeds, fails or is canceled."""
    body = brought(request, "pipeline")
    ends = ("success", "failed", "canceled") if status == "any" else (status,)
    return delivered(request, Pipeline, body if body and body["object_attributes"]["status"] in ends else None)


@webhook("New push", "push_events")
def new_push(
    request: Request, project: Project, branch: Annotated[Branch, param("Only pushes to this branch")] = ""
) -> Events[Push]:
    """Triggers when commits are pushed to a branch. Deleted branches are ignored."""
    body = brought(request, "push") or {"ref": ""}
    deleted = set(body.get("after") or "0") == {"0"}
    if deleted or branch not in ("", body["ref"].removeprefix("refs/heads/")):
        return delivered(request, Push, None)
    return delivered(request, Push, {**body, "newest": body["commits"][-1] if body["commits"] else None})


@service.poll("New to-do", every=timedelta(minutes=2), scopes=READ)
async def new_todo(ctx: Context) -> Events[Todo]:
    """Triggers when GitLab adds an item to your to-do list: you are mentioned, assigned or asked for a review."""
    # https://docs.gitlab.com/api/todos/#list-all-to-do-items
    async for row in ctx.http.rows("/api/v4/todos"):
        todo = parse(Todo, row, "GitLab")
        yield Event(str(row["id"]), todo, todo.created_at)


async def _made(ctx: Context, kind: type[Thing], method: str, project: str, path: str, body: Any) -> Thing:
    """Send the request and parse the response into the webhook's model."""
    answer = await ctx.http.ask(method, at(project, path), dict[str, Any], json=body)
    return parse(kind, {"object_attributes": answer, "project": {"path_with_namespace": project}}, "GitLab")


def _joined(labels: list[str]) -> str:
    """Labels as GitLab expects them; none contains a comma (https://docs.gitlab.com/api/issues/#new-issue)."""
    return ",".join(label.replace(",", " ") for label in labels)


@service.reaction("Create an issue", on_crash="fail", scopes=WRITE)
async def open_issue(
    ctx: Context,
    project: Project,
    title: Title,
    description: Text = "",
    labels: Labels = [],  # noqa: B006
) -> Issue:
    """Create an issue in a project."""
    # https://docs.gitlab.com/api/issues/#new-issue
    body = {"title": title, "description": description, "labels": _joined(labels)}
    return await _made(ctx, Issue, "POST", project, "issues", body)


@service.reaction("Add a comment", on_crash="fail", scopes=WRITE)
async def write_comment(
    ctx: Context,
    project: Project,
    on: Annotated[Literal["issue", "merge_request"], param("What to comment on", "issue")] = "issue",
    *,
    number: Annotated[Number, param("Number in the project")],
    body: Annotated[Text, param("Text, in Markdown", "Thank you, we look into it.", min_length=1)],
) -> Commented:
    """Comment on an issue or merge request."""
    # https://docs.gitlab.com/api/notes/#create-new-issue-note and #create-new-merge-request-note
    return await ctx.http.post(at(project, f"{on}s/{number}/notes"), Commented, json={"body": body})


@service.reaction("Add labels", scopes=WRITE, idempotent="same")
async def add_labels(
    ctx: Context,
    project: Project,
    number: Number,
    labels: Annotated[Labels, param("Labels, separated by commas", min_length=1)],
) -> Issue:
    """Add labels to an issue."""
    # https://docs.gitlab.com/api/issues/#edit-an-issue
    return await _made(ctx, Issue, "PUT", project, f"issues/{number}", {"add_labels": _joined(labels)})


@service.reaction("Close an issue", scopes=WRITE, idempotent="same")
async def close_issue(ctx: Context, project: Project, number: Number) -> Issue:
    # https://docs.gitlab.com/api/issues/#edit-an-issue
    return await _made(ctx, Issue, "PUT", project, f"issues/{number}", {"state_event": "close"})


@service.reaction("Create a merge request", scopes=WRITE, idempotent="same")
async def open_merge_request(
    ctx: Context,
    project: Project,
    title: Annotated[Title, param("Title", "Mend the start")],
    source: Annotated[Branch, param("Branch with the changes", "mend-start")],
    target: Annotated[Branch, param("Branch to merge into")],
    description: Annotated[Text, param("Text, in Markdown", "Closes #42")] = "",
) -> MergeRequest:
    """Open a pull request to merge one branch into another."""
    body = {"title": title, "description": description, "source_branch": source, "target_branch": target}
    # https://docs.gitlab.com/api/merge_requests/#create-mr
    return await _made(ctx, MergeRequest, "POST", project, "merge_requests", body)


@service.reaction("Run a pipeline", scopes=WRITE, on_crash="fail")
async def run_pipeline(
    ctx: Context,
    project: Project,
    ref: Annotated[Branch, param("Branch or tag to run it on")] = "main",
    variables: Annotated[Mapping[str, str], param("Variables for the pipeline", {"LEVEL": "debug"})] = {},
) -> Pipeline:
    """Run a pipeline for a branch or tag."""
    body = {"ref": ref, "variables": [{"key": key, "value": value} for key, value in variables.items()]}
    # https://docs.gitlab.com/api/pipelines/#create-a-new-pipeline
    return await _made(ctx, Pipeline, "POST", project, "pipeline", body)


@service.picker
async def branches(ctx: Context, project: str) -> list[Option]:
    """The branches of the project that was chosen."""
    if not re.fullmatch(r"[^/\s]+(/[^/\s]+)+", project):
        return []
    # https://docs.gitlab.com/api/branches/#list-repository-branches
    return [Option(row["name"], row["name"]) async for row in ctx.http.rows(at(project, "repository/branches"))]
