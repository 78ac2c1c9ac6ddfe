"""GitHub: issues, pull requests, pushes, releases and everything else that it tells by webhook; issues, gists, workflows out."""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from area.connectors.github import events
from area.connectors.github.hooks import REPOSITORY_HOOKS, SIGNED, Repository, asked_for, brought, delivery, pages
from area.connectors.github.told import (
    Comment,
    Issue,
    NewRepository,
    Notification,
    Page,
    PullRequest,
    Push,
    Release,
    Star,
)
from area.sdk import Account, Context, Event, Nothing, OAuth2, Option, Pick, Quirks, Request, Service, parse


async def account(ctx: Context) -> Account:
    """Who agreed; with their primary e-mail address where it was asked for, as it is to log in."""
    # https://docs.github.com/rest/users/users#get-the-authenticated-user
    me = await ctx.http.get("/user")
    # https://docs.github.com/rest/users/emails#list-email-addresses-for-the-authenticated-user
    answer = await ctx.http.request("GET", "/user/emails")
    known = parse(list[dict[str, Any]], answer, "GitHub") if answer.status == 200 else []
    primary: dict[str, Any] = next((one for one in known if one["primary"]), {"email": None, "verified": False})
    return Account(str(me["id"]), me["login"], primary["email"], email_verified=primary["verified"])


# https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
service = Service(
    "github",
    "GitHub",
    "Issues, pull requests, pushes, releases and all else that happens in repositories and organizations.",
    base_url="https://api.github.com",
    docs="https://docs.github.com/rest",
    quality="verified",
    auth=OAuth2(
        "https://github.com/login/oauth/authorize",
        "https://github.com/login/oauth/access_token",
        account,
        login_scopes=("user:email",),
        # https://docs.github.com/rest/apps/oauth-applications#delete-an-app-token
        revoke_url="https://api.github.com/applications/{client_id}/token",
        quirks=Quirks(
            client_auth="post",
            refused=frozenset({"bad_refresh_token", "invalid_grant"}),
            implied={"repo": ("public_repo",), "user": ("user:email",)},
        ),
    ),
)
HOOKS = (REPOSITORY_HOOKS,)
WRITE = ("repo",)  # the least that reaches private repositories, too


class Labeled(Repository):
    """Which issues of a repository."""

    label: Annotated[str, Pick("labels")] = Field("", description="Only those with this label", examples=["bug"])


class Branched(Repository):
    """Which pushes to a repository."""

    branch: Annotated[str, Pick("branches")] = Field("", description="Only to this branch", examples=["main"])


class Notified(BaseModel):
    """Which notifications."""

    # https://docs.github.com/rest/activity/notifications#about-notification-reasons
    reason: Literal[
        "any", "assign", "author", "ci_activity", "comment", "mention", "review_requested", "team_mention"
    ] = Field("any", description="Why you are notified", examples=["mention"])


class User(BaseModel):
    """A user."""

    username: str = Field(pattern=r"^[\w-]+$", description="Login of the user", examples=["octocat"])


class IssueText(Repository):
    """The issue to open."""

    title: str = Field(min_length=1, description="Title", examples=["It crashes on start"])
    body: str = Field("", description="Text, in Markdown", examples=["Since the last release …"])
    labels: str = Field("", description="Labels, separated by commas", examples=["bug, urgent"])
    assignees: str = Field("", description="Logins of who is to do it, separated by commas", examples=["octocat"])


class Numbered(Repository):
    """Which issue or pull request."""

    number: int = Field(ge=1, description="Number of the issue or pull request", examples=[42])


class CommentText(Numbered):
    """The comment to write."""

    body: str = Field(min_length=1, description="Text, in Markdown", examples=["Thank you, we look into it."])


class Labels(Numbered):
    """The labels to add."""

    labels: str = Field(min_length=1, description="Labels, separated by commas", examples=["bug, urgent"])


class Closing(Numbered):
    """The issue to close."""

    reason: Literal["completed", "not_planned"] = Field("completed", description="Why", examples=["completed"])


