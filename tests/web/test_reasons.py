"""Reasons of runs and notices in the reader's language: AREA's own sentences are known wherever they are written, others stay as
they are.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import area
from area.accounts.alerts import BODY
from area.web.parts import language, reasons

CODE = Path(area.__file__).parent
# made of parts there; who makes them is tested below, or with areas.views
MADE = {
    "%(host)s answered %(status)s: %(said)s",
    "%(host)s answered %(status)s.",
    "Connect %(name)s; what happens meanwhile is caught up afterwards.",
}
NO_REASON = ("The result was 7 bytes, more than is kept.", "7: 7.", "7|7|oauth_token")


def said(path: Path) -> Iterator[str]:
    """The sentences of a file that are no docstrings, with 7 for whatever is filled in."""
    tree = ast.parse(path.read_text("utf-8"))
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    described = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(one.value) if isinstance(one, ast.Constant) else "7" for one in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (parts | described):
            yield node.value


def test_what_is_translated_is_what_is_written():
    elsewhere = (CODE / "web", CODE / "connectors")
    files = [path for path in CODE.rglob("*.py") if not any(path.is_relative_to(one) for one in elsewhere)]
    written = {text for path in files for text in said(path)}
    assert {re.sub(r"%\(\w+\)s", "7", one) for one in {*reasons.SENTENCES, *reasons.NOTICES} - MADE} - written == set()


@pytest.mark.parametrize("name", ["executor", "access"])
def test_what_is_written_of_runs_is_translated(name):
    sentences = {one for one in said(CODE / "engine" / f"{name}.py") if re.fullmatch(r".* .*\.|.*: 7", one, re.DOTALL)}
    assert len(sentences) > 5
    unknown = {one for one in sentences if reasons.reason(one, "fr") == one}
    assert not unknown - {*NO_REASON}


def test_what_is_put_into_the_inbox_is_translated():
    calls = [
        node
        for path in (CODE / "notices.py", *(CODE / "engine").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "notice"
    ]
    texts = [ast.unparse(one) for call in calls for one in call.args[4:6] if not isinstance(one, ast.Name)]
    written = [re.sub(r"\{[^{}]+\}", "7", ast.literal_eval(one.removeprefix("f"))) for one in texts]
    alerts = [
        ast.literal_eval(node.args[2])
        for path in (CODE / "accounts").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "alerts.alert"
    ]
    written += [*alerts, BODY]
    assert len(written) == len(reasons.NOTICES)
    assert [one for one in written if reasons.notice(one, "fr") == one] == []


def test_in_english_they_read_as_they_were_written():
    for sentence in (*reasons.SENTENCES, *reasons.NOTICES):
        written = re.sub(r"%\((\w+)\)s", lambda found: "x" if found[1] in ("said", "name") else "7", sentence)
        assert reasons.reason(written, "en") == reasons.notice(written, "en") == written


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (
            "Given up after 8 attempts. The last one: api.example.org refused the connection.",
            "Abandon après 8 tentatives. La dernière : api.example.org a refusé la connexion.",
        ),
        (
            'slack.com answered 500: {"ok":\nfalse} Next attempt at 2026-11-23 09:00:00 UTC.',
            'slack.com a répondu 500 : {"ok":\nfalse} Prochaine tentative : 2026-11-23 09:00:00 UTC.',
        ),
        ("The channel is archived.", "The channel is archived."),
        ("The channel is archived. Next attempt at 2026-11-23 09:00:00 UTC.",
         "The channel is archived. Prochaine tentative : 2026-11-23 09:00:00 UTC."),
        ("Their words: 100 % %(name)s", "Their words: 100 % %(name)s"),
        ("x answered: 100 % %(name)s", "x a répondu : 100 % %(name)s"),
        ("", ""),
        (None, ""),
    ],
)  # fmt: skip
def test_in_french(written, read):
    assert reasons.reason(written, "fr") == read.replace(" :", "\u00a0:")


def test_a_notice_in_french():
    why = "It has failed since 2026-11-23 09:00 UTC: hub.example answered 500: Sorry. Come back later."
    put = f"What starts it can't be checked at GitHub. {why}\n\nIt is tried again by itself, and what happens meanwhile is caught up"
    told = reasons.notice(f"{put} where the service still shows it.", "fr").replace("\u00a0", " ")
    assert told == (
        "Ce qui la déclenche ne peut pas être vérifié auprès de GitHub. Échec depuis le 2026-11-23 09:00 UTC : hub.example a"
        " répondu 500 : Sorry. Come back later.\n\nUn nouvel essai a lieu de lui-même, et ce qui se passe entre-temps est rattrapé là"
        " où le service le montre encore."
    )
    assert reasons.notice("The device was switched off", "fr") == "The device a été désactivée"
    assert reasons.reason("The device was switched off", "fr") == "The device was switched off", "a vendor's words"


def test_every_language_has_them():
    for lang in language.NAMES:
        known = language.translations(lang)
        assert all(lang == "en" or known.gettext(one) != one for one in (*reasons.SENTENCES, *reasons.NOTICES))
