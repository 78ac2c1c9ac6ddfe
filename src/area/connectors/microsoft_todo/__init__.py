"""Microsoft To Do: triggers on created, completed and due tasks; creates tasks and lists. Uses Microsoft Graph."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from area.sdk import Context, Event, Events, Output, Service, ZoneName, output, param, quoted
from area.vendors.microsoft import GRAPH, PAGES, changes, hint, microsoft

service = Service(
    "microsoft_todo",
    "Microsoft To Do",
    "React to new, completed and due tasks; create tasks and lists, and complete tasks.",
    base_url=GRAPH,
    docs="https://learn.microsoft.com/graph/api/resources/todo-overview",
    pages=PAGES,
    auth=microsoft(),
    quality="verified",
    synonyms={
        "": "to-do list, todo, reminder, Wunderlist, Outlook tasks",
        "task_created": "new task, new reminder",
        "task_completed": "task done, ticked off, checked, checklist item done, finished",
        "task_due": "overdue, deadline, reminder",
        "create_task": "add to my todo list, remind me, shopping list, groceries, chore",
        "complete_task": "tick off, done, check",
        "create_list": "project",
    },
)
# https://learn.microsoft.com/graph/api/todo-list-lists
service.options("lists", "/me/todo/lists", label="displayName")

READ, WRITE = ("Tasks.Read",), ("Tasks.ReadWrite",)
OFTEN = timedelta(minutes=2)
CHANGED = hint("/me/todo/lists/{list}/tasks", "created,updated")
DAYS = timedelta(days=2)  # a task is done, or due, on a day, in a time zone that may be a day ahead of or behind ours
List = Annotated[str, param("List", "AQMkADAwATM0MDAAMS0yMDky", pick="lists")]


class Task(Output):
    id: str = output("id", "ID", "AQMkADAwATM0MDAAMS0yMDkyLWVjMzYtMDACLTAwCgBGAAAD")
    title: str | None = output("title", "Title", "Buy milk", None)
    text: str | None = output("body.content", "Notes", "Two bottles", None)
    status: str = output("status", "notStarted, inProgress, completed, waitingOnOthers or deferred", "notStarted")
    importance: str = output("importance", "low, normal or high", "normal")
    due: datetime | None = output("dueDateTime.dateTime", "Due date", "2026-11-24T00:00:00", None)
    completed: datetime | None = output("completedDateTime.dateTime", "Time of completion", "2026-11-23T00:00:00", None)
    created_at: datetime = output("createdDateTime", "Date created", "2026-11-23T09:00:00Z")
    changed_at: datetime = output("lastModifiedDateTime", "Date of the last change", "2026-11-23T09:05:00Z")


class ListMade(Output):
    id: str = output("id", "ID", "AQMkADAwATM0MDAAMS0yMDky")
    name: str = output("displayName", "Name", "Shopping")


@service.poll("Task created", every=OFTEN, scopes=READ, hint=CHANGED)
async def task_created(ctx: Context, since: datetime, list: List) -> Events[Task]:
    """Triggers when a task is added to a list."""
    # https://learn.microsoft.com/graph/api/todotask-delta
    async for task in changes(ctx, f"{_tasks(list)}/delta", Task):
        if task.created_at >= since:
            yield Event(task.id, task, task.created_at)


@service.poll("Task completed", every=OFTEN, overlap=DAYS, scopes=READ, hint=CHANGED)
async def task_completed(ctx: Context, since: datetime, list: List) -> Events[Task]:
    """Triggers when a task in a list is completed. Completing it twice on the same day counts once."""
    async for task in changes(ctx, f"{_tasks(list)}/delta", Task):
        if task.status == "completed" and task.completed:
            at = task.completed.replace(tzinfo=UTC)
            if at >= since:
                yield Event(f"{task.id} {at.date()}", task, at)


@service.poll("Task due", every=timedelta(minutes=15), overlap=DAYS, scopes=READ)
async def task_due(
    ctx: Context,
    since: datetime,
    list: List,
    timezone: Annotated[ZoneName, param("Time zone in which the day begins", "Europe/Paris")] = "UTC",
    days_before: Annotated[int, param("Days before the due date", 1, ge=0, le=365)] = 0,
) -> Events[Task]:
    """Triggers when a task's due date arrives, or a number of days before. Completed tasks don't count."""
    zone, now = ZoneInfo(timezone), datetime.now(UTC)
    # https://learn.microsoft.com/graph/api/todotasklist-list-tasks
    query = {"$filter": "status ne 'completed'", "$top": "100"}
    async for task in ctx.http.rows(_tasks(list), Task, params=query):
        if task.due:
            # midnight, of some time zone: the one that is nearest in the user's
            day = (task.due.replace(tzinfo=UTC).astimezone(zone) + timedelta(hours=12)).date()
            at = datetime.combine(day - timedelta(days=days_before), time(), zone)
            if since <= at <= now:
                yield Event(f"{task.id} {day}", task, at)


@service.reaction("Create a task", on_crash="fail", scopes=WRITE)
async def create_task(
    ctx: Context,
    list: List,
    title: Annotated[str, param("Title", "Buy milk", min_length=1)],
    text: Annotated[str, param("Notes", "Two bottles")] = "",
    due: Annotated[date | None, param("Due date", "2026-11-24")] = None,
    reminder: Annotated[datetime | None, param("Time of the reminder", "2026-11-24T08:00:00Z")] = None,
    importance: Annotated[Literal["low", "normal", "high"], param("Importance", "high")] = "normal",
) -> Task:
    """Add a task to a list."""
    result: dict[str, Any] = {"title": title, "importance": importance}
    if text:
        result["body"] = {"content": text, "contentType": "text"}
    if due:
        result["dueDateTime"] = {"dateTime": f"{due}T00:00:00", "timeZone": "UTC"}
    if reminder:
        at = reminder.replace(tzinfo=reminder.tzinfo or UTC).astimezone(UTC)
        result |= {"isReminderOn": True, "reminderDateTime": {"dateTime": f"{at:%Y-%m-%dT%H:%M:%S}", "timeZone": "UTC"}}
    # https://learn.microsoft.com/graph/api/todotasklist-post-tasks
    return await ctx.http.post(_tasks(list), Task, json=result)


@service.lookup("Find a task", scopes=READ)
async def find_task(
    ctx: Context, list: List, words: Annotated[str, param("Text in its title", "milk", min_length=1)]
) -> Task | None:
    """Find the first open task of a list whose title contains a text."""
    # https://learn.microsoft.com/graph/api/todotasklist-list-tasks
    query = {"$filter": "status ne 'completed'", "$top": "100"}
    async for task in ctx.http.rows(_tasks(list), Task, params=query):
        if words.casefold() in (task.title or "").casefold():
            return task
    return None


@service.reaction("Complete a task", scopes=WRITE, idempotent="same")
async def complete_task(
    ctx: Context, list: List, task: Annotated[str, param("Task ID", "{{id}}", min_length=1)]
) -> Task:
    # https://learn.microsoft.com/graph/api/todotask-update
    return await ctx.http.ask("PATCH", _tasks(list) + quoted("/{}", task), Task, json={"status": "completed"})


@service.reaction("Create a list", on_crash="fail", scopes=WRITE)
async def create_list(ctx: Context, name: Annotated[str, param("Name", "Shopping", min_length=1)]) -> ListMade:
    """Create a task list."""
    # https://learn.microsoft.com/graph/api/todo-post-lists
    return await ctx.http.post("/me/todo/lists", ListMade, json={"displayName": name})


def _tasks(tasks: str) -> str:
    return quoted("/me/todo/lists/{}/tasks", tasks)
