"""GitLab, gitlab.com or a server of your own: issues, merge requests, pipelines, pushes and to-dos in; issues, comments and more out."""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BeforeValidator, Field, HttpUrl

from area.connectors.gitlab.hooks import WRITE, Project, asked_for, brought, delivery, pages
from area.sdk import (
    Account,
    Context,
    Event,
    Nothing,
    OAuth2,
    Option,
    Pick,
    Quirks,
    Request,
    Row,
    Service,
    found,
    parse,
    shared_token,
)

SIGNED = shared_token("X-Gitlab-Token")  # https://docs.gitlab.com/user/project/integrations/webhooks/
READ = ("read_api",)
Names = Annotated[
    list[str], BeforeValidator(lambda rows: [one["title"] if isinstance(one, dict) else one for one in rows])
]


async def account(ctx: Context) -> Account:
    """Who agreed; with their e-mail address where it was asked for, as it is to log in."""
    # https://docs.gitlab.com/api/users/#get-the-current-user
    me = await ctx.http.get("/api/v4/user")
    # https://docs.gitlab.com/integration/openid_connect_provider/#shared-information
    answer = await ctx.http.request("GET", "/oauth/userinfo")
    told = parse(dict[str, Any], answer, "GitLab") if answer.status == 200 else {}
    return Account(str(me["id"]), me["username"], told.get("email"), email_verified=told.get("email_verified") is True)


# https://docs.gitlab.com/api/oauth2/#authorization-code-with-proof-key-for-code-exchange-pkce
service = Service(
    "gitlab",
    "GitLab",
    "Issues, merge requests, pipelines, pushes and to-dos of gitlab.com, or of a GitLab server of your own.",
    base_url="https://gitlab.com",
    docs="https://docs.gitlab.com/api/rest/",
    own_server=True,
    auth=OAuth2(
        "https://gitlab.com/oauth/authorize",
        "https://gitlab.com/oauth/token",
        account,
        scopes=("read_user",),
        login_scopes=("read_user", "openid", "email"),
        revoke_url="https://gitlab.com/oauth/revoke",
        quirks=Quirks(client_auth="post", implied={"api": ("read_api", "read_user"), "read_api": ("read_user",)}),
    ),
)


class Branched(Project):
    """Which pushes to a project."""

    branch: Annotated[str, Pick("branches")] = Field("", description="Only to this branch", examples=["main"])


class Ended(Project):
    """Which pipelines of a project."""

    status: Literal["any", "success", "failed", "canceled"] = Field(
        "any", description="How it ended", examples=["failed"]
    )


class IssueText(Project):
    """The issue to open."""

    title: str = Field(min_length=1, max_length=255, description="Title", examples=["It crashes on start"])
    description: str = Field("", description="Text, in Markdown", examples=["Since the last release …"])
    labels: str = Field("", description="Labels, separated by commas", examples=["bug, urgent"])


class Numbered(Project):
    """Which issue."""

    number: int = Field(ge=1, description="Number of the issue in its project", examples=[42])


class Labels(Numbered):
    """The labels to add."""

    labels: str = Field(min_length=1, description="Labels, separated by commas", examples=["bug, urgent"])


class NoteText(Project):
    """The comment to write."""

    on: Literal["issue", "merge_request"] = Field("issue", description="What is commented on", examples=["issue"])
    number: int = Field(ge=1, description="Its number in the project", examples=[42])
    body: str = Field(min_length=1, description="Text, in Markdown", examples=["Thank you, we look into it."])


class Changes(Project):
    """The merge request to open."""

    title: str = Field(min_length=1, max_length=255, description="Title", examples=["Mend the start"])
    source: Annotated[str, Pick("branches")] = Field(description="Branch with the changes", examples=["mend-start"])
    target: Annotated[str, Pick("branches")] = Field(description="Branch that they are for", examples=["main"])
    description: str = Field("", description="Text, in Markdown", examples=["Closes #42"])