class Changes(Repository):
    """The pull request to open."""

    title: str = Field(min_length=1, description="Title", examples=["Mend the start"])
    head: Annotated[str, Pick("branches")] = Field(description="Branch with the changes", examples=["mend-start"])
    base: Annotated[str, Pick("branches")] = Field(description="Branch that they are for", examples=["main"])
    body: str = Field("", description="Text, in Markdown", examples=["Closes #42"])
    draft: bool = Field(False, description="Open it as a draft", examples=[False])


class Gist(BaseModel):
    """The gist to make."""

    filename: str = Field("note.md", description="Name of its file", examples=["note.md"])
    content: str = Field(min_length=1, description="What is in the file", examples=["Hello"])
    description: str = Field("", description="What it is", examples=["A note"])
    public: bool = Field(False, description="Whether everybody can find it", examples=[False])


class Run(Repository):
    """The workflow to run."""

    workflow: Annotated[str, Pick("workflows")] = Field(
        description="File or number of the workflow", examples=["ci.yml"]
    )
    ref: Annotated[str, Pick("branches")] = Field("main", description="Branch or tag to run it on", examples=["main"])
    inputs: dict[str, Any] = Field({}, description="The workflow's inputs", examples=[{"level": "debug"}])


@service.webhook("A new issue", verify=SIGNED, scopes=HOOKS)
async def new_issue(ctx: Context, params: Labeled, request: Request) -> AsyncIterator[Event[Issue]]:
    """An issue is opened in a repository; if you name a label, an issue gets that label."""
    body = brought(request, "issues", *(["labeled"] if params.label else ["opened"]))
    if body and params.label in ("", body.get("label", {}).get("name")):
        yield Event(delivery(request), parse(Issue, body, "GitHub"))


@service.webhook("A new comment", verify=SIGNED, scopes=HOOKS)
async def new_comment(ctx: Context, params: Repository, request: Request) -> AsyncIterator[Event[Comment]]:
    """Somebody comments on an issue or a pull request."""
    if body := brought(request, "issue_comment", "created"):
        yield Event(delivery(request), parse(Comment, body, "GitHub"))


@service.webhook("A new pull request", verify=SIGNED, scopes=HOOKS)
async def new_pull_request(ctx: Context, params: Repository, request: Request) -> AsyncIterator[Event[PullRequest]]:
    """A pull request is opened in a repository."""
    if body := brought(request, "pull_request", "opened"):
        yield Event(delivery(request), parse(PullRequest, body, "GitHub"))


@service.webhook("A pull request is merged", verify=SIGNED, scopes=HOOKS)
async def pull_request_merged(ctx: Context, params: Repository, request: Request) -> AsyncIterator[Event[PullRequest]]:
    """A pull request is merged; one that is closed without it starts nothing."""
    body = brought(request, "pull_request", "closed")
    if body and body["pull_request"].get("merged"):
        yield Event(delivery(request), parse(PullRequest, body, "GitHub"))


@service.webhook("A new push", verify=SIGNED, scopes=HOOKS)
async def new_push(ctx: Context, params: Branched, request: Request) -> AsyncIterator[Event[Push]]:
    """Commits are pushed to a branch. A tag, or a branch that is deleted, starts nothing."""
    body = brought(request, "push")
    ref = str(body.get("ref", "")) if body and not body.get("deleted") else ""
    if body and ref.startswith("refs/heads/") and params.branch in ("", ref.removeprefix("refs/heads/")):
        yield Event(delivery(request), parse(Push, {**body, "count": len(body["commits"])}, "GitHub"))


@service.webhook("A new release", verify=SIGNED, scopes=HOOKS)
async def new_release(ctx: Context, params: Repository, request: Request) -> AsyncIterator[Event[Release]]:
    """A release is published, or a pre-release."""
    if body := brought(request, "release", "published"):
        yield Event(delivery(request), parse(Release, body, "GitHub"))


@service.webhook("A new star", verify=SIGNED, scopes=HOOKS)
async def new_star(ctx: Context, params: Repository, request: Request) -> AsyncIterator[Event[Star]]:
    """Somebody stars a repository."""
    if body := brought(request, "star", "created"):
        yield Event(delivery(request), parse(Star, body, "GitHub"))


