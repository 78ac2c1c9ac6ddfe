"""What the hand-made parts of GitHub return, by where it stands in what GitHub says."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, HttpUrl

from area.sdk import Row, found

AT = "https://github.com/octocat/hello-world"
PAGE = "Address of its page"
Names = Annotated[
    list[str], BeforeValidator(lambda some: [one["name"] if isinstance(one, dict) else one for one in some])
]
Branch = Annotated[str, BeforeValidator(lambda ref: ref.removeprefix("refs/heads/"))]
Is = Annotated[bool, BeforeValidator(bool)]


class Told(Row):
    repository: str = found("repository.full_name", "Repository", "octocat/hello-world")


class Issue(Told):
    number: int = found("issue.number", "Number in the repository", 42)
    title: str = found("issue.title", "Title", "It crashes on start")
    body: str | None = found("issue.body", "Text, in Markdown", "Since the last release …", None)
    html_url: HttpUrl = found("issue.html_url", PAGE, f"{AT}/issues/42")
    author: str | None = found("issue.user.login", "Login of who opened it", "octocat", None)
    labels: Names = found("issue.labels", "Labels", ["bug"], [])
    created_at: datetime = found("issue.created_at", "When it was opened", "2026-11-23T09:00:00Z")


class PullRequest(Told):
    number: int = found("pull_request.number", "Number in the repository", 43)
    title: str = found("pull_request.title", "Title", "Mend the start")
    body: str | None = found("pull_request.body", "Text, in Markdown", "Closes #42", None)
    html_url: HttpUrl = found("pull_request.html_url", PAGE, f"{AT}/pull/43")
    author: str | None = found("pull_request.user.login", "Login of who opened it", "octocat", None)
    branch: str = found("pull_request.head.ref", "Branch with the changes", "mend-start")
    base: str = found("pull_request.base.ref", "Branch that they are for", "main")
    draft: bool = found("pull_request.draft", "Whether it is a draft", False, False)
    merged_by: str | None = found("pull_request.merged_by.login", "Login of who merged it", "hubot", None)


class Comment(Told):
    number: int = found("issue.number", "Number of the issue or pull request", 42)
    title: str = found("issue.title", "Title of the issue or pull request", "It crashes on start")
    body: str = found("comment.body", "Text, in Markdown", "Me too", "")
    html_url: HttpUrl = found("comment.html_url", "Address of the comment", f"{AT}/issues/42#issuecomment-1")
    author: str | None = found("comment.user.login", "Login of who wrote it", "octocat", None)
    on_pull_request: Is = found("issue.pull_request", "Whether it is on a pull request", False, False)


class Push(Told):
    branch: Branch = found("ref", "Branch", "main")
    pusher: str = found("pusher.name", "Who pushed", "octocat")
    count: int = found("count", "How many commits", 1)
    message: str = found("head_commit.message", "Message of the newest commit", "Mend the start", "")
    commit: str = found("after", "SHA of the newest commit", "6dcb09b5b57875f334f61aebed695e2e4193db5e")
    compare_url: HttpUrl = found("compare", "Address of what changed", f"{AT}/compare/6dcb09b5b578...main")
    commits: list[dict[str, Any]] = found(
        "commits",
        "The commits, each with id, message, author, added, removed, modified",
        [{"message": "Mend the start"}],
    )


class Release(Told):
    name: str | None = found("release.name", "Name", "Version 1.0", None)
    tag: str = found("release.tag_name", "Tag", "v1.0")
    body: str | None = found("release.body", "Notes, in Markdown", "Mends the start", None)
    html_url: HttpUrl = found("release.html_url", PAGE, f"{AT}/releases/tag/v1.0")
    author: str | None = found("release.author.login", "Login of who published it", "octocat", None)
    prerelease: bool = found("release.prerelease", "Whether it is a pre-release", False)


class Star(Told):
    user: str = found("sender.login", "Login of who starred it", "octocat")
    user_url: HttpUrl = found("sender.html_url", "Address of their page", "https://github.com/octocat")
    stars: int = found("repository.stargazers_count", "How many stars it has", 80)


class Notification(Told):
    title: str = found("subject.title", "Title of what it is about", "It crashes on start")
    kind: str = found("subject.type", "What it is about: Issue, PullRequest, Release …", "Issue")
    reason: str = found("reason", "Why you are notified", "mention")
    html_url: HttpUrl = found("html_url", "Address of its page, or of its repository", f"{AT}/issues/42")
    updated_at: datetime = found("updated_at", "When something happened", "2026-11-23T09:00:00Z")


class NewRepository(Row):
    full_name: str = found("full_name", "Name with its owner", "octocat/hello-world")
    html_url: HttpUrl = found("html_url", PAGE, AT)
    description: str | None = found("description", "What it is for", "My first repository", None)
    fork: bool = found("fork", "Whether it is a fork", False)
    language: str | None = found("language", "Its main programming language", "Python", None)
    created_at: datetime = found("created_at", "When it was made", "2026-11-23T09:00:00Z")


class Page(Row):
    html_url: HttpUrl = found("html_url", PAGE, f"{AT}/issues/42")