class Run(Project):
    """The pipeline to run."""

    ref: Annotated[str, Pick("branches")] = Field("main", description="Branch or tag to run it on", examples=["main"])
    variables: dict[str, str] = Field({}, description="Variables of the pipeline", examples=[{"LEVEL": "debug"}])


class Told(Row):
    """Something of a project."""

    project: str = found("project.path_with_namespace", "Project", "octo/hello-world")


class Issue(Told):
    """An issue."""

    number: int = found("object_attributes.iid", "Number in the project", 42)
    title: str = found("object_attributes.title", "Title", "It crashes on start")
    description: str | None = found("object_attributes.description", "Text, in Markdown", "Since …", None)
    url: HttpUrl = found(
        "object_attributes.url object_attributes.web_url",
        "Address of its page",
        "https://gitlab.com/octo/hello-world/-/issues/42",
    )
    author: str | None = found(
        "user.username object_attributes.author.username", "Login of who did it", "octocat", None
    )
    labels: Names = found("labels object_attributes.labels", "Labels", ["bug"], [])


class MergeRequest(Told):
    """A merge request."""

    number: int = found("object_attributes.iid", "Number in the project", 7)
    title: str = found("object_attributes.title", "Title", "Mend the start")
    description: str | None = found("object_attributes.description", "Text, in Markdown", "Closes #42", None)
    url: HttpUrl = found(
        "object_attributes.url object_attributes.web_url",
        "Address of its page",
        "https://gitlab.com/octo/hello-world/-/merge_requests/7",
    )
    author: str | None = found(
        "user.username object_attributes.author.username", "Login of who did it", "octocat", None
    )
    source: str = found("object_attributes.source_branch", "Branch with the changes", "mend-start")
    target: str = found("object_attributes.target_branch", "Branch that they are for", "main")


class Note(Told):
    """A comment."""

    body: str = found("object_attributes.note", "Text, in Markdown", "Me too")
    on: str = found("object_attributes.noteable_type", "What it is on: Issue, MergeRequest, Commit or Snippet", "Issue")
    title: str | None = found(
        "issue.title merge_request.title commit.message snippet.title",
        "Title of what it is on",
        "It crashes on start",
        None,
    )
    url: HttpUrl = found(
        "object_attributes.url", "Address of the comment", "https://gitlab.com/octo/hello-world/-/issues/42#note_1"
    )
    author: str = found("user.username", "Login of who wrote it", "octocat")


class Pipeline(Told):
    """A pipeline."""

    id: int = found("object_attributes.id", "Its number", 31)
    status: str = found("object_attributes.status", "How it ended", "failed")
    ref: str = found("object_attributes.ref", "Branch or tag", "main")
    commit: str | None = found("commit.message", "Message of the commit", "Mend the start", None)
    duration: float | None = found("object_attributes.duration", "How many seconds it took", 63, None)
    url: HttpUrl = found(
        "object_attributes.url object_attributes.web_url",
        "Address of its page",
        "https://gitlab.com/octo/hello-world/-/pipelines/31",
    )
    user: str | None = found(
        "user.username object_attributes.user.username", "Login of who started it", "octocat", None
    )


class Push(Told):
    """Commits pushed to a branch."""

    branch: Annotated[str, BeforeValidator(lambda ref: ref.removeprefix("refs/heads/"))] = found(
        "ref branch", "Branch", "main"
    )
    pusher: str = found("user_username", "Login of who pushed", "octocat")
    count: int = found("total_commits_count", "How many commits", 1)
    message: str = found("newest.message", "Message of the newest commit", "Mend the start", "")
    commits: list[dict[str, Any]] = found(
        "commits", "The newest 20, each with id, message, url, author", [{"message": "Mend the start"}]
    )


class Todo(Told):
    """A to-do."""

    project: str = found("project.path_with_namespace", "Project, if it is about one", "octo/hello-world", "")
    reason: str = found("action_name", "Why: assigned, mentioned, build_failed, review_requested …", "mentioned")
    title: str | None = found("target.title", "Title of what it is about", "It crashes on start", None)
    body: str = found("body", "What it says", "@octocat look at this", "")
    url: HttpUrl = found("target_url", "Address of what it is about", "https://gitlab.com/octo/hello-world/-/issues/42")
    created_at: datetime = found("created_at", "When it was made", "2026-11-23T09:00:00Z")


