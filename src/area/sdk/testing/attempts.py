"""A second attempt of a reaction, as after a crash, against doubles that answer as they did the first time."""

import contextlib
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

from pydantic import BaseModel

from area.kit.clock import now
from area.sdk.context import Context
from area.sdk.errors import Permanent
from area.sdk.service import Reaction
from area.sdk.testing.double import READS, Asked, Double

IDEMPOTENT = {"PUT", "PATCH", "DELETE"}  # with the same body they leave the same (RFC 9110 §9.2.2, RFC 5789 §2)
_BOUNDARY = re.compile(rb"boundary=\"?([^\";\r\n]+)")

Sent = tuple[str, str, str, bytes, tuple[tuple[str, str], ...]]


async def attempted(ctx: Context, reaction: Reaction, params: BaseModel, doubles: Sequence[Double]) -> Any:
    """Run a reaction, and if it may be attempted again, check what it promises with `idempotent`. Returns the result.

    1. The reaction runs as it is.
    2. It runs twice with one idempotency key. The doubles answer as they did, and the second time as `Double.again`
       says. The second attempt may send no other request that writes than the first; after `again`, it may fail.
    3. `key`: with another key it sends something else, or else two executions would be one.
    4. `same`: the method says that what is sent may be repeated, or `Double.again` says what the vendor answers.
    """
    before = [len(double.answered) for double in doubles]
    result = await reaction.function(ctx, params)
    if reaction.idempotent is None:
        return result
    answered = [double.answered[number:] for double, number in zip(doubles, before, strict=True)]

    async def attempt(key: str, *, again: bool) -> list[Asked]:
        with contextlib.ExitStack() as stack:
            repeats = [
                stack.enter_context(double.repeating(those, again=again))
                for double, those in zip(doubles, answered, strict=True)
            ]
            try:
                await reaction.function(replace(ctx, idempotency_key=key), params)
            except Permanent:
                if not any(repeat.answered_again for repeat in repeats):
                    raise
        return [asked for repeat in repeats for asked in repeat.asked if asked.method not in READS]

    key = f"execution-{uuid4()}"
    first = [_sent(asked) for asked in await attempt(key, again=False)]
    second = await attempt(key, again=True)
    repeatable = {route for double in doubles for route in double.answers_again}
    looked = any(method in READS for method, _ in repeatable)
    other = [
        asked
        for asked in second
        if _sent(asked) not in first
        and not (looked and asked.method in IDEMPOTENT)
        and not ((asked.method, asked.route) in repeatable and asked.path not in {path for _, _, path, *_ in first})
    ]
    assert not other, f"{reaction.key}: what the second attempt sends is not what the first one sent: {other}"
    if reaction.idempotent == "key":
        later = [_sent(asked) for asked in await attempt(f"execution-{uuid4()}", again=False)]
        assert not first or later != first, (
            f"{reaction.key}: two executions send the same, so they are one to the vendor"
        )
    elif not reaction.finds:  # which may ask with a POST, and changes nothing
        routes = {(asked.method, asked.route) for asked in second if asked.method not in IDEMPOTENT} - repeatable
        assert not routes, (
            f"{reaction.key}: say with `Double.again` what the vendor answers the second time to {routes}"
        )
    return result


def _sent(asked: Asked) -> Sent:
    """What the vendor sees of a request, without the boundary of a form's parts and what time it is."""
    boundary = _BOUNDARY.search(asked.headers.get("Content-Type", "").encode())
    body = asked.body.replace(boundary[1], b"boundary") if boundary else asked.body
    days = "|".join(f"{now() + timedelta(days=days):%Y-%m-%d}" for days in (-1, 0, 1))
    body = re.sub(rf"({days})T[\d:.]+Z".encode(), b"now", body)
    headers = ((name, value) for name, value in asked.headers.items() if name not in ("Content-Type", "Content-Length"))
    return (asked.method, asked.host, asked.path, body, (*sorted(asked.query.items()), *sorted(headers)))
