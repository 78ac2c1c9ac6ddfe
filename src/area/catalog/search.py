"""Finds components by what people call them: words in any order, their stems and beginnings, synonyms, and words that
are misspelled.
"""

import asyncio
import math
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal
from weakref import WeakKeyDictionary

from area.catalog.thesaurus import GROUPS, STOP_WORDS
from area.kit import language
from area.kit.text import folded
from area.registry import Registry
from area.sdk import Action, Reaction, Service

Kind = Literal["action", "reaction"]
Stem = Callable[[str], str]

LONGEST = 200  # characters of a query that are looked at
MOST_WORDS = 20
TIME = re.compile(r"\b\d{1,2}(?::\d\d|h\d{0,2}|\s?[ap]m)\b")

# how much a match counts: by the text it is in, and by how the words match
TITLE, SYNONYM, SERVICE, SERVICE_SYNONYM, NAME, DESCRIPTION = 1.0, 0.9, 0.9, 0.6, 0.5, 0.35
SAME, SIMILAR, BEGINNING = 1.0, 0.7, 0.6
PHRASE = 0.6  # more for a title or a synonym of several words that is in the query as a whole
COMPLETE = 0.15  # of the score is for titles of which all words are in the query
GENERATED = 0.75  # of a component that a vendor's description brought, beside those that somebody chose
BEHIND = 0.9  # of a component of a service that can't be used here
WORST = 0.3  # of the best match, below which a component is left out

SHORTEST_PREFIX, FEW = 2, 3  # letters; words that begin so, for them to count beside the word itself
MISSPELLED, LONG = 4, 5  # letters from which a word may be a misspelled one, and from which any letter may be wrong
MEANT, NEAR = 0.79, 0.65  # similarity from which a word is taken for another, and is suggested


@dataclass(frozen=True, slots=True)
class Results:
    """What a query found: components by key, best first.

    `unknown` are its words that no service knows. `corrected` is the query as it was understood if a word of it is
    misspelled, and `suggestion` a similar one if nothing was found; both are empty otherwise.
    """

    keys: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    corrected: str = ""
    suggestion: str = ""


