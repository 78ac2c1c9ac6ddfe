"""Sentences and words that no native writer would have written are not in pages, errors, commands or docs."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# what is read by people: code (sentences and docstrings), pages, scripts, docs; not this file, and no French
FILES = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "src", "docs", "*.md", "bench"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    if name.endswith((".py", ".html", ".js", ".md")) and "/fixtures/" not in name and "/clients/" not in name
]
OLD = (
    "There is an account already?",
    "Mend the cause",
    "Nothing is called like that",
    "To the content",
    "Whoever sends a request to this address",
    "works no more",
    "Good for so many days",
    "At most so many characters",
    "page asks for itself anew",
    "and its workers anew",
    "In trouble",
    "Trouble first",
    "with %(name)s no more?",
    "were quicker than",
    "Choose what is done then",
    "gives nothing back",
    "Its code is no longer here",
    "do not belong together",
    "Give your present password",
    "This is no e-mail address",
    "This is no number",
    "This is no JSON",
    "answered something else than it documents",
    "met an error of its own",
    "takes no more requests until",
    "connect it (again), and this runs",
    "Nobody has this address any more",
    "the old one stops to work",
    "Make the AREA anew",
    "Hear notifications for ever",
    "who is deaf listens anew",
    "the ear on PostgreSQL",
    "How vendors' lists come",
    "is to be mended first",
    "are to be mended first",
    "before what is marked is mended",
    "(as usual)",
    "Start from nothing",
    "be written to when it is another",
    "Has not fired yet",
    "This does it once, for real",
    "It runs once, for real",
    "What it does is done once more",
    "With the present parameters",
    "Mark all that are shown",
    "did not hold.",
    "Not sent: it says when",
    "the present one",
    "Each attempt says",
    "take at most",
    "What it says at a glance",
    "The rest of it, as plain text",
    "Renew the address",
    "It is tried before it is kept",
    "Try and connect",
    "last sign 1",
    "nobody known",
    "Good until (may be left empty)",
    "a program does here what you can do",
    "Take your AREAs along",
    "What happened meanwhile is not caught up",
    "AREAs stand still",
    "that it says so already is no failure",
    "However often an execution is attempted",
    "always as much later",
    "Every event counts, until you add a line",
    "Lines can't say what this text says",
)


@pytest.mark.parametrize("sentence", OLD)
def test_an_old_sentence_is_gone(sentence: str):
    expected = re.compile(r"\s+".join(re.escape(word) for word in sentence.split()))
    left = [str(path.relative_to(ROOT)) for path in FILES if expected.search(path.read_text("utf-8"))]
    assert left == []
