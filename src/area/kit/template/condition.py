"""`only_if`: comparisons of values, combined with and, or, not and parentheses.

Parsed into a tree, which is compiled to closures that run in microseconds. Constants are prepared when the condition is
compiled; what takes longer with more data spends from the event's budget. The grammar for users is in
docs/reference/templates.md.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, NoReturn, cast

from area.kit import regex
from area.kit.budget import Budget, Exhausted
from area.kit.regex import Regex, RegexError
from area.kit.sentences import Number, Sentence
from area.kit.template.comparison import (
    COMPARISONS,
    TOO_MUCH,
    Constant,
    Data,
    Operand,
    Test,
    all_of,
    any_of,
    is_nothing,
    is_true,
    lookup,
    matches,
    negated,
)
from area.kit.template.reading import (
    Argument,
    Path,
    PlacedError,
    read_literal,
    read_path,
    read_string,
    skip_space,
    unknown_names,
)
from area.kit.text import nearest

MAX_CONDITION = 10_240  # characters
MAX_DEPTH = 50  # of nested parentheses and `not`
MAX_COMPARISONS = 200
MAX_PROGRAMS = 2 * regex.MAX_PROGRAM  # instructions of all patterns together


class ConditionError(PlacedError):
    """A condition that can't be used: what is wrong, where, and what to write instead."""


Operator = Literal[
    "==", "!=", "<", "<=", ">", ">=", "contains", "starts_with", "ends_with", "in", "matches", "empty", "true"
]


@dataclass(frozen=True, slots=True)
class Compare:
    """One comparison. The right side is a pattern for `matches`, and absent for `empty` and `true` (a value on its
    own).
    """

    left: Path | Constant
    operator: Operator
    right: Path | Constant | Regex | None = None


@dataclass(frozen=True, slots=True)
class Not:
    """A negation; `a not contains "x"` is read as `not a contains "x"`."""

    part: "Tree"


