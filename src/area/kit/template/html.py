"""The text of an HTML fragment."""

import re
from html import unescape

from area.kit.budget import Budget

_TAG = re.compile(r"<(?:(/?)([a-zA-Z][^\s/>]*)|[!?/])")
_TAG_END = re.compile(r""">|=\s*"[^"]*"|=\s*'[^']*'""")
_RAW = {name: re.compile(f"</{name}", re.IGNORECASE) for name in ("script", "style")}
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "br", "caption", "center", "dd", "details", "dialog", "div", "dl",
    "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup",
    "hr", "legend", "li", "main", "menu", "nav", "ol", "optgroup", "option", "p", "pre", "search", "section", "summary",
    "table", "tbody", "tfoot", "thead", "title", "tr", "ul",
})  # fmt: skip
_CELLS = frozenset({"td", "th"})
_LONG_REFERENCE = re.compile(r"&#(?:[0-9]{8,}|[xX][0-9a-fA-F]{7,});?")


def strip_html(text: str, budget: Budget) -> str:
    """The text of an HTML fragment, by the rules of https://html.spec.whatwg.org/multipage/parsing.html that matter
    here.

    Tags, comments, scripts and styles are removed; blocks begin a new line, a space separates cells, character
    references are resolved, white space is collapsed. Linear in its input. The result is text, and not safe as HTML.
    """
    budget.spend(2 + (len(text) >> 6))
    marks, references = text.count("<"), text.count("&")
    if not marks and not references:
        return text.strip()
    budget.spend((len(text) >> 2) + marks + 15 * references)
    text = " ".join(text.split())
    pieces: list[str] = []
    position = 0
    while tag := _TAG.search(text, position):
        budget.spend(16)
        start = tag.start()
        if start > position:
            pieces.append(_resolved(text[position:start]))
        if tag[2] is None:
            end = "-->" if text.startswith("<!--", start) else ">"
            result = text.find(end, start)
            position = result + len(end) if result >= 0 else len(text)
            continue
        name = tag[2].lower()
        if name in _BLOCKS:
            pieces.append("\n")
        elif name in _CELLS:
            pieces.append(" ")
        position = _tag_end(text, tag.end(), budget)
        if name in _RAW and not tag[1]:
            closing = _RAW[name].search(text, position)
            position = closing.start() if closing else len(text)
    pieces.append(_resolved(text[position:]))
    lines = _collapsed("".join(pieces), "  ", " ").replace(" \n", "\n").replace("\n ", "\n")
    return _collapsed(lines, "\n\n\n", "\n\n").strip()


def _collapsed(text: str, many: str, few: str) -> str:
    while many in text:
        text = text.replace(many, few)
    return text


def _tag_end(text: str, position: int, budget: Budget) -> int:
    """The end of the tag: a `>` in a quoted attribute doesn't end it."""
    end = text.find(">", position)
    if end < 0:
        return len(text)
    if text.find('"', position, end) < 0 and text.find("'", position, end) < 0:
        return end + 1
    budget.spend(16)
    return next((match.end() for match in _TAG_END.finditer(text, position) if match[0] == ">"), len(text))


def _resolved(text: str) -> str:
    if "&" not in text:
        return text
    # html.unescape fails on numbers of thousands of digits, and no character has more than seven
    return unescape(_LONG_REFERENCE.sub("\ufffd", text)).replace("\xa0", " ")
