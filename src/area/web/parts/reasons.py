"""Translates stored English: reasons of runs and notices of older versions, and states of AREAs and connections. Texts
from vendors stay as they are.

Runs and notices are stored with their sentences (`said`) since migrations 0015 and 0016. What is still stored as text,
such as `area_health.reason`, has its old and new wording here.
"""

import re
from datetime import datetime
from functools import cache, lru_cache

from area.kit.sentences import Moment, Sentence, gettext
from area.mail import letters

# as they were or are stored, those around others first
SENTENCES = (
    "%(error)s Next attempt at %(time)s.",
    "%(error)s The connection must be renewed.",
    "%(error)s Whether it was done is not known.",
    "%(error)s The outcome is unknown.",
    "Given up after %(number)s attempts. The last one: %(error)s",
    "Gave up after %(number)s attempts. Last error: %(error)s",
    "It failed %(number)s times in a row, the last time with: %(error)s",
    "Failed %(number)s times in a row. Last error: %(error)s",
    "It has failed since %(time)s: %(error)s",
    "What it is to watch can't be read any more: %(error)s",
    "Its settings can't be read: %(error)s",
    "Its webhook address can't be read: %(error)s",
    "Its webhook URL can't be read: %(error)s",
    "The access to %(name)s could not be renewed: %(error)s",
    "Access to %(name)s couldn't be renewed: %(error)s",
    # runs, and what is to start them
    "AREA's own database could not be reached.",
    "AREA couldn't reach its database.",
    "Cancelled before it ran.",
    "Cancelled by you.",
    "Cancelled while it ran; it may have been done.",
    "Cancelled while running; its action may have been done.",
    "Given up: the worker stopped %(number)s times while this ran.",
    "Gave up: the worker stopped %(number)s times during the run.",
    "Interrupted; whether it was done is not known.",
    "Interrupted; the outcome is unknown.",
    "It should have been looked at on %(time)s and was not: is a worker running?",
    "It took too long.",
    "Timed out.",
    "Its action or reaction is switched off here.",
    "Its action or reaction is switched off on this server.",
    "Its condition (only_if) did not hold.",
    "Filtered out by its condition.",
    "No answer within %(number)s s.",
    "No answer within %(number)s seconds.",
    "The AREA was switched off before this ran.",
    "The connection to %(name)s that this was to use has been removed.",
    "Its %(name)s connection was removed.",
    "The listener ended; it is started again.",
    "The worker stopped in the middle.",
    "The worker stopped during the run.",
    "There is no action %(name)s any more.",
    "There is no reaction %(name)s any more.",
    "%(name)s met an error of its own (%(kind)s); the server's log has it.",
    "%(name)s had an internal error (%(kind)s). See the server's log.",
    "%(number)s AREAs have run one another already; the chain ends here.",
    "%(number)s AREAs have already run in this chain, which is the limit.",
    "AREA %(number)s has led to this run itself (%(path)s), so running it again would never end.",
    "AREA %(number)s is already part of this chain (%(path)s), so running it again would never end.",
    "AREA %(number)s is switched off, so it can't be run. Switch it on first.",
    "You have no AREA %(number)s.",
    "AREA is reading other feeds, calendars and mails. It tries again.",
    "What %(host)s sent could not be read yet: AREA is too busy. It tries again.",
    "What %(host)s sent takes more than %(number)s seconds to read. Use a smaller feed or calendar.",
    "What %(host)s sent can't be read: it is broken, or takes too much memory.",
    # what is too much for one event
    (
        "The condition (only_if) has more to compare in this event than one event may cause. Compare shorter texts"
        " and lists, or use fewer comparisons and simpler patterns."
    ),
    (
        "The condition takes too much work for this event. Compare shorter texts and lists, or use fewer comparisons"
        " and simpler patterns."
    ),
    "The parameters become larger than %(most)s bytes with %(part)s; shorten it, for instance with | truncate:1000.",
    "%(part)s makes the parameters larger than %(most)s bytes. Shorten it, for example with | truncate:1000.",
    (
        "%(part)s can't be filled: that is more work than one event may cause. Shorten the value first, for instance"
        " with | truncate:1000, or use fewer filters."
    ),
    (
        "%(part)s can't be filled in: it takes too much work. Shorten the value first, for example with |"
        " truncate:1000, or use fewer filters."
    ),
    "This event has %(size)s bytes, and an event may have %(most)s. Send less, or choose a part of it.",
    # connections
    "Connect %(name)s first.",
    "Connect %(name)s; what happens meanwhile is caught up afterwards.",
    "Connect %(name)s. Events from the meantime are caught up.",
    "Reconnect %(name)s.",
    "Reconnect %(name)s; what happens meanwhile is caught up afterwards.",
    "Reconnect %(name)s. Events from the meantime are caught up.",
    "The access to %(name)s could not be renewed just now.",
    "Access to %(name)s couldn't be renewed right now.",
    "The access to %(name)s has ended. Connect it again.",
    "Access to %(name)s has ended. Reconnect it.",
    "The access to %(name)s is being renewed; this takes longer than usual.",
    "Access to %(name)s is being renewed, which is taking longer than usual.",
    "Waits for the connection to %(name)s: connect it (again), and this runs.",
    "Reconnect %(name)s to run this.",
    "Waits: %(name)s takes no more requests until %(time)s.",
    "Rate-limited by %(name)s until %(time)s.",
    "%(name)s does not let AREA in any more (%(kind)s). Connect it again.",
    "%(name)s rejected AREA's access (%(kind)s). Reconnect it.",
    "this server has no client id for it any more. Tell an administrator.",
    # requests
    "%(host)s answered %(status)s: %(said)s",
    "%(host)s answered %(status)s.",
    "%(host)s answered: %(said)s",
    "Unexpected response from %(name)s: %(said)s.",
    "%(host)s closed the connection before the answer was complete.",
    "%(host)s closed the connection without an answer.",
    "%(host)s could not agree on a TLS connection: %(said)s.",
    "%(host)s could not be found: its name does not resolve.",
    "%(host)s could not be looked up within %(number)s s.",
    "%(host)s could not be reached: %(said)s.",
    "AREA is looking up other names of yours. It tries again.",
    "%(host)s did not answer within %(number)s s.",
    "%(host)s no longer takes the connection's access. Connect it again.",
    "%(host)s redirects, which is not followed with a key in the address.",
    "%(host)s refused the connection.",
    "%(host)s sent a body that can't be decompressed.",
    "%(host)s sent an answer that is no valid HTTP.",
    "The TLS certificate of %(host)s is not valid: %(said)s.",
)
# of notices: titles and bodies
NOTICES = (
    "If this wasn't you, change your password and sign out everywhere in your profile, under Security.",
    "A passkey was added to your account",
    "A passkey was removed from your account",
    "An API token was created for your account",
    "An administrator removed the second factor from your account",
    "An authenticator app was added to your account",
    "The authenticator app was removed from your account",
    "%(name)s gets no events",
    "%(name)s is checked late",
    "%(name)s left out an event",
    "%(name)s must be reconnected",
    "%(name)s was switched off",
    (
        "It was due on %(time)s and still waits for its turn, because what your AREAs watch takes long to"
        " answer. Events aren't lost as long as the service still shows them."
    ),
    (
        "What starts it can't be checked at %(name)s. %(error)s\n\nIt is tried again by itself, and what happens"
        " meanwhile is caught up where the service still shows it."
    ),
    "%(error)s\n\nThe AREA was not started by this event. Others still start it.",
    "%(error)s\n\nAREAs that need it wait. Once it is connected again they catch up by themselves.",
    "%(error)s\n\nMend the cause, then switch it on again. What happened meanwhile is not caught up.",
    "A mail to you could not be sent",
    "The mail server refused %(name)s: %(error)s\n\nCheck the e-mail address in your profile.",
    "No more notices are mailed today",
    (
        "%(number)s notices were mailed to you within a day, as many as this server allows. Further ones are only in"
        " this inbox."
    ),
)
# of mails, before they are filled in
MAILS = tuple(part for texts in letters.TEXTS.values() for part in texts if part)
UTC_TIME = "%(time)s UTC"  # in keys of older versions
VALUES = {"host": r"\S+", "kind": r"\S+", "number": r"[\d.]+", "status": r"\d+", "time": r"[\d :-]+ UTC"}


