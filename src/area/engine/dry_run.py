"""A dry run: what the reaction would get. A look-up is really asked: it changes nothing, and its answer is what the
user wants to see.
"""

import asyncio
import functools
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from area.areas.links import When
from area.areas.plans import Plan, field_errors
from area.connections.vault import Ref
from area.engine import access, proof
from area.engine.cache import Cache
from area.engine.execution.result import encoded
from area.engine.intake import EventTooLargeError, check_size
from area.engine.state import State
from area.kit.budget import Budget, Exhausted
from area.kit.clock import now
from area.kit.evaluation import evaluate
from area.kit.problems import FieldError, TooLarge
from area.kit.sentences import Sentence
from area.kit.template import RenderError
from area.kit.text import dump_json
from area.sdk import AuthExpired, ConnectorError
from area.sdk.fields import by_name

SECONDS = 20.0  # that somebody waits for the answer


class Preview(BaseModel):
    """A dry run: the parameters the reaction would get for `data`. Nothing was sent, except the question of a look-up,
    whose answer is `result`.

    `runs` is false, and `why` says why, if `only_if` would have skipped it, a parameter can't be filled or a look-up
    finds nothing to go on with.
    """

    data: dict[str, Any]
    sample: bool
    runs: bool
    why: Sentence | None
    due: str | None
    reaction: str
    parameters: dict[str, Any]
    errors: list[FieldError]
    result: dict[str, Any] | None = None
    then: list["LinkPreview"] = []


class LinkPreview(Preview):
    """A dry run of a link of a chain, with sample results of the AREAs before it. `area_id` is null if it isn't saved.
    With `for_each` it is of the first item.
    """

    area_id: int | None
    name: str
    when: When


@dataclass(frozen=True, slots=True)
class Answer:
    """What a look-up returned as JSON, or why it would not."""

    result: bytes | None = None
    why: Sentence | None = None


async def ask(state: State, cache: Cache, plan: Plan, ref: Ref, params: BaseModel, seconds: float = SECONDS) -> Answer:
    """The answer of the plan's reaction, a look-up, with the connection `ref`, within so many seconds."""
    service, credential = plan.reaction.service, None
    if service.auth is not None and (ref.number or service.requires_auth):
        connected = await cache.connection(*ref)
        credential = connected.credential
        if connected.status in ("missing", "gone"):
            return Answer(why=Sentence("Connect %(name)s first.", name=service.name))
    context = access.context(state, cache.tokens, service, ref, credential)
    try:
        async with asyncio.timeout(seconds):
            return Answer(encoded(await plan.reaction.function(context, params)))
    except AuthExpired as error:
        meant = await proof.meaning(state, cache.tokens, service, ref, credential, error)
        return Answer(why=Sentence(str(meant)))
    except ConnectorError as error:
        return Answer(why=Sentence(str(error)))
    except TimeoutError:
        return Answer(why=Sentence("Timed out."))


async def fill(plan: Plan, event: dict[str, Any], *, sample: bool, timezone: str) -> tuple[Preview, BaseModel | None]:
    """What would be sent, and the reaction's parameters if it would run."""
    runs = True
    params: BaseModel | None = None
    why: Sentence | None = None
    due = plan.due(now(), timezone)
    errors: list[FieldError] = []
    values: dict[str, Any] = {}
    size = len(checked(event))
    budget = Budget()
    try:
        if not await evaluate(functools.partial(plan.holds, event), budget, size):
            runs, why = False, Sentence("This event doesn't match the condition.")
        values = await evaluate(functools.partial(plan.values, event), budget, size)
        params = await evaluate(lambda _: plan.reaction.params.model_validate(values), budget, size)
        values = params.model_dump(mode="json")
        declared = by_name(plan.reaction.params)
        values = {name: declared[name].hidden(value) if value is not None else None for name, value in values.items()}
    except (Exhausted, RenderError) as error:
        runs, why = False, Sentence(str(error))
    except ValidationError as error:
        errors = field_errors(error, "reaction.parameters")
        runs, why = False, Sentence("The reaction would reject these values.")
    shown = Preview(
        data=event,
        sample=sample,
        runs=runs,
        why=why,
        due=due.isoformat() if due else None,
        reaction=plan.reaction.key,
        parameters=values,
        errors=errors,
    )
    return shown, params if runs else None


def checked(data: dict[str, Any]) -> bytes:
    """The event as JSON. Raises `TooLarge`."""
    written = dump_json(data)
    try:
        check_size(written)
    except EventTooLargeError as error:
        raise TooLarge(str(error)) from error
    return written
