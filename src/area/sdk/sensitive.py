"""Secrets inside ordinary texts: a password in a URL, a key in a header, a token in a body.

A secret is recognized by its name (`Authorization`, `api_key`, `password`) and by its shape. Such a text is stored
encrypted, and shown with dots instead of the secrets.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

MASK = "••••••••"
Holds = Literal["address", "headers", "body"]

_NAMES = re.compile(
    r"auth(?!or(?!iz|is))|token|secret|passw|pwd|passphrase|api-?key|cookie|session|credential|signature"
    r"|(?:^|[^a-z])(?:key|sig|pw|pass|hash)(?:$|[^a-z])"
)
_NO_SECRET = frozenset({"idempotency-key", "max-tokens", "next-page-token", "page-token"})
_PREFIX = re.compile(
    r"gh[pousr]_|github_pat_|glpat-|sk[-_]|pk_live_|xox[a-z]-|AKIA|SG\.|eyJ|whsec_|private-|bot[0-9]+:"
    r"|(?:Bearer|Basic|Token) "
)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_RANDOM = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9_+/=.~-]{20,}")
_MIXED = re.compile(r"[0-9A-Fa-f]{32,}|(?=.*[0-9])(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9_+=~-]{20,}")
_FILLED = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_WORD = re.compile(r"\s*(?:(?:Bearer|Basic|Token|Key)\s*)?", re.IGNORECASE)

_PAIR = re.compile(r'"((?:[^"\\]|\\.)*)"\s*:\s*"((?:[^"\\]|\\.)*)"')
_LINE = re.compile(r"^[ \t]*([^\s:\"{}]+)[ \t]*:[ \t]*([^\r\n]*?)[ \t]*$", re.MULTILINE)
_FORM = re.compile(r"(?:^|(?<=&))([^=&\s]+)=([^&\s]*)")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#]*)([^?#]*)(?:\?([^#]*))?", re.IGNORECASE)

Span = tuple[str, int, int]  # what it is called, and where it begins and ends


def hide(holds: Holds, text: str) -> str:
    """The text with dots in place of its secrets."""
    for _, start, end in reversed(_spans(holds, text)):
        text = text[:start] + MASK + text[end:]
    return text


def holds_secret(holds: Holds, text: str) -> bool:
    """Whether the text contains a secret."""
    return bool(_spans(holds, text))


def restore(holds: Holds, text: str, old: str) -> str:
    """The text with its dots replaced by the secrets of an older version. Secrets of a URL stay with its host."""
    if MASK not in text or (holds == "address" and _place(text) != _place(old)):
        return text
    known = {name: old[start:end] for name, start, end in _spans(holds, old)}
    for name, start, end in reversed(_spans(holds, text)):
        if text[start:end] == MASK and name in known:
            text = text[:start] + known[name] + text[end:]
    return text


def hidden(holds: Holds, value: Any) -> Any:
    """Like `hide`, for a value that may be an object or a list."""
    if isinstance(value, str):
        return hide(holds, value)
    if isinstance(value, Mapping):
        return {
            name: MASK if isinstance(nested, str) and _is_secret(str(name), nested) else hidden("body", nested)
            for name, nested in value.items()
        }
    return [hidden("body", nested) for nested in value] if isinstance(value, list | tuple) else value


def secrets(holds: Holds, text: str) -> list[Span]:
    """The secrets of a text: the name of each (`authorization:1`, `query:api_key:1`), where it begins and where it
    ends.
    """
    return _spans(holds, text)


def _spans(holds: Holds, text: str) -> list[Span]:
    spans = list(_address(text) if holds == "address" else _named(holds, text))
    return sorted(spans, key=lambda span: span[1])


def _named(holds: Holds, text: str) -> Iterator[Span]:
    begin = text.lstrip()[:1]
    pattern = _PAIR if begin in ("{", "[") else _LINE if holds == "headers" else _FORM
    seen: dict[str, int] = {}
    for match in pattern.finditer(text):
        name = match[1].lower()
        seen[name] = seen.get(name, 0) + 1
        if _is_secret(match[1], match[2]):
            yield f"{name}:{seen[name]}", match.start(2), match.end(2)


def _address(text: str) -> Iterator[Span]:
    match = _ADDRESS.match(text.strip()) if text == text.strip() else _ADDRESS.match(text)
    if match is None:
        return
    login, at, _ = match[1].rpartition("@")
    _, colon, password = login.partition(":")
    if at and colon and password and not _is_filled(password):
        end = match.start(1) + len(login)
        yield "password", end - len(password), end
    place = match.start(2)
    for number, segment in enumerate(match[2].split("/")):
        if segment == MASK or _PREFIX.match(segment) or _MIXED.fullmatch(segment):
            yield f"path:{number}", place, place + len(segment)
        place += len(segment) + 1
    if match[3]:
        seen: dict[str, int] = {}
        for pair in _FORM.finditer(match[3]):
            seen[pair[1]] = seen.get(pair[1], 0) + 1
            if _is_secret(pair[1], pair[2]):
                yield f"query:{pair[1]}:{seen[pair[1]]}", match.start(3) + pair.start(2), match.start(3) + pair.end(2)


def _is_secret(name: str, value: str) -> bool:
    if not value or _is_filled(value):
        return False
    if value == MASK:
        return True
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower().replace("_", "-")
    if name in _NO_SECRET:
        return False
    named = bool(_NAMES.search(name))
    return named or bool(_PREFIX.match(value)) or bool(_RANDOM.fullmatch(value) and not _UUID.fullmatch(value))


def _is_filled(value: str) -> bool:
    """Whether a value consists only of placeholders, possibly after the name of a scheme."""
    if "{{" not in value:
        return False
    return not _WORD.sub("", _FILLED.sub("", value), count=1).strip()


def _place(text: str) -> str:
    match = _ADDRESS.match(text.strip())
    return match[1].rpartition("@")[2].lower() if match else ""