@dataclass(slots=True)
class Described:
    """What can be found: its texts with how much each counts and its language, and how much it counts itself.

    Titles and `phrases` of several words count more if they are in a query as a whole.
    """

    key: str
    factor: float = 1.0
    texts: list[tuple[str, float, str]] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    phrases: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Entry:
    """One of those described: what each term in its texts counts, and its titles and synonyms of several words."""

    key: str
    factor: float
    terms: dict[str, float] = field(default_factory=dict)
    phrases: list[frozenset[str]] = field(default_factory=list)
    length: int = 1  # words of its title


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of a query: how well each term matches it, and how much it tells components apart."""

    text: str
    terms: Mapping[str, float]
    weight: float


class Index:
    """What is described, for readers of one language and of English. A term is a word (`=mails`), its stem
    (`mail`), or a group of words that mean the same (`#8`).
    """

    def __init__(self, every: Iterable[Described], lang: str) -> None:
        languages = list(dict.fromkeys((lang, "en")))
        self.stems = {name: _stem(name) for name in languages}
        self.stop_words = frozenset(" ".join(STOP_WORDS.get(name, "") for name in languages).split())
        self.entries: list[_Entry] = []
        for described in every:
            entry = _Entry(described.key, described.factor)
            for text, weight, name in described.texts:
                self._index(entry, text, weight, name)
            phrases = [frozenset(_words(phrase)) for phrase in (*described.titles, *described.phrases)]
            entry.phrases = [phrase for phrase in phrases if len(phrase) > 1]
            entry.length = max(1, *(len(_words(title)) for title in described.titles))
            self.entries.append(entry)
        self.frequency: dict[str, int] = defaultdict(int)
        for entry in self.entries:
            for term in entry.terms:
                self.frequency[term] += 1
        self.words = sorted(term[1:] for term in self.frequency if term[0] == "=")

    def _index(self, entry: _Entry, text: str, weight: float, lang: str) -> None:
        for word in (*_words(text), *_compounds(text)):
            if word not in self.stop_words:
                for term in (f"={word}", root := self.stems[lang](word), *_groups(lang).get(root, ())):
                    entry.terms[term] = max(entry.terms.get(term, 0), weight)

    def search(self, q: str, behind: Collection[str] = ()) -> Results:
        """The components for a query; those of the services `behind` come a little later."""
        typed = _words(TIME.sub(" time ", q[:LONGEST]))[:MOST_WORDS]
        said = [word for word in self._joined(typed) if word not in self.stop_words and not word.isdigit()]
        asked = [self._word(text) for text in said or typed]
        meant = {word.text: near for word in asked if not word.terms and (near := self._nearest(word.text, MEANT))}
        asked = [self._word(meant[word.text]) if word.text in meant else word for word in asked]
        keys = tuple(self._ranked(asked, frozenset((*typed, *meant.values())), behind))
        similar = {} if keys else {word.text: self._nearest(word.text, NEAR) for word in asked}
        return Results(
            keys,
            unknown=tuple(word.text for word in asked if not word.terms and len(word.text) > 2),
            corrected=_replaced(typed, meant) if meant else "",
            suggestion=_replaced(typed, similar) if any(similar.values()) else "",
        )

    def _joined(self, typed: Sequence[str]) -> Iterator[str]:
        """The words, those in one that are written as one here: `web hook`, `to do`."""
        at = 0
        while at < len(typed):
            pair = "".join(typed[at : at + 2])
            if at + 1 < len(typed) and f"={pair}" in self.frequency:
                yield pair
                at += 2
            else:
                yield typed[at]
                at += 1

    def _word(self, text: str) -> _Word:
        terms: dict[str, float] = {}
        for lang, stem in self.stems.items():
            root = stem(text)
            terms |= dict.fromkeys(_groups(lang).get(root, ()), SIMILAR) | {root: SAME}
        terms = {term: quality for term, quality in terms.items() if term in self.frequency}
        if f"={text}" in self.frequency:
            terms[f"={text}"] = SAME
        begun = self.words[bisect_left(self.words, text) : bisect_left(self.words, text + "\uffff")]
        if len(text) >= SHORTEST_PREFIX and (not terms or len(begun) <= FEW):
            terms = dict.fromkeys((f"={word}" for word in begun), BEGINNING) | terms
        often = max((self.frequency[term] for term in terms), default=1)
        return _Word(text, terms, math.log(1 + len(self.entries) / often))

    def _nearest(self, text: str, least: float) -> str:
        """The word that this one is most likely meant to be, or an empty one."""
        if len(text) < MISSPELLED:
            return ""
        from rapidfuzz import process  # loaded by whoever misspells
        from rapidfuzz.distance import OSA

        for near, *_ in process.extract(text, self.words, scorer=OSA.normalized_similarity, score_cutoff=least):
            word = str(near)
            same_letters = len(word) != len(text) or sorted(word) == sorted(text)
            if len(text) > LONG or (word[0] == text[0] and same_letters):  # `print` is no `point`
                return word
        return ""

    def _ranked(self, asked: Sequence[_Word], typed: frozenset[str], behind: Collection[str]) -> Iterator[str]:
        most = sum(word.weight for word in asked) or 1
        weights = {word.text: word.weight / most for word in asked}
        scored: list[tuple[float, str]] = []
        for entry in self.entries:
            score, whole = 0.0, 0
            for word in asked:
                best = max((entry.terms.get(term, 0) * quality for term, quality in word.terms.items()), default=0)
                score += weights[word.text] * best
                whole += best >= TITLE * BEGINNING
            if score:
                phrases = (sum(weights.get(word, 0) for word in phrase) for phrase in entry.phrases if phrase <= typed)
                score += PHRASE * max(phrases, default=0)
                score *= entry.factor * (1 - COMPLETE + COMPLETE * min(whole / entry.length, 1))
                score *= BEHIND if entry.key.partition(".")[0] in behind else 1
                scored.append((score, entry.key))
        scored.sort(key=lambda pair: -pair[0])
        for score, key in scored:
            if score >= WORST * scored[0][0]:
                yield key


_indexes: WeakKeyDictionary[Registry, dict[tuple[Kind, str], Index]] = WeakKeyDictionary()


def components(registry: Registry, kind: Kind, lang: str) -> Iterator[Described]:
    """The actions or reactions, in one language and in English."""
    for service in registry.services.values():
        words = language.words(lang, registry.folders.get(service.slug))
        for component in (service.actions if kind == "action" else service.reactions).values():
            described = Described(component.key, 1.0 if component.translated else GENERATED)
            for name in dict.fromkeys((lang, "en")):
                _describe(described, service, component, words if name != "en" else language.joined, name)
            described.texts.append((f"{component.name} {service.slug}".replace("_", " "), NAME, "en"))
            yield described


def _describe(
    described: Described, service: Service, component: Action | Reaction, say: Callable[[str], str], lang: str
) -> None:
    title = say(component.title)
    shared, own = (say(service.synonyms.get(name, "")) for name in ("", component.name))
    about = say(component.description).partition("\n")[0] if component.translated else ""
    described.texts += [
        (title, TITLE, lang), (own, SYNONYM, lang), (say(service.name), SERVICE, lang), (shared, SERVICE_SYNONYM, lang),
        (about, DESCRIPTION, lang),
    ]  # fmt: skip
    described.titles.append(title)
    described.phrases += [*own.split(","), *shared.split(",")]


def index(registry: Registry, kind: Kind, lang: str) -> Index:
    """The index of one kind and language, made when it is first needed: half a second."""
    indexes = _indexes.setdefault(registry, {})
    if (kind, lang) not in indexes:
        indexes[kind, lang] = Index(components(registry, kind, lang), lang)
    return indexes[kind, lang]


async def search(registry: Registry, kind: Kind, lang: str, q: str, behind: Collection[str] = ()) -> Results:
    """The actions or reactions that a reader of this language means by a query. Making an index holds nobody up."""
    if (kind, lang) not in _indexes.get(registry, ()):
        await asyncio.to_thread(index, registry, kind, lang)
    return index(registry, kind, lang).search(q, behind)


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", folded(text))


def _compounds(text: str) -> Iterator[str]:
    """Words with a hyphen, as one."""
    for compound in re.findall(r"[^\W_]+(?:[-\u2011][^\W_]+)+", folded(text)):
        yield re.sub("[-\u2011]", "", compound)


def _replaced(typed: Iterable[str], by: Mapping[str, str]) -> str:
    return " ".join(by.get(word) or word for word in typed)


@lru_cache
def _stem(lang: str) -> Stem:
    import snowballstemmer  # loaded by whoever searches

    stemmer = snowballstemmer.stemmer({"fr": "french"}.get(lang, "english"))
    return lru_cache(5000)(stemmer.stemWord)


@lru_cache
def _groups(lang: str) -> Mapping[str, Sequence[str]]:
    """The groups of words that mean the same, as terms, by the stem of each."""
    found: dict[str, list[str]] = defaultdict(list)
    for number, group in enumerate(GROUPS.strip().splitlines()):
        words = dict(zip(STOP_WORDS, group.split("|"), strict=True)).get(lang, "")
        for root in dict.fromkeys(map(_stem(lang), words.split())):
            found[root].append(f"#{number}")
    return found