@service.webhook("A new issue", verify=SIGNED, scopes=WRITE)
async def new_issue(ctx: Context, params: Project, request: Request) -> AsyncIterator[Event[Issue]]:  # noqa: ARG001
    """An issue is opened in a project; a confidential one starts nothing."""
    if body := brought(request, "issue", "open"):
        yield Event(delivery(request), parse(Issue, body, "GitLab"))


@service.webhook("An issue is closed", verify=SIGNED, scopes=WRITE)
async def issue_closed(ctx: Context, params: Project, request: Request) -> AsyncIterator[Event[Issue]]:  # noqa: ARG001
    """An issue of a project is closed."""
    if body := brought(request, "issue", "close"):
        yield Event(delivery(request), parse(Issue, body, "GitLab"))


@service.webhook("A new merge request", verify=SIGNED, scopes=WRITE)
async def new_merge_request(ctx: Context, params: Project, request: Request) -> AsyncIterator[Event[MergeRequest]]:  # noqa: ARG001
    """A merge request is opened in a project."""
    if body := brought(request, "merge_request", "open"):
        yield Event(delivery(request), parse(MergeRequest, body, "GitLab"))


@service.webhook("A merge request is merged", verify=SIGNED, scopes=WRITE)
async def merge_request_merged(ctx: Context, params: Project, request: Request) -> AsyncIterator[Event[MergeRequest]]:  # noqa: ARG001
    """A merge request of a project is merged."""
    if body := brought(request, "merge_request", "merge"):
        yield Event(delivery(request), parse(MergeRequest, body, "GitLab"))


@service.webhook("A new comment", verify=SIGNED, scopes=WRITE)
async def new_comment(ctx: Context, params: Project, request: Request) -> AsyncIterator[Event[Note]]:  # noqa: ARG001
    """Somebody comments on an issue, a merge request, a commit or a snippet."""
    body = brought(request, "note")
    if body and body["object_attributes"].get("action", "create") == "create":  # before 16.11 edits were not sent
        yield Event(delivery(request), parse(Note, body, "GitLab"))


@service.webhook("A pipeline ends", verify=SIGNED, scopes=WRITE)
async def pipeline_ended(ctx: Context, params: Ended, request: Request) -> AsyncIterator[Event[Pipeline]]:  # noqa: ARG001
    """A pipeline of a project succeeds, fails or is canceled."""
    body = brought(request, "pipeline")
    ends = ("success", "failed", "canceled") if params.status == "any" else (params.status,)
    if body and body["object_attributes"]["status"] in ends:
        yield Event(delivery(request), parse(Pipeline, body, "GitLab"))


@service.webhook("A new push", verify=SIGNED, scopes=WRITE)
async def new_push(ctx: Context, params: Branched, request: Request) -> AsyncIterator[Event[Push]]:  # noqa: ARG001
    """Commits are pushed to a branch. A branch that is deleted starts nothing."""
    body = brought(request, "push")
    deleted = body is not None and set(body.get("after") or "0") == {"0"}
    if body and not deleted and params.branch in ("", body["ref"].removeprefix("refs/heads/")):
        newest = body["commits"][-1] if body["commits"] else None
        yield Event(delivery(request), parse(Push, {**body, "newest": newest}, "GitLab"))


for _action, _events in (
    (new_issue, "issues_events"),
    (issue_closed, "issues_events"),
    (new_merge_request, "merge_requests_events"),
    (merge_request_merged, "merge_requests_events"),
    (new_comment, "note_events"),
    (pipeline_ended, "pipeline_events"),
    (new_push, "push_events"),
):
    asked_for(_action, _events)


