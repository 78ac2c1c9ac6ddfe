"""How a vendor paginates, and where its next page is."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from area.kit.http import Response
from area.sdk.answers import lookup


@dataclass(frozen=True, slots=True)
class Pages:
    """How a vendor paginates: the path to the `rows` in a response (empty: the response is the list), and where the
    next page is.

    `next` is the path to the next page's URL or cursor, or a function that finds it in the response. A cursor is sent
    as `cursor`: in the query, or in the body of a request that has one; an object is sent in the query, member by
    member. `header` names a response header with the cursor instead. Without either, the `Link` header (RFC 8288)
    points to the next page. `more` is the path to whether there is a next page, for vendors that always return a
    cursor. `query` is sent with each request. Reads at most `most` pages.
    """

    rows: str = ""
    next: str | Callable[[Any], Any] = ""
    cursor: str = ""
    more: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    most: int = 5
    header: str = ""


def next_page(how: Pages, response: Response, answer: Any) -> Any:
    """The next page's URL or cursor, or None."""
    if how.next:
        return how.next(answer) if callable(how.next) else lookup(how.next, answer)
    if how.header:
        return response.headers.get(how.header)
    match = re.search(r'<([^>]+)>;[^<]*\brel="?next\b', response.headers.get("link", ""))
    return match[1] if match else None
