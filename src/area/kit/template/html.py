"""The text of an HTML fragment."""

import re
from html import unescape

_TAG = re.compile(r"</?([a-zA-Z][^\s/>]*)")
_TAG_END = re.compile(r""">|=\s*"[^"]*"|=\s*'[^']*'""")
_RAW = {name: re.compile(f"</{name}", re.IGNORECASE) for name in ("script", "style")}
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer",
    "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "table",
    "title", "tr", "ul",
})  # fmt: skip
_BLANKS = re.compile(r"\s+")
_LONG_REFERENCE = re.compile(r"&#(?:[0-9]{8,}|[xX][0-9a-fA-F]{7,});?")


def strip_html(text: str) -> str:
    """The text of an HTML fragment, by the rules of https://html.spec.whatwg.org/multipage/parsing.html as far as they matter.

    Tags, comments, scripts and styles go; blocks begin a new line, character references are resolved, white space is
    collapsed. Linear in its input. The result is text, and not safe to be put into HTML again.
    """
    if "<" not in text and "&" not in text:
        return text.strip()
    pieces: list[str] = []
    position = 0
    while (start := text.find("<", position)) >= 0:
        tag = _TAG.match(text, start)
        if tag is None and not text.startswith(("<!", "<?", "</"), start):
            pieces.append(_plain_html(text[position : start + 1]))
            position = start + 1
            continue
        pieces.append(_plain_html(text[position:start]))
        if tag is None:
            end = "-->" if text.startswith("<!--", start) else ">"
            found = text.find(end, start)
            position = found + len(end) if found >= 0 else len(text)
            continue
        name = tag[1].lower()
        if name in _BLOCKS:
            pieces.append("\n")
        position = next((match.end() for match in _TAG_END.finditer(text, tag.end()) if match[0] == ">"), len(text))
        if name in _RAW and not tag[0].startswith("</"):
            closing = _RAW[name].search(text, position)
            position = closing.start() if closing else len(text)
    pieces.append(_plain_html(text[position:]))
    lines = re.sub(" ?\n ?", "\n", re.sub(" {2,}", " ", "".join(pieces)))
    return re.sub("\n{3,}", "\n\n", lines).strip()


def _plain_html(text: str) -> str:
    text = _BLANKS.sub(" ", text)
    if "&" not in text:
        return text
    # html.unescape gives up on numbers of thousands of digits, and no character has more than seven
    return unescape(_LONG_REFERENCE.sub("\ufffd", text)).replace("\xa0", " ")
