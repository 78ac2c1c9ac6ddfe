"""How a vendor paginates, and where its next page is."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from area.kit.http import Response
from area.sdk.answers import look


@dataclass(frozen=True, slots=True)
class Pages:
    """How a vendor's lists come: where in an answer the `rows` are (empty: the answer is the list), and what leads on.

    `next` is where the next page's address is, or its cursor, which is sent as `cursor`: in the query, or in the body of a request
    that has one; or a function that finds it in the answer. An object that is there is sent in the query, member by member. Or it is in the `header` of that name. Without either it is the address in the
    header `Link` (RFC 8288). `more` is where an answer says whether there is a next page, of a vendor that tells a cursor in any case. `query` is sent with each request. Of one list
    `most` pages are read.
    """

    rows: str = ""
    next: str | Callable[[Any], Any] = ""
    cursor: str = ""
    more: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    most: int = 5
    header: str = ""


def next_page(how: Pages, response: Response, answer: Any) -> Any:
    """The next page's address or cursor, if there is one."""
    if how.next:
        return how.next(answer) if callable(how.next) else look(how.next, answer)
    if how.header:
        return response.headers.get(how.header)
    found = re.search(r'<([^>]+)>;[^<]*\brel="?next\b', response.headers.get("link", ""))
    return found[1] if found else None
