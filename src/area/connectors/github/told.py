"""Return values of the hand-written GitHub components, by their path in GitHub's payload."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, HttpUrl

from area.sdk import Output, output

AT = "https://github.com/octocat/hello-world"
PAGE = "URL"
Names = Annotated[
    list[str], BeforeValidator(lambda some: [label["name"] if isinstance(label, dict) else label for label in some])
]
Branch = Annotated[str, BeforeValidator(lambda ref: ref.removeprefix("refs/heads/"))]
Is = Annotated[bool, BeforeValidator(bool)]


LEFT_OUT = "Lists and texts shortened because the event was too large, each with path, kept and of; null if none"


class Told(Output):
    repository: str = output("repository.full_name", "Repository", "octocat/hello-world")


class Issue(Told):
    number: int = output("issue.number", "Number in the repository", 42)
    title: str = output("issue.title", "Title", "It crashes on start")
    body: str | None = output("issue.body", "Text, in Markdown", "Since the last release …", None)
    html_url: HttpUrl = output("issue.html_url", PAGE, f"{AT}/issues/42")
    author: str | None = output("issue.user.login", "Login of the person who opened it", "octocat", None)
    labels: Names = output("issue.labels", "Labels", ["bug"], [])
    created_at: datetime = output("issue.created_at", "Date opened", "2026-11-23T09:00:00Z")


class Labelled(Output):
    labels: Names = output("labels", "All labels it has now", ["bug", "urgent"])


class PullRequest(Told):
    number: int = output("pull_request.number", "Number in the repository", 43)
    title: str = output("pull_request.title", "Title", "Mend the start")
    body: str | None = output("pull_request.body", "Text, in Markdown", "Closes #42", None)
    html_url: HttpUrl = output("pull_request.html_url", PAGE, f"{AT}/pull/43")
    author: str | None = output("pull_request.user.login", "Login of the person who opened it", "octocat", None)
    branch: str = output("pull_request.head.ref", "Branch with the changes", "mend-start")
    base: str = output("pull_request.base.ref", "Branch to merge into", "main")
    draft: bool = output("pull_request.draft", "Whether it is a draft", False, False)
    merged_by: str | None = output("pull_request.merged_by.login", "Login of the person who merged it", "hubot", None)


class Comment(Told):
    number: int = output("issue.number", "Number of the issue or pull request", 42)
    title: str = output("issue.title", "Title of the issue or pull request", "It crashes on start")
    body: str = output("comment.body", "Text, in Markdown", "Me too", "")
    html_url: HttpUrl = output("comment.html_url", "URL of the comment", f"{AT}/issues/42#issuecomment-1")
    author: str | None = output("comment.user.login", "Author's login", "octocat", None)
    on_pull_request: Is = output("issue.pull_request", "Whether it is on a pull request", False, False)


class Push(Told):
    branch: Branch = output("ref", "Branch", "main")
    pusher: str = output("pusher.name", "Login of the person who pushed", "octocat")
    count: int = output("count", "Number of commits", 1)
    message: str = output("head_commit.message", "Message of the latest commit", "Mend the start", "")
    commit: str = output("after", "SHA of the latest commit", "6dcb09b5b57875f334f61aebed695e2e4193db5e")
    compare_url: HttpUrl = output("compare", "URL of the comparison", f"{AT}/compare/6dcb09b5b578...main")
    commits: list[dict[str, Any]] = output(
        "commits",
        "Commits, each with id, message, author, added, removed and modified",
        [{"message": "Mend the start"}],
    )
    left_out: list[Any] | None = output("left_out", LEFT_OUT, None, None)


class Release(Told):
    name: str | None = output("release.name", "Name", "Version 1.0", None)
    tag: str = output("release.tag_name", "Tag", "v1.0")
    body: str | None = output("release.body", "Release notes, in Markdown", "Mends the start", None)
    html_url: HttpUrl = output("release.html_url", PAGE, f"{AT}/releases/tag/v1.0")
    author: str | None = output("release.author.login", "Login of the person who published it", "octocat", None)
    prerelease: bool = output("release.prerelease", "Whether it is a pre-release", False)


class Star(Told):
    user: str = output("sender.login", "Login of the person who starred it", "octocat")
    user_url: HttpUrl = output("sender.html_url", "URL of their profile", "https://github.com/octocat")
    stars: int = output("repository.stargazers_count", "Number of stars", 80)


class Notification(Told):
    title: str = output("subject.title", "Title of the subject", "It crashes on start")
    kind: str = output("subject.type", "Type of the subject: Issue, PullRequest, Release…", "Issue")
    reason: str = output("reason", "Reason for the notification", "mention")
    html_url: HttpUrl = output("html_url", "URL of the subject or its repository", f"{AT}/issues/42")
    updated_at: datetime = output("updated_at", "Date updated", "2026-11-23T09:00:00Z")


class NewRepository(Output):
    full_name: str = output("full_name", "Repository, as owner/name", "octocat/hello-world")
    html_url: HttpUrl = output("html_url", PAGE, AT)
    description: str | None = output("description", "Description", "My first repository", None)
    fork: bool = output("fork", "Whether it is a fork", False)
    language: str | None = output("language", "Main programming language", "Python", None)
    created_at: datetime = output("created_at", "Date created", "2026-11-23T09:00:00Z")


class Page(Output):
    html_url: HttpUrl = output("html_url", PAGE, f"{AT}/issues/42")
