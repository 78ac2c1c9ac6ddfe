"""A curl command that triggers a webhook's AREA: signed as its parameters require, with a body that its condition and
its reaction ask for.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import orjson

from area.areas import AreaOut
from area.kit.template import condition, paths_in
from area.kit.template.comparison import Constant
from area.kit.template.condition import AllOf, AnyOf, Compare, Not, Tree
from area.kit.template.reading import Path, PlacedError

HELLO = {"hello": "world"}

PLAIN = """\
curl '{url}' \\
  -H 'Content-Type: application/json' \\
  -d '{body}'"""
HMAC = """\
SECRET='…' BODY='{body}'
curl '{url}' \\
  -H 'Content-Type: application/json' \\
  -H "{header}: sha256=$(printf %s "$BODY" | openssl dgst -sha256 -hmac "$SECRET" -r | cut -d' ' -f1)" \\
  -d "$BODY\""""
STANDARD = """\
SECRET='whsec_…' BODY='{body}' ID="msg_$(date +%s)" NOW="$(date +%s)"
KEY="$(printf %s "${{SECRET#whsec_}}" | base64 -d | od -An -vtx1 | tr -d ' \\n')"
SIGNATURE="$(printf %s "$ID.$NOW.$BODY" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$KEY" -binary | base64)"
curl '{url}' \\
  -H 'Content-Type: application/json' \\
  -H "webhook-id: $ID" -H "webhook-timestamp: $NOW" -H "webhook-signature: v1,$SIGNATURE" \\
  -d "$BODY\""""


def curl(area: AreaOut) -> str:
    """The command; empty without a webhook URL."""
    if not area.webhook_url:
        return ""
    given = area.action.parameters if area.action.component == "webhook.received" else {}
    form = {"hmac_sha256": HMAC, "standard_webhooks": STANDARD}.get(str(given.get("signature")), PLAIN)
    body = orjson.dumps(sample_body(given.get("only_if"), area.reaction.parameters.values())).decode()
    return form.format(
        url=area.webhook_url,
        header=given.get("signature_header") or "X-Signature-256",
        body=body.replace("'", "'\\''"),
    )


def sample_body(only_if: object, texts: Iterable[object]) -> dict[str, Any]:
    """A body with the values of it that `texts` use in placeholders, and with which `only_if` holds where that can be
    told from its comparisons.
    """
    body: dict[str, Any] = {}
    for text in texts:
        for steps in paths_in(text) if isinstance(text, str) else ():
            _put(body, steps, "…")
    if isinstance(only_if, str) and only_if.strip():
        with suppress(PlacedError):  # the page says elsewhere what is wrong with it
            _satisfy(body, condition.parse(only_if).tree)
    return body or HELLO


def _put(body: dict[str, Any], steps: tuple[str, ...], value: object) -> None:
    """Set what the steps after `body` lead to."""
    first, *inner = steps
    if first != "body" or not inner or any(step.lstrip("-").isdigit() for step in inner):
        return
    *outer, last = inner
    place: Any = body
    for step in outer:
        place = place.setdefault(step, {})
        if not isinstance(place, dict):
            return
    place[last] = value


def _satisfy(body: dict[str, Any], tree: Tree) -> None:
    match tree:
        case AllOf(parts):
            for part in parts:
                _satisfy(body, part)
        case AnyOf(parts):
            _satisfy(body, parts[0])
        case Not(Compare(Path() as left, operator, right)):
            refused = right.value if isinstance(right, Constant) else None
            value = {"empty": "…", "true": False, "==": f"not {refused}"}.get(operator)
            if value is not None:
                _put(body, left.keys, value)
        case Compare(Path() as left, operator, Constant(value)):
            _put(body, left.keys, _meeting(operator, value))
        case Compare(Path() as left, "true", None):
            _put(body, left.keys, True)


def _meeting(operator: str, value: Any) -> object:
    """A value of which the comparison with `value` holds."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match operator:
        case ">" if number:
            return value + 1
        case "<" if number:
            return value - 1
        case "!=":
            return value + 1 if number else f"not {value}"
        case "in" if isinstance(value, list | tuple) and value:
            return value[0]
        case _:
            return value
