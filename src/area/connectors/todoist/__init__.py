"""Todoist: tasks and projects in; tasks, comments and what is done out."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import NAMESPACE_URL, uuid5

from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field

from area.sdk import (
    Account,
    Context,
    Event,
    Inbound,
    Nothing,
    OAuth2,
    Option,
    Pick,
    Quirks,
    Request,
    Service,
    hmac_sha256,
    parse,
)  # fmt: skip

EVERY = timedelta(
    minutes=2
)  # 1,000 requests in 15 minutes are allowed, https://developer.todoist.com/api/v1#tag/Request-limits
PAGES = 5  # of 200 rows
READ, WRITE = ("data:read",), ("data:read_write",)
Project = Annotated[str, Pick("projects")]


async def _account(ctx: Context) -> Account:
    me = await ctx.http.get("/user")  # https://developer.todoist.com/api/v1#tag/User
    return Account(str(me["id"]), me["full_name"], me["email"])


def _news(request: Request) -> list[str]:
    """Whose tasks changed: https://developer.todoist.com/api/v1#tag/Webhooks"""
    return [parse(str, parse(dict[str, Any], request.json(), "Todoist").get("user_id"), "Todoist")]


service = Service(
    "todoist",
    "Todoist",
    "Tasks as they are added or completed; new tasks and comments, and tasks that are done.",
    docs="https://developer.todoist.com/api/v1",
    base_url="https://api.todoist.com/api/v1",
    inbound=Inbound(hmac_sha256("X-Todoist-Hmac-SHA256", encoding="base64", client=True), _news),
    auth=OAuth2(  # https://developer.todoist.com/api/v1#tag/Authorization/OAuth; its tokens do not expire
        "https://todoist.com/oauth/authorize",
        "https://todoist.com/oauth/access_token",
        _account,
        scopes=READ,
        quirks=Quirks(client_auth="post", scope_separator=",", pkce=False),
    ),
)


class InProject(BaseModel):
    """Which project."""

    project: Project = Field(description="Project", examples=["6Jf8VQXxpwv56VQ7"])


class MaybeInProject(BaseModel):
    """Which project, if only one."""

    project: Project = Field("", description="Only this project", examples=["6Jf8VQXxpwv56VQ7"])


class NewTask(BaseModel):
    """A task to be."""

    content: str = Field(min_length=1, max_length=500, description="What is to be done", examples=["Buy milk"])
    project: Project = Field("", description="Project, and the inbox if empty", examples=["6Jf8VQXxpwv56VQ7"])
    description: str = Field("", max_length=16_383, description="More about it", examples=["The one with oats."])
    due: str = Field(
        "", max_length=150, description="When, as you would write it in Todoist", examples=["tomorrow at 12:00"]
    )
    priority: Literal["p1", "p2", "p3", "p4"] = Field("p4", description="p1 is the most urgent", examples=["p1"])
    labels: str = Field("", description="Labels, separated by commas", examples=["shopping, home"])


class Quick(BaseModel):
    """A task in one line."""

    text: str = Field(
        min_length=1, description="As in Todoist's quick add", examples=["Buy milk tomorrow at 12 #Home p1"]
    )


class OneTask(BaseModel):
    """Which task."""

    task: str = Field(min_length=1, description="Id of the task", examples=["6X7rM8997g3RQmvh"])


class NewComment(OneTask):
    """What to say of which task."""

    text: str = Field(min_length=1, max_length=15_000, description="Text", examples=["Done!"])


class _Row(BaseModel):
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    id: str = Field(description="Its id", examples=["6X7rM8997g3RQmvh"])


class Task(_Row):
    """A task."""

    content: str = Field(description="What is to be done", examples=["Buy milk"])
    description: str = Field("", description="More about it", examples=["The one with oats."])
    project: str = Field(
        "", validation_alias="project_id", description="Id of its project", examples=["6Jf8VQXxpwv56VQ7"]
    )
    labels: list[str] = Field([], description="Its labels", examples=[["shopping"]])
    due: str | None = Field(
        None, validation_alias=AliasPath("due", "date"), description="When it is due", examples=["2026-11-23"]
    )
    url: str = Field("", description="Its address", examples=["https://app.todoist.com/app/task/6X7rM8997g3RQmvh"])
    added_at: datetime | None = Field(
        None, validation_alias=AliasChoices("added_at", "created_at"), description="When it was added",
        examples=["2026-11-23T09:00:00Z"],
    )  # fmt: skip
    completed_at: datetime | None = Field(None, description="When it was completed", examples=["2026-11-23T10:00:00Z"])


class Found(_Row):
    """A project."""

    name: str = Field(description="Its name", examples=["Home"])
    created_at: datetime | None = Field(None, description="When it was made", examples=["2026-11-23T09:00:00Z"])


class Comment(_Row):
    """A comment."""