for _action, _event in (
    (new_issue, "issues"),
    (new_comment, "issue_comment"),
    (new_pull_request, "pull_request"),
    (pull_request_merged, "pull_request"),
    (new_push, "push"),
    (new_release, "release"),
    (new_star, "star"),
):
    asked_for(_action, _event)


@service.poll("A new notification", every=timedelta(minutes=2), scopes=("notifications",))
async def new_notification(ctx: Context, params: Notified, since: datetime) -> AsyncIterator[Event[Notification]]:
    """You are notified: mentioned, assigned, asked for a review, or something you watch goes on."""
    # https://docs.github.com/rest/activity/notifications#list-notifications-for-the-authenticated-user
    first = await ctx.http.get_if_changed("/notifications", ctx.state, params={"all": "true", "per_page": "50"})
    if first is None:
        return
    rows = parse(list[dict[str, Any]], first, "GitHub")
    if len(rows) == 50:  # more than fit on the first page may have come since the last look
        rows = await pages(ctx, "/notifications", {"all": "true", "per_page": "50", "since": since.isoformat()})
    for row in rows:
        if params.reason in ("any", row["reason"]):
            told = parse(Notification, {**row, "html_url": _page(row)}, "GitHub")
            yield Event(f"{row['id']} {row['updated_at']}", told, told.updated_at)


@service.poll("A new repository of a user", every=timedelta(minutes=15))
async def new_repository(ctx: Context, params: User, since: datetime) -> AsyncIterator[Event[NewRepository]]:
    """A user makes a public repository, or forks one."""
    # https://docs.github.com/rest/repos/repos#list-repositories-for-a-user
    newest = {"sort": "created", "direction": "desc", "per_page": "50"}
    answer = await ctx.http.get_if_changed(f"/users/{params.username}/repos", ctx.state, params=newest)
    for row in parse(list[dict[str, Any]], answer, "GitHub") if answer else []:
        made = parse(NewRepository, row, "GitHub")
        yield Event(str(row["id"]), made, made.created_at)


@service.reaction("Open an issue", on_crash="fail", scopes=WRITE)
async def open_issue(ctx: Context, params: IssueText) -> Issue:
    """Open an issue in a repository."""
    fields = {"title": params.title, "body": params.body}
    lists = {"labels": _listed(params.labels), "assignees": _listed(params.assignees)}
    # https://docs.github.com/rest/issues/issues#create-an-issue
    made = await ctx.http.post(f"/repos/{params.repository}/issues", json=fields | lists)
    return parse(Issue, {"issue": made, "repository": {"full_name": params.repository}}, "GitHub")


@service.reaction("Write a comment", on_crash="fail", scopes=WRITE)
async def write_comment(ctx: Context, params: CommentText) -> Page:
    """Comment on an issue or a pull request."""
    # https://docs.github.com/rest/issues/comments#create-an-issue-comment
    path = f"/repos/{params.repository}/issues/{params.number}/comments"
    return parse(Page, await ctx.http.post(path, json={"body": params.body}), "GitHub")


@service.reaction("Add labels", scopes=WRITE)
async def add_labels(ctx: Context, params: Labels) -> Nothing:
    """Add labels to an issue or a pull request."""
    # https://docs.github.com/rest/issues/labels#add-labels-to-an-issue
    path = f"/repos/{params.repository}/issues/{params.number}/labels"
    await ctx.http.post(path, json={"labels": _listed(params.labels)})
    return Nothing()


@service.reaction("Close an issue", scopes=WRITE)
async def close_issue(ctx: Context, params: Closing) -> Issue:
    """Close an issue, as done or as not planned."""
    # https://docs.github.com/rest/issues/issues#update-an-issue
    path, body = (
        f"/repos/{params.repository}/issues/{params.number}",
        {"state": "closed", "state_reason": params.reason},
    )
    closed = await ctx.http.call("PATCH", path, json=body)
    told = {"issue": parse(dict[str, Any], closed, "GitHub"), "repository": {"full_name": params.repository}}
    return parse(Issue, told, "GitHub")