@service.poll("A new to-do", every=timedelta(minutes=2), scopes=READ)
async def new_todo(ctx: Context, params: Nothing, since: datetime) -> AsyncIterator[Event[Todo]]:  # noqa: ARG001
    """GitLab puts something on your to-do list: you are mentioned, assigned, asked for a review."""
    # https://docs.gitlab.com/api/todos/#list-all-to-do-items
    for row in await pages(ctx, "/todos"):
        todo = parse(Todo, {name: one for name, one in row.items() if one is not None}, "GitLab")
        yield Event(str(row["id"]), todo, todo.created_at)


def _of(params: Project, told: Any) -> dict[str, Any]:
    """An answer in the form of a webhook."""
    return {"object_attributes": told, "project": {"path_with_namespace": params.project}}


@service.reaction("Open an issue", scopes=WRITE)
async def open_issue(ctx: Context, params: IssueText) -> Issue:
    """Open an issue in a project."""
    # https://docs.gitlab.com/api/issues/#new-issue
    body = params.model_dump(exclude={"project"})
    return parse(Issue, _of(params, await ctx.http.post(params.at("issues"), json=body)), "GitLab")


@service.reaction("Write a comment", scopes=WRITE)
async def write_comment(ctx: Context, params: NoteText) -> Nothing:
    """Comment on an issue or a merge request."""
    # https://docs.gitlab.com/api/notes/#create-new-issue-note and #create-new-merge-request-note
    await ctx.http.post(params.at(f"{params.on}s/{params.number}/notes"), json={"body": params.body})
    return Nothing()


@service.reaction("Add labels", scopes=WRITE)
async def add_labels(ctx: Context, params: Labels) -> Issue:
    """Add labels to an issue."""
    # https://docs.gitlab.com/api/issues/#edit-an-issue
    answer = await ctx.http.call("PUT", params.at(f"issues/{params.number}"), json={"add_labels": params.labels})
    return parse(Issue, _of(params, parse(dict[str, Any], answer, "GitLab")), "GitLab")


@service.reaction("Close an issue", scopes=WRITE)
async def close_issue(ctx: Context, params: Numbered) -> Issue:
    """Close an issue."""
    # https://docs.gitlab.com/api/issues/#edit-an-issue
    answer = await ctx.http.call("PUT", params.at(f"issues/{params.number}"), json={"state_event": "close"})
    return parse(Issue, _of(params, parse(dict[str, Any], answer, "GitLab")), "GitLab")


@service.reaction("Open a merge request", scopes=WRITE)
async def open_merge_request(ctx: Context, params: Changes) -> MergeRequest:
    """Ask for the changes of one branch to be merged into another."""
    body = {"title": params.title, "description": params.description}
    branches = {"source_branch": params.source, "target_branch": params.target}
    # https://docs.gitlab.com/api/merge_requests/#create-mr
    made = await ctx.http.post(params.at("merge_requests"), json=body | branches)
    return parse(MergeRequest, _of(params, made), "GitLab")


@service.reaction("Run a pipeline", scopes=WRITE, on_crash="fail")
async def run_pipeline(ctx: Context, params: Run) -> Pipeline:
    """Run the pipeline of a branch or tag."""
    variables = [{"key": key, "value": value} for key, value in params.variables.items()]
    # https://docs.gitlab.com/api/pipelines/#create-a-new-pipeline
    made = await ctx.http.post(params.at("pipeline"), json={"ref": params.ref, "variables": variables})
    return parse(Pipeline, _of(params, made), "GitLab")


@service.picker
async def projects(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """The user's projects, the busiest first."""
    # https://docs.gitlab.com/api/projects/#list-all-projects
    query = {"membership": "true", "simple": "true", "order_by": "last_activity_at"}
    return [
        Option(one["path_with_namespace"], one["name_with_namespace"]) for one in await pages(ctx, "/projects", query)
    ]


@service.picker
async def branches(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """The branches of the project that was chosen."""
    if not re.fullmatch(r"[^/\s]+(/[^/\s]+)+", form.get("project", "")):
        return []
    # https://docs.gitlab.com/api/branches/#list-repository-branches
    path = f"/projects/{quote(form['project'], safe='')}/repository/branches"
    return [Option(one["name"], one["name"]) for one in await pages(ctx, path)]
