from datetime import datetime, timedelta
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ValidationError

from area.kit.clock import now
from area.sdk import (
    Context,
    Event,
    Events,
    Headers,
    Hook,
    Made,
    Nothing,
    Option,
    Output,
    Request,
    Service,
    Subscription,
    new_events,
    param,
    unsigned,
)
from area.sdk.fields import by_name, fields
from area.sdk.testing import delivery

Folder = Annotated[str, param("Folder", "ideas", pick="folders", max_length=5)]


@pytest.fixture
def notes() -> Service:
    return Service("notes", "Notes", "Notes.")


async def test_arguments_are_parameters_in_their_order_with_what_is_asked_of_them(notes):
    @notes.reaction("Write a note")
    async def write(
        ctx: Context,
        folder: Folder,
        text: Annotated[str, param("Text", "Hello")] = "-",
        loud: Annotated[bool, param("Loud", True)] = False,
    ) -> Made:
        """In a folder."""
        return Made(id=f"{folder} {text} {loud}")

    folder, text, loud = fields(write.params)
    assert (folder.name, folder.description, folder.placeholder, folder.picker, folder.nullable) == (
        "folder",
        "Folder",
        "ideas",
        "folders",
        False,
    )
    assert (text.name, text.nullable, text.default) == ("text", True, "-")
    assert (loud.type, loud.default) == ("boolean", False)
    assert (write.params.__name__, write.description) == ("Write", "In a folder.")
    with pytest.raises(ValidationError, match="at most 5"):
        write.params(folder="longer")
    assert (await write.function(None, write.params(folder="a", loud=True))).id == "a - True"


async def test_another_description_keeps_the_example_and_the_picker(notes):
    @notes.poll("A note is written", every=timedelta(minutes=1))
    async def written(ctx: Context, folder: Annotated[Folder, param("Only this folder")] = "") -> Events[Made]:
        yield Event(folder, Made(id=folder))

    folder = by_name(written.params)["folder"]
    assert (folder.description, folder.placeholder, folder.picker) == ("Only this folder", "ideas", "folders")
    assert written.description == written.title
    assert [event.id async for event in written.function(None, written.params(folder="a"), now())] == ["a"]


async def test_a_function_takes_what_it_needs(notes):
    @notes.poll("Nothing is needed", every=timedelta(minutes=1))
    async def nothing(ctx: Context) -> Events[Made]:
        yield Event("1", Made(id="1"))

    @notes.poll("The window is needed", every=timedelta(minutes=1))
    async def window(since: datetime, ctx: Context) -> Events[Made]:
        yield Event(since.isoformat(), Made(id="1"))

    since = now()
    assert fields(nothing.params) == () == fields(window.params)
    assert [event.id async for event in nothing.function(None, nothing.params(), since)] == ["1"]
    assert [event.id async for event in window.function(None, window.params(), since)] == [since.isoformat()]


async def test_events_may_be_yielded_or_what_yields_them_be_returned(notes):
    open_lists = []

    async def listed(folder: str):
        open_lists.append(folder)
        try:
            for char in "ab":
                yield Made(id=folder + char)
        finally:
            open_lists.remove(folder)

    @notes.poll("A note is written", every=timedelta(minutes=1))
    async def written(ctx: Context, folder: Folder) -> Events[Made]:
        return new_events(listed(folder))

    @notes.poll("A note is read", every=timedelta(minutes=1))
    def read(folder: Folder) -> Events[Made]:
        return new_events(listed(folder))

    for action in (written, read):
        assert action.returns is Made
        assert [event.id async for event in action.function(None, action.params(folder="x"), now())] == ["xa", "xb"]
        assert open_lists == []

    @notes.webhook("A note is shared", verify=unsigned("a test"))
    async def shared(request: Request) -> Events[Made]:
        return new_events(listed(request.method))

    assert [event.id async for event in shared.function(None, shared.params(), delivery())] == ["POSTa", "POSTb"]


async def test_subscriptions_take_the_parameters_that_they_need(notes):
    @notes.webhook("A note is shared", verify=unsigned("a test"))
    async def shared(
        ctx: Context, request: Request, folder: Folder, deep: Annotated[bool, param("Deep", True)] = True
    ) -> Events[Made]:
        yield Event(request.path, Made(id=folder))

    @shared.subscribe
    async def add(ctx: Context, folder: str, hook: Hook) -> Subscription:
        return Subscription(f"{folder} {hook.url}")

    @shared.unsubscribe
    async def remove(ctx: Context, subscription: str) -> None:
        ctx.append(subscription)

    params, hook, ended = shared.params(folder="a"), Hook("https://area.example/hooks/1", ""), []
    assert (await shared.on_subscribe(None, params, hook)).id == "a https://area.example/hooks/1"
    await shared.on_unsubscribe(ended, params, hook, "7")
    assert ended == ["7"]
    with pytest.raises(TypeError, match="file is no parameter"):

        @shared.renew
        async def renew(ctx: Context, file: str, hook: Hook) -> Subscription:
            return Subscription("")


