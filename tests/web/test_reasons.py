"""Reasons of runs and notices of older versions in the reader's language: AREA's own sentences are known, others stay
as they are.
"""

import re

import orjson
import pytest

from area.kit import language
from area.kit.sentences import Sentence
from area.runs.record import in_words, made_of
from area.web.parts import reasons


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
            'slack.com a répondu 500 : {"ok":\nfalse} Prochaine tentative : 2026-11-23 09:00 UTC.',
        ),
        ("The channel is archived.", "The channel is archived."),
        ("The channel is archived. Next attempt at 2026-11-23 09:00:00 UTC.",
         "The channel is archived. Prochaine tentative : 2026-11-23 09:00 UTC."),
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


def test_a_reason_that_is_kept_with_its_sentence_is_translated_by_it():
    waits = Sentence("%(error)s Next attempt at %(time)s UTC.", error=Sentence("It took too long."), time="12:00:00")
    kept = in_words(orjson.loads(orjson.dumps(made_of(waits))), str(waits))
    assert kept == waits
    assert reasons.reason(kept, "fr") == waits.translated("fr") != waits
    assert reasons.reason(in_words(made_of(waits), "Cancelled by you."), "en") == "Cancelled by you."
    assert made_of("what a vendor said") is None