@cache
def _forms(sentences: tuple[str, ...]) -> tuple[tuple[re.Pattern[str], str], ...]:
    def form(sentence: str) -> str:
        parts = re.split(r"%\((\w+)\)s", sentence)
        return "".join(
            f"(?P<{part}>{VALUES.get(part, '.+?')})" if number % 2 else re.escape(part)
            for number, part in enumerate(parts)
        )

    return tuple((re.compile(form(one), re.DOTALL), one) for one in sentences)


def reason(text: str | None, lang: str, zone: str = "") -> str:
    """A reason in a language and a time zone; what is none of AREA's own sentences is given back as it came.

    What newer versions keep is a `Sentence`; what older ones kept is recognized.
    """
    if isinstance(text, Sentence) and (said := _with_moments(text).translated(lang, zone)) != text:
        return said
    return _recognized(str.__str__(text), lang, zone) if text else ""


@lru_cache(5000)
def _recognized(text: str, lang: str, zone: str) -> str:
    return _read(text, lang, zone, SENTENCES)


def notice(text: str, lang: str, zone: str = "") -> str:
    """Title or body of one of AREA's notices in a language and a time zone."""
    return _read(text, lang, zone, NOTICES)


def _with_moments(text: Sentence) -> Sentence:
    """The sentence with its times as moments: until November 2026 they were texts in UTC."""
    values = {
        name: _with_moments(value) if isinstance(value, Sentence) else value for name, value in text.values.items()
    }
    key = text.key
    if UTC_TIME in key and (at := _moment(f"{values.get('time')} UTC")):
        key, values["time"] = key.replace(UTC_TIME, "%(time)s"), at
    return Sentence.made(key, text.plural, values)


def _moment(text: str) -> Moment | None:
    """What `Moment` writes, also without seconds; None for a mere time of day."""
    try:
        return Moment(datetime.fromisoformat(f"{text.removesuffix(' UTC')}+00:00"))
    except ValueError:
        return None


def mailed(text: str, lang: str) -> str:
    """A mail's text in a language: `notice`, or a sentence of `area.mail.letters` before it is filled in."""
    return gettext(lang)(text) if text in MAILS else notice(text, lang)


def _read(text: str, lang: str, zone: str, sentences: tuple[str, ...]) -> str:
    for form, sentence in _forms(sentences):
        if match := form.fullmatch(text):
            values: dict[str, object] = dict(match.groupdict())
            if "error" in values:
                values["error"] = reason(match["error"], lang, zone)
            if "time" in values:
                values["time"] = _moment(match["time"]) or match["time"]
            return Sentence(sentence, **values).translated(lang, zone)
    return text