@service.poll("A task is added to a project", every=EVERY)
async def task_added(ctx: Context, params: InProject, since: datetime) -> AsyncIterator[Event[Task]]:  # noqa: ARG001
    """A task is added to a project."""
    # https://developer.todoist.com/api/v1#tag/Tasks/operation/get_tasks_api_v1_tasks_get
    async for row in _all(ctx, "/tasks", "results", {"project_id": params.project}):
        task = _task(row)
        yield Event(task.id, task)  # undated: a task that is moved here from another project is new here


@service.poll("A task is completed", every=EVERY)
async def task_completed(ctx: Context, params: MaybeInProject, since: datetime) -> AsyncIterator[Event[Task]]:
    """A task is completed, in any project or in one. A task that repeats is told each time."""
    query = {"since": f"{since:%Y-%m-%dT%H:%M:%SZ}", "until": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    if params.project:
        query["project_id"] = params.project
    # https://developer.todoist.com/api/v1#tag/Tasks, tasks completed by completion date
    async for row in _all(ctx, "/tasks/completed/by_completion_date", "items", query):
        task = _task(row)
        yield Event(f"{task.id}@{row['completed_at']}", task, task.completed_at)


@service.poll("A project is added", every=timedelta(minutes=5))
async def project_added(ctx: Context, params: Nothing, since: datetime) -> AsyncIterator[Event[Found]]:  # noqa: ARG001
    """There is a new project, the user's own or a shared one."""
    # https://developer.todoist.com/api/v1#tag/Projects
    async for row in _all(ctx, "/projects", "results", {}):
        yield Event(row["id"], parse(Found, row, "Todoist"))


@service.reaction("Create a task", scopes=WRITE)
async def create_task(ctx: Context, params: NewTask) -> Task:
    """Create a task in a project or in the inbox."""
    body: dict[str, Any] = {"content": params.content, "description": params.description}
    body["priority"] = 5 - int(params.priority[1])  # 4 is the most urgent one there
    body["labels"] = [one.strip() for one in params.labels.split(",") if one.strip()]
    body |= {"project_id": params.project} if params.project else {}
    body |= {"due_string": params.due} if params.due else {}
    # https://developer.todoist.com/api/v1#tag/Tasks/operation/create_task_api_v1_tasks_post
    return _task(await _post(ctx, "/tasks", body))


@service.reaction("Add a task quickly", scopes=WRITE)
async def quick_add(ctx: Context, params: Quick) -> Task:
    """Add a task from a line that also says when (`tomorrow`), where (`#Home`), with which label (`@shop`) and priority (`p1`)."""
    # https://developer.todoist.com/api/v1#tag/Tasks/operation/quick_add_api_v1_tasks_quick_post
    return _task(await _post(ctx, "/tasks/quick", {"text": params.text}))


@service.reaction("Complete a task", scopes=WRITE)
async def complete_task(ctx: Context, params: OneTask) -> Nothing:
    """Complete a task. One that repeats moves on to its next date."""
    # https://developer.todoist.com/api/v1#tag/Tasks/operation/close_task_api_v1_tasks__task_id__close_post
    await ctx.http.call("POST", f"/tasks/{params.task}/close", headers=_once(ctx))
    return Nothing()


@service.reaction("Comment on a task", scopes=WRITE)
async def comment_on_task(ctx: Context, params: NewComment) -> Comment:
    """Comment on a task."""
    # https://developer.todoist.com/api/v1#tag/Comments/operation/create_comment_api_v1_comments_post
    return parse(Comment, await _post(ctx, "/comments", {"task_id": params.task, "content": params.text}), "Todoist")


@service.picker
async def projects(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """The user's projects."""
    return [Option(one["id"], one["name"]) async for one in _all(ctx, "/projects", "results", {})]


def _task(row: dict[str, Any]) -> Task:
    return parse(Task, row | {"url": f"https://app.todoist.com/app/task/{row.get('id')}"}, "Todoist")


async def _all(ctx: Context, path: str, name: str, query: dict[str, str]) -> AsyncIterator[dict[str, Any]]:
    for _ in range(PAGES):  # https://developer.todoist.com/api/v1#tag/Pagination
        page = await ctx.http.get(path, params={"limit": "200", **query})
        for row in page[name]:
            yield row
        if not page["next_cursor"]:
            return
        query = query | {"cursor": page["next_cursor"]}


def _once(ctx: Context) -> dict[str, str]:
    """A request that Todoist takes once, named by 36 characters (the X-Request-Id of its SDKs)."""
    return {"X-Request-Id": str(uuid5(NAMESPACE_URL, ctx.idempotency_key))} if ctx.idempotency_key else {}


async def _post(ctx: Context, path: str, body: dict[str, Any]) -> dict[str, Any]:
    return parse(dict[str, Any], await ctx.http.call("POST", path, json=body, headers=_once(ctx)), "Todoist")
