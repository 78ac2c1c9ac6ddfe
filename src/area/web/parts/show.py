"""Formatting of times, numbers and data."""

import re
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from babel.dates import format_datetime, format_timedelta
from babel.numbers import format_decimal
from markupsafe import Markup, escape

from area.kit.clock import now
from area.kit.sentences import local_time

ADDRESS = re.compile(r"https?://[^\s<>]+", re.IGNORECASE)
CODE = re.compile(r"`([^`\n]+)`")


def ago(moment: datetime | None, lang: str, zone: str) -> Markup:
    """Relative time, kept current by app.js; pointed at, the time itself."""
    if moment is None:
        return Markup("")
    text = format_timedelta(moment - now(), add_direction=True, locale=lang, format="short")
    return Markup('<time datetime="{}" title="{}" data-ago>{}</time>').format(
        moment.isoformat(), local_time(moment, lang, zone), text
    )


def moment(when: datetime | None, lang: str, zone: str) -> Markup:
    """A date and time in the user's time zone."""
    if when is None:
        return Markup("")
    when = when.astimezone(ZoneInfo(zone))
    return Markup('<time datetime="{}">{}</time>').format(
        when.isoformat(), format_datetime(when, "d MMM y, HH:mm:ss", locale=lang)
    )


def planned(when: datetime | None, lang: str, zone: str) -> Markup:
    """When something is to happen: `1 Dec 2026, 08:00 (Paris time), in 16 hr`."""
    if when is None:
        return Markup("")
    text = Markup('<time datetime="{}">{}</time>').format(when.isoformat(), local_time(when, lang, zone))
    return text + ", " + ago(when, lang, zone)


def milliseconds(number: int | None, lang: str) -> str:
    """A duration, in the unit that fits."""
    if number is None:
        return ""
    if number < 1000:
        return f"{number} ms"
    if number < 60_000:
        return f"{format_decimal(round(number / 1000, 1), locale=lang)} s"
    return f"{number // 60_000} min {number % 60_000 // 1000} s"


def number(value: float, lang: str) -> str:
    """A number with its separators."""
    return str(format_decimal(value, locale=lang))


def size(value: int, lang: str) -> str:
    """Bytes, in the unit that fits."""
    amount = float(value)
    for unit in ("B", "KB", "MB"):
        if amount < 1000:
            return f"{format_decimal(round(amount, 1 if unit != 'B' else 0), locale=lang)} {unit}"
        amount /= 1000
    return f"{format_decimal(round(amount, 1), locale=lang)} GB"


def bars(hours: Sequence[tuple[int, int]]) -> Markup:
    """Bars of up to 24 pixels, four pixels apart: runs per hour, red if any failed. Hours without runs are a line,
    which the style sheet dashes.
    """
    most = max((number for number, _ in hours), default=0) or 1
    idle, start = "", 0
    for ran, some in groupby(hours, key=lambda hour: hour[0] > 0):
        length = len(list(some))
        idle += "" if ran else f"M{start * 4} 23h{length * 4 - 1}"
        start += length
    drawn = [f'<path class="idle" d="{idle}"/>'] if idle else []
    for at, (number, failed) in enumerate(hours):
        if number:
            height = max(4, round(22 * number / most))
            kind = "bad" if failed else "good"
            drawn.append(f'<rect class="{kind}" x="{at * 4}" y="{24 - height}" width="3" height="{height}" rx="1"/>')
    return Markup("".join(drawn))  # noqa: S704 - numbers only


def pretty(value: Any) -> str:
    """Indented JSON; text unchanged."""
    return value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()


def links(text: str) -> Markup:
    """Text with its http and https addresses as links, without what punctuates them."""
    pieces, end = Markup(""), 0
    for match in ADDRESS.finditer(text):
        address = match[0].rstrip(".,;:!?'\"»”")
        while address.endswith(")") and address.count(")") > address.count("("):
            address = address[:-1].rstrip(".,;:!?'\"»”")
        pieces += text[end : match.start()]
        pieces += Markup('<a href="{0}" rel="noopener noreferrer nofollow">{0}</a>').format(address)
        end = match.start() + len(address)
    return pieces + text[end:]


def code(text: str) -> Markup:
    """Text whose `names in backticks` are set as code."""
    return Markup(CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def initials(name: str) -> str:
    """Up to two letters that stand for a name."""
    words = [word for word in name.replace("_", " ").replace(".", " ").split() if word[:1].isalnum()]
    return "".join(word[0] for word in words[:2]).upper() or "?"
