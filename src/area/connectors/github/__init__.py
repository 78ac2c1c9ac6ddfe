"""GitHub: triggers on issues, pull requests, pushes, releases and all other webhook events; creates issues, gists and
workflow runs.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from area.connectors.github import events, told
from area.connectors.github.hooks import MAX_BODY, REPOSITORY_HOOKS, SIGNED, asked_for, brought, delivered
from area.sdk import (
    Account,
    Action,
    Context,
    Event,
    Events,
    OAuth2,
    Option,
    Pages,
    Quirks,
    Request,
    Service,
    lookup,
    param,
    parse,
    quoted,
)
from area.sdk.shapes import Items


async def account(ctx: Context) -> Account:
    """The user who authorized AREA, with their primary e-mail address if the sign-in scope was granted."""
    # https://docs.github.com/rest/users/users#get-the-authenticated-user
    me = await ctx.http.get("/user")
    # https://docs.github.com/rest/users/emails#list-email-addresses-for-the-authenticated-user
    answer = await ctx.http.request("GET", "/user/emails")
    known = parse(list[dict[str, Any]], answer, "GitHub") if answer.status == 200 else []
    primary: dict[str, Any] = next((email for email in known if email["primary"]), {"email": None, "verified": False})
    return Account(str(me["id"]), me["login"], primary["email"], email_verified=primary["verified"])


# https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
service = Service(
    "github",
    "GitHub",
    "React to issues, pull requests, pushes, releases and more; open issues, comment, label and run workflows.",
    base_url="https://api.github.com",
    docs="https://docs.github.com/rest",
    quality="verified",
    headers={"X-GitHub-Api-Version": "2022-11-28"},  # https://docs.github.com/rest/about-the-rest-api/api-versions
    # https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api
    pages=Pages(query={"per_page": "100"}, most=10),
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
    synonyms={
        "": "code, repo, repository, git, developer",
        "new_issue": "bug reported, ticket, issue opened",
        "new_comment": "reply, someone comments",
        "new_pull_request": "PR opened, merge request, code review",
        "pull_request_merged": "PR merged, merge request accepted",
        "new_push": "commit, code pushed, branch updated",
        "new_release": "new version, update available, tag, changelog, new tag, firmware, software update",
        "new_star": "my repo gets starred, stargazer",
        "new_notification": "mention, review requested",
        "new_repository": "project",
        "workflow_run_completed": "GitHub Actions, build fails, CI failed, build finished",
        "open_issue": "report bug, ticket, open an issue",
        "write_comment": "comment on an issue, reply",
        "add_labels": "tag, triage",
        "close_issue": "close ticket, resolve",
        "open_pull_request": "PR, merge request",
        "make_gist": "snippet, paste",
        "run_workflow": "deploy, GitHub Actions, GitHub action, build, CI, dispatch",
        "star_repository": "bookmark",
    },
)
HOOKS = (REPOSITORY_HOOKS,)
WRITE = ("repo",)  # the least that reaches private repositories, too

IN = param("Repository", "octocat/hello-world", pick="repositories", pattern=r"^[\w.-]+/[\w.-]+$")
Repository = Annotated[str, IN]
Branch = Annotated[str, param("Branch", "main", pick="branches")]
Number = Annotated[int, param("Number of the issue or pull request", 42, ge=1)]
Title = Annotated[str, param("Title", "It crashes on start", min_length=1)]
Labels = Annotated[Items, param("Labels, separated by commas", "bug, urgent")]
Text = Annotated[str, param("Text, in Markdown", "Since the last release …")]
# https://docs.github.com/rest/activity/notifications#about-notification-reasons
Reason = Literal["any", "assign", "author", "ci_activity", "comment", "mention", "review_requested", "team_mention"]


def webhook(title: str, event: str) -> Callable[[Callable[..., Events[Any]]], Action]:
    """Declare an action for a GitHub webhook `event`."""

    def declare(function: Callable[..., Events[Any]]) -> Action:
        action = service.webhook(title, verify=SIGNED, max_body=MAX_BODY, scopes=HOOKS)(function)
        asked_for(action, event)
        return action

    return declare


@webhook("New issue", "issues")
def new_issue(
    request: Request,
    repository: Repository,
    label: Annotated[str, param("Only issues with this label", "bug", pick="labels")] = "",
) -> Events[told.Issue]:
    """Triggers when an issue is opened in a repository or, if you choose a label, when an issue gets that label."""
    body = brought(request, "issues", "labeled" if label else "opened")
    return delivered(request, told.Issue, body if body and label in ("", body.get("label", {}).get("name")) else None)


@webhook("New comment", "issue_comment")
def new_comment(request: Request, repository: Repository) -> Events[told.Comment]:
    """Triggers when someone comments on an issue or pull request."""
    return delivered(request, told.Comment, brought(request, "issue_comment", "created"))


@webhook("New pull request", "pull_request")
def new_pull_request(request: Request, repository: Repository) -> Events[told.PullRequest]:
    """Triggers when a pull request is opened in a repository."""
    return delivered(request, told.PullRequest, brought(request, "pull_request", "opened"))


@webhook("Pull request merged", "pull_request")
def pull_request_merged(request: Request, repository: Repository) -> Events[told.PullRequest]:
    """Triggers when a pull request is merged, but not when it is closed without merging."""
    body = brought(request, "pull_request", "closed")
    return delivered(request, told.PullRequest, body if lookup("pull_request.merged", body) else None)


@webhook("New push", "push")
def new_push(
    request: Request, repository: Repository, branch: Annotated[Branch, param("Only pushes to this branch")] = ""
) -> Events[told.Push]:
    """Triggers when commits are pushed to a branch. Tags and deleted branches are ignored."""
    body = brought(request, "push") or {}
    ref = "" if body.get("deleted") else str(body.get("ref", ""))
    pushed = ref.startswith("refs/heads/") and branch in ("", ref.removeprefix("refs/heads/"))
    return delivered(request, told.Push, {**body, "count": _count(body)} if pushed else None)


def _count(push: dict[str, Any]) -> int:
    """The number of commits, also of a push whose list was cut."""
    cut = next((note["of"] for note in push.get("left_out") or () if note["path"] == "commits"), None)
    return len(push["commits"]) if cut is None else int(cut)


@webhook("New release", "release")
def new_release(request: Request, repository: Repository) -> Events[told.Release]:
    """Triggers when a release or pre-release is published."""
    return delivered(request, told.Release, brought(request, "release", "published"))


@webhook("New star", "star")
def new_star(request: Request, repository: Repository) -> Events[told.Star]:
    """Triggers when someone stars a repository."""
    return delivered(request, told.Star, brought(request, "star", "created"))


@service.poll("New notification", every=timedelta(minutes=2), scopes=("notifications",))
async def new_notification(
    ctx: Context, since: datetime, reason: Annotated[Reason, param("Reason for the notification", "mention")] = "any"
) -> Events[told.Notification]:
    """Triggers when you get a notification: you are mentioned, assigned or asked for a review, or something you
    watch is updated.
    """
    query = {"all": "true", "per_page": "50"}
    # https://docs.github.com/rest/activity/notifications#list-notifications-for-the-authenticated-user
    first = await ctx.http.get_if_changed("/notifications", ctx.state, params=query)
    if first is None:
        return
    rows = parse(list[dict[str, Any]], first, "GitHub")
    if len(rows) == 50:  # more than fit on the first page may have come since the last look
        since_then = query | {"since": since.isoformat()}
        rows = [row async for row in ctx.http.rows("/notifications", params=since_then)]
    for row in rows:
        if reason in ("any", row["reason"]):
            news = parse(told.Notification, {**row, "html_url": _page(row)}, "GitHub")
            yield Event(f"{row['id']} {row['updated_at']}", news, news.updated_at)


@service.poll("New repository by a user", every=timedelta(minutes=15))
async def new_repository(
    ctx: Context, username: Annotated[str, param("User's login", "octocat", pattern=r"^[\w-]+$")]
) -> Events[told.NewRepository]:
    """Triggers when a user creates or forks a public repository."""
    newest = {"sort": "created", "direction": "desc", "per_page": "50"}
    # https://docs.github.com/rest/repos/repos#list-repositories-for-a-user
    answer = await ctx.http.get_if_changed(f"/users/{username}/repos", ctx.state, params=newest)
    for row in parse(list[dict[str, Any]], answer, "GitHub") if answer else []:
        created = parse(told.NewRepository, row, "GitHub")
        yield Event(str(row["id"]), created, created.created_at)


@service.reaction("Create an issue", on_crash="fail", scopes=WRITE)
async def open_issue(
    ctx: Context,
    repository: Repository,
    title: Title,
    body: Text = "",
    labels: Labels = [],  # noqa: B006 - each call has its own
    assignees: Annotated[Items, param("Logins of the assignees, separated by commas", "octocat")] = [],  # noqa: B006
) -> told.Issue:
    """Create an issue in a repository."""
    issue = {"title": title, "body": body, "labels": labels, "assignees": assignees}
    # https://docs.github.com/rest/issues/issues#create-an-issue
    created = await ctx.http.post(f"/repos/{repository}/issues", json=issue)
    return parse(told.Issue, {"issue": created, "repository": {"full_name": repository}}, "GitHub")


@service.reaction("Add a comment", on_crash="fail", scopes=WRITE)
async def write_comment(
    ctx: Context,
    repository: Repository,
    number: Number,
    body: Annotated[Text, param("Text, in Markdown", "Thank you, we look into it.", min_length=1)],
) -> told.Page:
    """Comment on an issue or pull request."""
    # https://docs.github.com/rest/issues/comments#create-an-issue-comment
    return await ctx.http.post(f"/repos/{repository}/issues/{number}/comments", told.Page, json={"body": body})


@service.reaction("Add labels", scopes=WRITE, idempotent="same")
async def add_labels(
    ctx: Context,
    repository: Repository,
    number: Number,
    labels: Annotated[Labels, param("Labels, separated by commas", min_length=1)],
) -> told.Labelled:
    """Add labels to an issue or pull request."""
    # https://docs.github.com/rest/issues/labels#add-labels-to-an-issue
    rows = await ctx.http.post(f"/repos/{repository}/issues/{number}/labels", json={"labels": labels})
    return parse(told.Labelled, {"labels": rows}, "GitHub")


@service.reaction("Close an issue", scopes=WRITE, idempotent="same")
async def close_issue(
    ctx: Context,
    repository: Repository,
    number: Number,
    reason: Annotated[Literal["completed", "not_planned"], param("Reason", "completed")] = "completed",
) -> told.Issue:
    """Close an issue as completed or not planned."""
    path, body = f"/repos/{repository}/issues/{number}", {"state": "closed", "state_reason": reason}
    # https://docs.github.com/rest/issues/issues#update-an-issue
    closed = await ctx.http.ask("PATCH", path, dict[str, Any], json=body)
    return parse(told.Issue, {"issue": closed, "repository": {"full_name": repository}}, "GitHub")


@service.reaction("Create a pull request", scopes=WRITE, idempotent="same")
async def open_pull_request(
    ctx: Context,
    repository: Repository,
    title: Annotated[Title, param("Title", "Mend the start")],
    head: Annotated[Branch, param("Branch with the changes", "mend-start")],
    base: Annotated[Branch, param("Branch to merge into")],
    body: Annotated[Text, param("Text, in Markdown", "Closes #42")] = "",
    *,
    draft: Annotated[bool, param("Open it as a draft", False)] = False,
) -> told.PullRequest:
    """Open a pull request to merge one branch into another."""
    changes = {"title": title, "head": head, "base": base, "body": body, "draft": draft}
    # https://docs.github.com/rest/pulls/pulls#create-a-pull-request
    created = await ctx.http.post(f"/repos/{repository}/pulls", json=changes)
    return parse(told.PullRequest, {"pull_request": created, "repository": {"full_name": repository}}, "GitHub")


@service.reaction("Create a gist", on_crash="fail", scopes=("gist",))
async def make_gist(
    ctx: Context,
    filename: Annotated[str, param("File name", "note.md")] = "note.md",
    *,
    content: Annotated[str, param("File content", "Hello", min_length=1)],
    description: Annotated[str, param("Description", "A note")] = "",
    public: Annotated[bool, param("Make it public", False)] = False,
) -> told.Page:
    """Create a gist with one file."""
    body = {"description": description, "public": public, "files": {filename: {"content": content}}}
    # https://docs.github.com/rest/gists/gists#create-a-gist
    return await ctx.http.post("/gists", told.Page, json=body)


@service.reaction("Run a workflow", scopes=WRITE, on_crash="fail")
async def run_workflow(
    ctx: Context,
    repository: Repository,
    workflow: Annotated[str, param("File name or ID of the workflow", "ci.yml", pick="workflows")],
    ref: Annotated[Branch, param("Branch or tag to run it on")] = "main",
    inputs: Annotated[Mapping[str, Any], param("Inputs for the workflow", {"level": "debug"})] = {},
) -> told.Page:
    """Run a GitHub Actions workflow that has the `workflow_dispatch` trigger."""
    body = {"ref": ref, "inputs": inputs, "return_run_details": True}
    path = f"/repos/{repository}/actions/workflows" + quoted("/{}/dispatches", workflow)
    # https://docs.github.com/rest/actions/workflows#create-a-workflow-dispatch-event
    return await ctx.http.post(path, told.Page, json=body)


@service.reaction("Star a repository", scopes=("public_repo",), idempotent="same")
async def star_repository(ctx: Context, repository: Repository) -> None:
    # https://docs.github.com/rest/activity/starring#star-a-repository-for-the-authenticated-user
    await ctx.http.call("PUT", f"/user/starred/{repository}")


@service.lookup("Find an issue", scopes=WRITE)
async def find_issue(
    ctx: Context,
    repository: Repository,
    words: Annotated[
        str,
        param("Words, and qualifiers of GitHub's search", "crash label:bug state:open", min_length=1, max_length=200),
    ],
) -> told.Issue | None:
    """Find the issue of a repository that fits a search best."""
    query = {"q": f"{words} repo:{repository} is:issue", "per_page": "1"}
    # https://docs.github.com/rest/search/search#search-issues-and-pull-requests
    rows = await ctx.http.get("/search/issues", list[dict[str, Any]], at="items", params=query)
    found = {"issue": rows[0], "repository": {"full_name": repository}} if rows else None
    return parse(told.Issue, found, "GitHub") if found else None


@service.picker
async def organizations(ctx: Context) -> list[Option]:
    """The user's organizations."""
    # https://docs.github.com/rest/orgs/orgs#list-organizations-for-the-authenticated-user
    return [Option(row["login"], row["login"], "organization") async for row in ctx.http.rows("/user/orgs")]