@service.reaction("Open a pull request", scopes=WRITE)
async def open_pull_request(ctx: Context, params: Changes) -> PullRequest:
    """Ask for the changes of one branch to be merged into another."""
    # https://docs.github.com/rest/pulls/pulls#create-a-pull-request
    body = params.model_dump(exclude={"repository"})
    made = await ctx.http.post(f"/repos/{params.repository}/pulls", json=body)
    return parse(PullRequest, {"pull_request": made, "repository": {"full_name": params.repository}}, "GitHub")


@service.reaction("Make a gist", on_crash="fail", scopes=("gist",))
async def make_gist(ctx: Context, params: Gist) -> Page:
    """Make a gist with one file."""
    files = {params.filename: {"content": params.content}}
    body = {"description": params.description, "public": params.public, "files": files}
    # https://docs.github.com/rest/gists/gists#create-a-gist
    return parse(Page, await ctx.http.post("/gists", json=body), "GitHub")


@service.reaction("Run a workflow", scopes=WRITE, on_crash="fail")
async def run_workflow(ctx: Context, params: Run) -> Page:
    """Run a workflow of GitHub Actions that has the trigger `workflow_dispatch`."""
    # https://docs.github.com/rest/actions/workflows#create-a-workflow-dispatch-event
    path = f"/repos/{params.repository}/actions/workflows/{params.workflow}/dispatches"
    body = {"ref": params.ref, "inputs": params.inputs, "return_run_details": True}
    return parse(Page, await ctx.http.post(path, json=body), "GitHub")


@service.reaction("Star a repository", scopes=("public_repo",))
async def star_repository(ctx: Context, params: Repository) -> Nothing:
    """Star a repository."""
    # https://docs.github.com/rest/activity/starring#star-a-repository-for-the-authenticated-user
    await ctx.http.call("PUT", f"/user/starred/{params.repository}")
    return Nothing()


@service.picker
async def repositories(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """The repositories that the user can reach, the busiest first."""
    # https://docs.github.com/rest/repos/repos#list-repositories-for-the-authenticated-user
    rows = await pages(ctx, "/user/repos", {"sort": "pushed"})
    return [Option(one["full_name"], one["full_name"], "private" if one["private"] else "") for one in rows]


@service.picker
async def organizations(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """The user's organizations."""
    # https://docs.github.com/rest/orgs/orgs#list-organizations-for-the-authenticated-user
    return [Option(one["login"], one["login"], "organization") for one in await pages(ctx, "/user/orgs")]


@service.picker
async def places(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """Organizations and repositories."""
    return [*await organizations(ctx, form), *await repositories(ctx, form)]


@service.picker
async def labels(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """The labels of the repository that was chosen."""
    # https://docs.github.com/rest/issues/labels#list-labels-for-a-repository
    return [Option(one["name"], one["name"]) for one in await _of_repository(ctx, form, "labels")]


@service.picker
async def branches(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """The branches of the repository that was chosen."""
    # https://docs.github.com/rest/branches/branches#list-branches
    return [Option(one["name"], one["name"]) for one in await _of_repository(ctx, form, "branches")]


@service.picker
async def workflows(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """The workflows of the repository that was chosen."""
    if not form.get("repository"):
        return []
    # https://docs.github.com/rest/actions/workflows#list-repository-workflows
    found = await ctx.http.get(f"/repos/{form['repository']}/actions/workflows", params={"per_page": "100"})
    return [Option(str(one["id"]), one["name"], one["path"]) for one in found["workflows"]]


async def _of_repository(ctx: Context, form: Mapping[str, str], what: str) -> list[Any]:
    return await pages(ctx, f"/repos/{form['repository']}/{what}") if form.get("repository") else []


def _listed(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _page(notification: Mapping[str, Any]) -> str:
    """The page of the issue or pull request that a notification is about, else that of its repository."""
    repository = notification["repository"]["html_url"]
    found = re.search(r"/(issues|pulls)/([0-9]+)$", notification["subject"].get("url") or "")
    return f"{repository}/{'pull' if found[1] == 'pulls' else 'issues'}/{found[2]}" if found else repository


events.declare(service)
