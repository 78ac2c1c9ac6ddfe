"""Microsoft To Do: tasks made, done and due in, tasks and lists out, by Microsoft Graph."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import quote
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field

from area.sdk import Context, Event, Option, Pick, Row, Service, ZoneName, found, parse
from area.sdk.microsoft import GRAPH, NAME, changes, hint, microsoft, rows

service = Service(
    "microsoft_todo",
    "Microsoft To Do",
    "Tasks of Microsoft To Do: when they are made, done or due; make tasks and lists, and tick them off.",
    base_url=GRAPH,
    docs="https://learn.microsoft.com/graph/api/resources/todo-overview",
    auth=microsoft(),
    quality="verified",
)

READ, WRITE = ("Tasks.Read",), ("Tasks.ReadWrite",)
OFTEN = timedelta(minutes=2)
CHANGED = hint("/me/todo/lists/{list}/tasks", "created,updated")
DAYS = timedelta(days=2)  # a task is done, or due, on a day, in a time zone that may be a day ahead of or behind ours


class TaskList(BaseModel):
    """Which list."""

    list: Annotated[str, Pick("lists")] = Field(description="List of the tasks", examples=["AQMkADAwATM0MDAAMS0yMDky"])


class Due(TaskList):
    """Which list, and when its tasks are due."""

    timezone: ZoneName = Field("UTC", description="Time zone in which the day begins", examples=["Europe/Paris"])
    days_before: int = Field(0, ge=0, le=365, description="How many days before", examples=[1])


class NewTask(TaskList):
    """The task to make."""

    title: str = Field(min_length=1, description="What to do", examples=["Buy milk"])
    text: str = Field("", description="Notes on it", examples=["Two bottles"])
    due: date | None = Field(None, description="Day on which it is due", examples=["2026-11-24"])
    reminder: datetime | None = Field(None, description="When to remind of it", examples=["2026-11-24T08:00:00Z"])
    importance: Literal["low", "normal", "high"] = Field("normal", description="Its importance", examples=["high"])


class Which(TaskList):
    """Which task of which list."""

    task: str = Field(min_length=1, description="Id of the task", examples=["{{id}}"])


class NewList(BaseModel):
    """The list to make."""

    name: str = Field(min_length=1, description="Its name", examples=["Shopping"])


class Task(Row):
    """A task."""

    id: str = found("id", "What names it", "AQMkADAwATM0MDAAMS0yMDkyLWVjMzYtMDACLTAwCgBGAAAD")
    title: str | None = found("title", "What to do", "Buy milk", None)
    text: str | None = found("body.content", "Notes on it", "Two bottles", None)
    status: str = found("status", "notStarted, inProgress, completed, waitingOnOthers or deferred", "notStarted")
    importance: str = found("importance", "low, normal or high", "normal")
    due: datetime | None = found("dueDateTime.dateTime", "When it is due", "2026-11-24T00:00:00", None)
    completed: datetime | None = found("completedDateTime.dateTime", "When it was done", "2026-11-23T00:00:00", None)
    created_at: datetime = found("createdDateTime", "When it was made", "2026-11-23T09:00:00Z")
    changed_at: datetime = found("lastModifiedDateTime", "When it was changed last", "2026-11-23T09:05:00Z")


class ListMade(Row):
    """A list of tasks."""

    id: str = found("id", "What names it", "AQMkADAwATM0MDAAMS0yMDky")
    name: str = found("displayName", "Its name", "Shopping")


@service.poll("A task is made", every=OFTEN, scopes=READ, hint=CHANGED)
async def task_created(ctx: Context, params: TaskList, since: datetime) -> AsyncIterator[Event[Task]]:
    """A task is put on a list."""
    async for task in _changed(ctx, params):
        if task.created_at >= since:
            yield Event(task.id, task, task.created_at)


@service.poll("A task is done", every=OFTEN, overlap=DAYS, scopes=READ, hint=CHANGED)
async def task_completed(ctx: Context, params: TaskList, since: datetime) -> AsyncIterator[Event[Task]]:
    """A task of a list is ticked off. Ticked off twice on one day, it fires once."""
    async for task in _changed(ctx, params):
        if task.status == "completed" and task.completed:
            at = task.completed.replace(tzinfo=UTC)
            if at >= since:
                yield Event(f"{task.id} {at.date()}", task, at)


@service.poll("A task is due", every=timedelta(minutes=15), overlap=DAYS, scopes=READ)
async def task_due(ctx: Context, params: Due, since: datetime) -> AsyncIterator[Event[Task]]:
    """The day on which a task of a list is due begins, or comes near. Tasks that are done do not count."""
    zone, now = ZoneInfo(params.timezone), datetime.now(UTC)
    # https://learn.microsoft.com/graph/api/todotasklist-list-tasks
    query = {"$filter": "status ne 'completed'", "$top": "100"}
    async for task in rows(ctx, _tasks(params), query, Task, most=1000):
        if task.due:
            # midnight, of some time zone: the one that is nearest in the user's
            day = (task.due.replace(tzinfo=UTC).astimezone(zone) + timedelta(hours=12)).date()
            at = datetime.combine(day - timedelta(days=params.days_before), time(), zone)
            if since <= at <= now:
                yield Event(f"{task.id} {day}", task, at)


async def _changed(ctx: Context, params: TaskList) -> AsyncIterator[Task]:
    # https://learn.microsoft.com/graph/api/todotask-delta
    async for row in changes(ctx, f"{_tasks(params)}/delta", {}):
        yield parse(Task, row, NAME)


@service.reaction("Make a task", on_crash="fail", scopes=WRITE)
async def create_task(ctx: Context, params: NewTask) -> Task:
    """Put a task on a list."""
    # https://learn.microsoft.com/graph/api/todotasklist-post-tasks
    made: dict[str, Any] = {"title": params.title, "importance": params.importance}
    if params.text:
        made["body"] = {"content": params.text, "contentType": "text"}
    if params.due:
        made["dueDateTime"] = {"dateTime": f"{params.due}T00:00:00", "timeZone": "UTC"}
    if params.reminder:
        at = params.reminder.replace(tzinfo=params.reminder.tzinfo or UTC).astimezone(UTC)
        made |= {"isReminderOn": True, "reminderDateTime": {"dateTime": f"{at:%Y-%m-%dT%H:%M:%S}", "timeZone": "UTC"}}
    return parse(Task, await ctx.http.post(_tasks(params), json=made), NAME)


@service.reaction("Tick off a task", scopes=WRITE)
async def complete_task(ctx: Context, params: Which) -> Task:
    """Tick off a task."""
    # https://learn.microsoft.com/graph/api/todotask-update
    path = f"{_tasks(params)}/{quote(params.task, safe='')}"
    return parse(Task, await ctx.http.call("PATCH", path, json={"status": "completed"}), NAME)


@service.reaction("Make a list", on_crash="fail", scopes=WRITE)
async def create_list(ctx: Context, params: NewList) -> ListMade:
    """Make a list of tasks."""
    # https://learn.microsoft.com/graph/api/todo-post-lists
    return parse(ListMade, await ctx.http.post("/me/todo/lists", json={"displayName": params.name}), NAME)


def _tasks(params: TaskList) -> str:
    return f"/me/todo/lists/{quote(params.list, safe='')}/tasks"


@service.picker
async def lists(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """The user's lists."""
    # https://learn.microsoft.com/graph/api/todo-list-lists
    return [Option(one.id, one.name) async for one in rows(ctx, "/me/todo/lists", {}, ListMade)]