async def test_webhooks_of_one_shape_are_declared_in_a_table(notes):
    class Share(Output):
        id: str
        by: str

    @notes.webhooks(
        ("written", "note.new", Made, "A note is written", "There is a new note."),
        ("shared", "note.share", Share, "A note is shared", "Somebody sees more."),
        verify=unsigned("a test"),
        scopes=("notes",),
    )
    async def happened(request: Request, kind: str, model: type[BaseModel], folder: Folder) -> Events[Any]:
        yield Event(kind, model.model_validate({"id": folder, "by": request.path}))

    @happened.subscribe
    async def add(ctx: Context, hook: Hook, kind: str, folder: str) -> Subscription:
        return Subscription(f"{kind} {folder} {hook.url}")

    @happened.renew
    async def renew(subscription: str, model: type[BaseModel]) -> Subscription:
        return Subscription(f"{subscription} {model.__name__}")

    @happened.unsubscribe
    async def remove(ctx: Context, subscription: str) -> None:
        ctx.append(subscription)

    written, shared = notes.actions.values()
    assert (written.name, written.title, written.description) == (
        "written",
        "A note is written",
        "There is a new note.",
    )
    assert (shared.name, shared.returns, shared.scopes) == ("shared", Share, ("notes",))
    assert [field.name for field in fields(shared.params)] == ["folder"]
    params, ended = shared.params(folder="a"), []
    request = Request("POST", "/hooks/1", Headers(), {}, b"", now())
    (event,) = [event async for event in shared.function(None, params, request)]
    assert (event.id, event.data) == ("note.share", Share(id="a", by="/hooks/1"))
    (event,) = [event async for event in written.function(None, params, request)]
    assert (event.id, event.data) == ("note.new", Made(id="a"))
    assert (
        await written.on_subscribe(None, params, Hook("https://b.example", ""))
    ).id == "note.new a https://b.example"
    assert (await shared.on_renew(None, params, None, "7")).id == "7 Share"
    await shared.on_unsubscribe(ended, params, None, "7")
    assert ended == ["7"]


async def test_pickers_take_fields_of_the_form_once_they_are_filled_in(notes):
    @notes.picker
    async def folders(ctx: Context, shelf: str) -> list[Option]:
        return [Option(shelf, shelf)]

    assert await notes.pickers["folders"](None, {}) == []
    assert await notes.pickers["folders"](None, {"shelf": "top", "other": ""}) == [Option("top", "top")]
    with pytest.raises(TypeError, match="first parameter must be ctx"):

        @notes.picker
        async def shelves(form: dict[str, str]) -> list[Option]:
            return []


def test_models_may_stand_for_all_parameters(notes):
    class Where(Output):
        folder: Folder

    @notes.reaction("Delete a note")
    async def delete(ctx: Context, params: Where) -> None:
        """In a folder."""

    assert (delete.params, delete.returns) == (Where, Nothing)


def test_what_says_too_little_is_refused(notes):
    with pytest.raises(TypeError, match=r"notes.write: `text` must be annotated"):

        @notes.reaction("Write a note")
        async def write(ctx: Context, text) -> None: ...

    with pytest.raises(TypeError, match="`more` must be annotated"):

        @notes.reaction("Write a note")
        async def rewrite(ctx: Context, **more: str) -> None: ...

    with pytest.raises(TypeError, match="parameters must be"):

        @notes.reaction("Write a note")
        async def both(ctx: Context, params: Nothing, text: Folder) -> None: ...


async def test_of_what_comes_newest_first_no_more_is_taken_than_is_new(notes):
    begin, asked_for = now(), []

    @notes.poll("A note is written", every=timedelta(minutes=5), newest_first=True)
    async def note_written(since: datetime, folder: Folder) -> Events[Made]:
        try:
            for number, late in enumerate((3, None, 2, -1, -2)):
                asked_for.append(number)
                at = since + timedelta(minutes=late) if late is not None else None
                yield Event(f"{folder}{number}", Made(id=str(number)), at)
        finally:
            asked_for.append("closed")

    seen = [event.id async for event in note_written.function(None, note_written.params(folder="a"), begin)]
    assert (seen, asked_for) == (["a0", "a1", "a2", "a3"], [0, 1, 2, 3, "closed"])