@dataclass(frozen=True, slots=True)
class AllOf:
    """Two or more parts that must all hold."""

    parts: tuple["Tree", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Two or more parts of which one must hold."""

    parts: tuple["Tree", ...]


Tree = AnyOf | AllOf | Not | Compare


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition, from `parse`. `names` are the top-level names it uses, `paths` the steps of each path."""

    text: str
    tree: Tree
    names: frozenset[str]
    paths: frozenset[tuple[str, ...]]
    _test: Test = field(repr=False)
    _comparisons: int = field(repr=False)

    def evaluate(self, data: Data, budget: Budget | None = None) -> bool:
        """Whether it holds for `data`. Missing values are null; comparisons of incomparable values are false. Raises
        `Exhausted`.
        """
        budget = budget or Budget()
        budget.steps -= 12 * self._comparisons
        try:
            return self._test(data, budget)
        except Exhausted as error:
            raise Exhausted(TOO_MUCH) from error


def parse(text: str) -> Condition:
    """Compile a condition. Raises `ConditionError`."""
    if len(text) > MAX_CONDITION:
        message = Sentence(
            "the condition is too long: it has %(size)s characters, and the limit is %(most)s.",
            size=Number(len(text)),
            most=Number(MAX_CONDITION),
        )
        raise ConditionError(message, text, MAX_CONDITION)
    reader = _Reader(text)
    if reader.position == len(text):
        reader.fail(Sentence('the condition is empty; write one such as title contains "urgent".'))
    tree = reader.disjunction(0)
    reader.expect_end()
    names = frozenset(path[0] for path in reader.paths)
    return Condition(text, tree, names, frozenset(reader.paths), _compile(tree), reader.comparisons)


def check(condition: Condition, names: Collection[str]) -> list[Sentence]:
    """A sentence for each top-level name in the condition that is not in `names`."""
    return [
        Sentence("%(sentence)s Put texts in quotes.", sentence=sentence) if "did you mean" not in sentence else sentence
        for sentence in unknown_names(condition.names, names)
    ]


def _compile(tree: Tree) -> Test:
    match tree:
        case AnyOf(parts):
            return any_of(tuple(map(_compile, parts)))
        case AllOf(parts):
            return all_of(tuple(map(_compile, parts)))
        case Not(part):
            return negated(_compile(part))
        case Compare(left, "empty"):
            return is_nothing(_operand(left))
        case Compare(left, "matches", Regex() as pattern):
            return matches(_operand(left), pattern)
        case Compare(left, operator, Path() | Constant() as right):
            return COMPARISONS[operator](_operand(left), _operand(right))
        case Compare(left):
            return is_true(_operand(left))


def _operand(value: Path | Constant) -> Operand:
    return value if isinstance(value, Constant) else lookup(value)


# Reading

_WORD = re.compile(r"[^\W\d]\w*")
_SYMBOL = re.compile(r"==|!=|<=|>=|<|>")
_RESERVED = frozenset({
    "and", "or", "not", "contains", "starts_with", "ends_with", "matches", "in", "empty", "true", "false", "null",
})  # fmt: skip
_JOINTS = ("and", "or", "contains", "starts_with", "ends_with", "matches", "empty")
_WORD_OPERATORS = ("contains", "starts_with", "ends_with", "matches", "in")
_INSTEAD = {
    "===": "==", "=": "==", "<>": "!=", "~": "matches", "&&": "and", "||": "or", "&": "and", "|": "or", "!": "not",
    "is": "==", "equals": "==", "eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">=",
    "like": "contains", "includes": "contains", "startswith": "starts_with", "endswith": "ends_with",
    "begins_with": "starts_with", "match": "matches", "regex": "matches", "exists": "not empty",
}  # fmt: skip
_FOREIGN = re.compile(r"===|=|<>|~|&&|\|\||&|\||!")


class _Reader:
    """Reads a condition by recursive descent; `position` is the current place."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = skip_space(text, 0)
        self.paths: set[tuple[str, ...]] = set()
        self.comparisons = 0
        self.programs = 0

    def fail(self, message: Sentence, position: int | None = None) -> NoReturn:
        raise ConditionError(message, self.text, self.position if position is None else position)

    def misplaced(self, message: Sentence, position: int | None = None) -> NoReturn:
        """Raise with advice for a known mistake at this position, else with `message`."""
        if self.at("{{"):
            self.fail(Sentence('write names without braces here, as in title contains "x".'))
        if self.text[self.position : self.position + 1] in tuple("“”„‘’«»"):  # noqa: RUF001 -- what phones write
            self.fail(Sentence("use straight quotes: \" or '."))
        match = _FOREIGN.match(self.text, self.position) or _WORD.match(self.text, self.position)
        word = match[0] if match else ""
        if word.lower() in _INSTEAD:
            self.fail(Sentence('instead of "%(word)s" write %(instead)s.', word=word, instead=_INSTEAD[word.lower()]))
        meant = nearest(word, _JOINTS)
        if meant:
            self.fail(
                Sentence('"%(word)s" is not allowed here; did you mean "%(meant)s"?', word=word[:50], meant=meant)
            )
        self.fail(message, position)

    def expect_end(self) -> None:
        if self.position < len(self.text):
            self.misplaced(Sentence('unexpected here; join comparisons with "and" or "or".'))

    def move(self, position: int) -> None:
        self.position = skip_space(self.text, position)

    def word(self) -> str:
        """The reserved word at this position, in lower case, or ""."""
        match = _WORD.match(self.text, self.position)
        if match is None or match[0].lower() not in _RESERVED or self.text.startswith((".", "-"), match.end()):
            return ""
        return match[0].lower()

    def take(self, word: str) -> bool:
        """Skip a reserved word if it is at this position."""
        taken = self.word() == word
        if taken:
            self.move(self.position + len(word))
        return taken

    def at(self, symbol: str) -> bool:
        return self.text.startswith(symbol, self.position)

    def disjunction(self, depth: int) -> Tree:
        parts = [self.conjunction(depth)]
        while self.take("or"):
            parts.append(self.conjunction(depth))
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def conjunction(self, depth: int) -> Tree:
        parts = [self.negation(depth)]
        while self.take("and"):
            parts.append(self.negation(depth))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def negation(self, depth: int) -> Tree:
        if depth > MAX_DEPTH:
            self.fail(Sentence("parentheses and not are nested more than %(most)s deep.", most=MAX_DEPTH))
        if self.take("not"):
            return Not(self.negation(depth + 1))
        if not self.at("("):
            return self.comparison()
        opened = self.position
        self.move(opened + 1)
        inner = self.disjunction(depth + 1)
        if not self.at(")"):
            self.misplaced(Sentence("the parenthesis is never closed; add )."), opened)
        self.move(self.position + 1)
        return inner

    def comparison(self) -> Tree:
        self.comparisons += 1
        if self.comparisons > MAX_COMPARISONS:
            self.fail(Sentence("more than %(most)s comparisons; use in with a list, or matches.", most=MAX_COMPARISONS))
        start = self.position
        left = self.operand()
        denied = self.take("not")
        word = self.word()
        if word == "empty":
            self.take(word)
            compared = Compare(left, "empty")
        elif word in _WORD_OPERATORS:
            self.take(word)
            operator = cast("Operator", word)
            compared = Compare(left, operator, self.right_of(operator))
        elif denied:
            self.fail(
                Sentence(
                    "not must be followed by %(names)s or empty here; otherwise write not before the value.",
                    names=", ".join(_WORD_OPERATORS),
                )
            )
        elif (match := _SYMBOL.match(self.text, self.position)) and not self.at("<>"):
            self.move(match.end())
            if self.at("="):
                self.fail(Sentence("%(match)s must be followed by a value, not another =.", match=match[0]))
            compared = Compare(left, cast("Operator", match[0]), self.operand(after=True))
        elif isinstance(left, Constant):
            self.misplaced(Sentence("this value must be followed by a comparison, such as == or contains."), start)
        else:
            compared = Compare(left, "true")
        return Not(compared) if denied else compared

    def right_of(self, word: Operator) -> Path | Constant | Regex:
        """The operand after an operator that is a word."""
        if word == "matches":
            return self.pattern()
        start = self.position
        right = self.operand(after=True)
        is_list = isinstance(right, Constant) and isinstance(right.value, list)
        if word == "in":
            if isinstance(right, Constant) and not isinstance(right.value, list | str):
                self.fail(Sentence('in must be followed by a list, such as ["a", "b"].'), start)
        elif is_list:
            self.fail(
                Sentence('%(word)s takes one value, not a list; join several comparisons with "or".', word=word),
                start,
            )
        return right

    def pattern(self) -> Regex:
        start = self.position
        if not self.text.startswith(('"', "'"), start):
            self.misplaced(Sentence('matches must be followed by a pattern in quotes, such as "^v[0-9]+".'))
        pattern, end = read_string(self.text, start, ConditionError, raw=True)
        try:
            compiled = regex.compile(pattern)
        except RegexError as error:
            raise ConditionError(Sentence(str(error)), self.text, start) from error
        self.programs += compiled.size
        if self.programs > MAX_PROGRAMS:
            self.fail(Sentence("the patterns of this condition are too complex together; use fewer."), start)
        self.move(end)
        return compiled

    def operand(self, *, after: bool = False) -> Path | Constant:
        """A value. `after` an operator a bracket begins a list, before one a path such as ["odd key"].title."""
        if after and self.at("["):
            return self.read_list()
        literal = read_literal(self.text, self.position, ConditionError)
        if literal is not None:
            source = self.text[self.position : literal[1]]
            self.move(literal[1])
            return Constant(literal[0], source)
        if word := self.word():
            self.fail(Sentence('expected a value before %(word)s; if it is a name, write ["%(word)s"].', word=word))
        if not _WORD.match(self.text, self.position) and not self.at("["):
            self.misplaced(Sentence("expected a value: a name, a text in quotes, a number or a list."))
        path, end = read_path(self.text, self.position, ConditionError)
        self.paths.add(path.keys)
        self.move(end)
        return path

    def read_list(self) -> Constant:
        opened = self.position
        self.move(opened + 1)
        items: list[Argument] = []
        while not self.at("]"):
            if items:
                if not self.at(","):
                    self.fail(Sentence("separate the values of a list with commas and end it with ]."))
                self.move(self.position + 1)
            literal = read_literal(self.text, self.position, ConditionError)
            if literal is None:
                if self.position >= len(self.text):
                    self.fail(Sentence("the list is never closed; add ]."), opened)
                self.misplaced(Sentence("a list can contain only texts in quotes and numbers."))
            items.append(literal[0])
            self.move(literal[1])
        end = self.position + 1
        self.move(end)
        return Constant(items, self.text[opened:end])
