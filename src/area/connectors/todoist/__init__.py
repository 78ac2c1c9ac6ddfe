"""Todoist: triggers on tasks and projects; creates, completes and comments on tasks."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from area.sdk import (
    Context,
    Event,
    Events,
    Inbound,
    Made,
    OAuth2,
    Output,
    Pages,
    Quirks,
    Service,
    account_ids,
    composed,
    hmac_sha256,
    new_events,
    now,
    output,
    param,
    profile,
    quoted,
    timestamp,
    without_blanks,
)
from area.sdk.shapes import Items

# 1,000 requests in 15 minutes are allowed, https://developer.todoist.com/api/v1#tag/Request-limits
EVERY = timedelta(minutes=2)
READ, WRITE = ("data:read",), ("data:read_write",)


service = Service(
    "todoist",
    "Todoist",
    "React to tasks and projects as they are added or completed; create, complete and comment on tasks.",
    docs="https://developer.todoist.com/api/v1",
    base_url="https://api.todoist.com/api/v1",
    # https://developer.todoist.com/api/v1#tag/Pagination
    pages=Pages("results", next="next_cursor", cursor="cursor", query={"limit": "200"}),
    # https://developer.todoist.com/api/v1#tag/Webhooks
    inbound=Inbound(hmac_sha256("X-Todoist-Hmac-SHA256", encoding="base64", client=True), account_ids("user_id")),
    auth=OAuth2(  # https://developer.todoist.com/api/v1#tag/Authorization/OAuth; its tokens do not expire
        "https://todoist.com/oauth/authorize",
        "https://todoist.com/oauth/access_token",
        # https://developer.todoist.com/api/v1#tag/User
        profile("/user", id="id", name="full_name", email="email"),
        scopes=READ,
        # https://developer.todoist.com/api/v1#tag/Authorization/operation/revoke_token_rfc7009_compliant_api_v1_revoke_post
        revoke_url="https://api.todoist.com/api/v1/revoke",
        quirks=Quirks(client_auth="post", revoke_auth="basic", scope_separator=",", pkce=False),
    ),
    synonyms={
        "": "to-do list, todo, reminder",
        "task_added": "new task, new reminder",
        "task_completed": "task done, ticked off, checked, checklist item done, finished",
        "create_task": "add to my todo list, remind me, shopping list, todo, groceries, chore",
        "quick_add": "natural language, remind me",
        "complete_task": "tick off task, done, check",
    },
)
# https://developer.todoist.com/api/v1#tag/Projects
service.options("projects", "/projects")

Project = Annotated[str, param("Project", "6Jf8VQXxpwv56VQ7", pick="projects")]
TaskId = Annotated[str, param("Task ID", "6X7rM8997g3RQmvh", min_length=1)]


class Task(Output):
    id: str = output("id", "ID", "6X7rM8997g3RQmvh")
    content: str = output("content", "Task", "Buy milk")
    description: str = output("description", "Description", "The one with oats.", "")
    project: str = output("project_id", "Project ID", "6Jf8VQXxpwv56VQ7", "")
    labels: list[str] = output("labels", "Labels", ["shopping"], [])
    due: str | None = output("due.date", "Due date", "2026-11-23", None)
    url: str = composed("https://app.todoist.com/app/task/{id}", "URL", "https://app.todoist.com/app/task/6X7")
    added_at: datetime | None = output("added_at created_at", "Date added", "2026-11-23T09:00:00Z", None)
    completed_at: datetime | None = output("completed_at", "Date completed", "2026-11-23T10:00:00Z", None)


class Found(Output):
    id: str = output("id", "ID", "6X7rM8997g3RQmvh")
    name: str = output("name", "Name", "Home")
    created_at: datetime | None = output("created_at", "Date created", "2026-11-23T09:00:00Z", None)


@service.poll("New task in a project", every=EVERY)
def task_added(ctx: Context, project: Project) -> Events[Task]:
    """Triggers when a task is added to a project."""
    # undated: a task that is moved here from another project is new here
    # https://developer.todoist.com/api/v1#tag/Tasks/operation/get_tasks_api_v1_tasks_get
    return new_events(ctx.http.rows("/tasks", Task, params={"project_id": project}))


@service.poll("Task completed", every=EVERY)
async def task_completed(
    ctx: Context, since: datetime, project: Annotated[Project, param("Only this project")] = ""
) -> Events[Task]:
    """Triggers when a task is completed, in any project or in one. Recurring tasks count each time."""
    query = without_blanks(since=timestamp(since), until=timestamp(now()), project_id=project)
    # https://developer.todoist.com/api/v1#tag/Tasks, tasks completed by completion date
    async for task in ctx.http.rows("/tasks/completed/by_completion_date", Task, at="items", params=query):
        yield Event(f"{task.id}@{task.completed_at}", task, task.completed_at)


@service.poll("New project", every=timedelta(minutes=5))
def project_added(ctx: Context) -> Events[Found]:
    """Triggers when you have a new project, your own or a shared one."""
    # https://developer.todoist.com/api/v1#tag/Projects
    return new_events(ctx.http.rows("/projects", Found))


@service.reaction("Create a task", scopes=WRITE, idempotent="key")
async def create_task(
    ctx: Context,
    content: Annotated[str, param("Task", "Buy milk", min_length=1, max_length=500)],
    project: Annotated[Project, param("Project; the inbox if empty")] = "",
    description: Annotated[str, param("Description", "The one with oats.", max_length=16_383)] = "",
    due: Annotated[str, param("Due date, as you would write it in Todoist", "tomorrow at 12:00", max_length=150)] = "",
    priority: Annotated[Literal["p1", "p2", "p3", "p4"], param("Priority; p1 is the most urgent", "p1")] = "p4",
    labels: Annotated[Items, param("Labels, separated by commas", "shopping, home")] = [],  # noqa: B006 - each call has its own
) -> Task:
    """Create a task in a project or in the inbox."""
    body: dict[str, Any] = {"content": content, "description": description, "labels": labels}
    body["priority"] = 5 - int(priority[1])  # 4 is the most urgent one there
    body |= {"project_id": project} if project else {}
    body |= {"due_string": due} if due else {}
    # https://developer.todoist.com/api/v1#tag/Tasks/operation/create_task_api_v1_tasks_post
    return await ctx.http.post("/tasks", Task, json=body, headers=_once(ctx))


@service.reaction("Quick-add a task", scopes=WRITE, idempotent="key")
async def quick_add(
    ctx: Context,
    text: Annotated[str, param("Task, as in Todoist's quick add", "Buy milk tomorrow at 12 #Home p1", min_length=1)],
) -> Task:
    """Add a task from one line that can include a date (`tomorrow`), project (`#Home`), label (`@shop`) and priority
    (`p1`).
    """
    # https://developer.todoist.com/api/v1#tag/Tasks/operation/quick_add_api_v1_tasks_quick_post
    return await ctx.http.post("/tasks/quick", Task, json={"text": text}, headers=_once(ctx))


@service.reaction("Complete a task", scopes=WRITE, idempotent="key")
async def complete_task(ctx: Context, task: TaskId) -> Made:
    """Complete a task. Recurring tasks move to their next date."""
    # https://developer.todoist.com/api/v1#tag/Tasks/operation/close_task_api_v1_tasks__task_id__close_post
    await ctx.http.call("POST", quoted("/tasks/{}/close", task), headers=_once(ctx))
    return Made(id=task)


@service.lookup("Find a task")
async def find_task(
    ctx: Context,
    filter: Annotated[str, param("Filter, as in Todoist", "search: milk & today", min_length=1, max_length=1024)],
) -> Task | None:
    """Find the first open task that a filter shows."""
    # https://developer.todoist.com/api/v1#tag/Tasks/operation/get_tasks_by_filter_api_v1_tasks_filter_get
    query = {"query": filter, "limit": "1"}
    tasks = await ctx.http.get("/tasks/filter", list[Task], at="results", params=query)
    return tasks[0] if tasks else None


@service.reaction("Comment on a task", scopes=WRITE, idempotent="key")
async def comment_on_task(
    ctx: Context, task: TaskId, text: Annotated[str, param("Text", "Done!", min_length=1, max_length=15_000)]
) -> Made:
    # https://developer.todoist.com/api/v1#tag/Comments/operation/create_comment_api_v1_comments_post
    return await ctx.http.post("/comments", Made, json={"task_id": task, "content": text}, headers=_once(ctx))


def _once(ctx: Context) -> dict[str, str]:
    """Headers that make Todoist execute a request once: a 36-character X-Request-Id, as in its SDKs."""
    return {"X-Request-Id": ctx.uuid()}