@service.picker
async def repositories(ctx: Context) -> list[Option]:
    """The repositories that the user can reach, the busiest first."""
    # https://docs.github.com/rest/repos/repos#list-repositories-for-the-authenticated-user
    rows = ctx.http.rows("/user/repos", params={"sort": "pushed"})
    return [Option(row["full_name"], row["full_name"], "private" if row["private"] else "") async for row in rows]


@service.picker
async def places(ctx: Context) -> list[Option]:
    """Organizations and repositories."""
    return [*await organizations(ctx), *await repositories(ctx)]


@service.picker
async def labels(ctx: Context, repository: str) -> list[Option]:
    """The labels of the repository that was chosen."""
    # https://docs.github.com/rest/issues/labels#list-labels-for-a-repository
    return [Option(row["name"], row["name"]) async for row in ctx.http.rows(f"/repos/{repository}/labels")]


@service.picker
async def branches(ctx: Context, repository: str) -> list[Option]:
    """The branches of the repository that was chosen."""
    # https://docs.github.com/rest/branches/branches#list-branches
    return [Option(row["name"], row["name"]) async for row in ctx.http.rows(f"/repos/{repository}/branches")]


@service.picker
async def workflows(ctx: Context, repository: str) -> list[Option]:
    """The workflows of the repository that was chosen."""
    # https://docs.github.com/rest/actions/workflows#list-repository-workflows
    rows = ctx.http.rows(f"/repos/{repository}/actions/workflows", at="workflows")
    return [Option(str(row["id"]), row["name"], row["path"]) async for row in rows]


def _page(notification: Mapping[str, Any]) -> str:
    """URL of the issue or pull request a notification is about, or else of its repository."""
    repository = notification["repository"]["html_url"]
    match = re.search(r"/(issues|pulls)/([0-9]+)$", notification["subject"].get("url") or "")
    return f"{repository}/{'pull' if match[1] == 'pulls' else 'issues'}/{match[2]}" if match else repository


events.declare(service)
