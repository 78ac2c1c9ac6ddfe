"""Draws sentences at random, to be read as a native reader would: `python -m tests.sentences [COUNT] [SEED]`.

They come from pages, errors, notices and mails, connectors' descriptions, docs (with the reference of commands,
settings and the API), the connectors' pages, and the docstrings of the SDK.
"""

import ast
import random
import re
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

from area.registry import registry
from area.web import translate

ROOT = Path(__file__).parents[1]
WORDS = 4  # fewer are a label


def drawn(count: int, seed: str) -> list[tuple[str, str]]:
    """So many sentences, each with where it is."""
    every = sorted({(sentence, where) for sentence, where in sentences() if len(sentence.split()) >= WORDS})
    return random.Random(seed).sample(every, count)


def sentences() -> Iterator[tuple[str, str]]:
    """Every sentence, with where it is."""
    for message in translate.sentences():
        texts = message.id if isinstance(message.id, list | tuple) else [message.id]
        yield from ((text, "pages and errors") for text in texts)
    for service in registry().services.values():
        yield from ((text, f"connector {service.slug}") for text in translate.offered(service))
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("doc.md")]:
        yield from ((text, str(path.relative_to(ROOT))) for text in _prose(path.read_text("utf-8")))
    for path in (ROOT / "src/area/sdk").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = ast.get_docstring(node) or ""
                yield from ((text, str(path.relative_to(ROOT))) for text in _prose(docstring))


def _prose(text: str) -> Iterator[str]:
    """The sentences of Markdown, without code blocks; a table's cells are sentences."""
    text = re.sub(r"(?ms)^ *```.*?^ *```|^    .*?$|<!--.*?-->", "", text)
    for block in re.split(r"\n\s*\n|^#+ |^\s*[-*] |^\s*\d+\. |\|", text, flags=re.MULTILINE):
        yield from (part.strip() for part in re.split(r"(?<=[.!?:])\s+(?=[A-Z`*\[])", " ".join(block.split())))


def main(count: int = 20, seed: str = "") -> None:
    """Print a draw."""
    seed = seed or secrets.token_hex(4)
    print(f"seed {seed}")
    for number, (sentence, where) in enumerate(drawn(count, seed), 1):
        print(f"{number:2}. {sentence!r}  [{where}]")


if __name__ == "__main__":
    main(*(int(argument) if argument.isdigit() else argument for argument in sys.argv[1:3]))
