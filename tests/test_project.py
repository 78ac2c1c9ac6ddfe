"""The lock files fit pyproject.toml and name no registry; what CI runs is there."""

import ast
import os
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = PROJECT["dependency-groups"]
LOCKS = {
    "requirements.txt": [*PROJECT["project"]["dependencies"], *GROUPS["build"]],
    "requirements-dev.txt": [
        *PROJECT["project"]["dependencies"],
        *GROUPS["build"],
        *(requirement for requirement in GROUPS["dev"] if isinstance(requirement, str)),
    ],
}


def pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text()
    return {
        canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE)
    }


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_has_what_is_wanted(name):
    locked = pins(name)
    for line in LOCKS[name]:
        requirement = Requirement(line)
        version = locked.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} is not in {name}: run `make lock`"
        assert requirement.specifier.contains(version), f"{requirement} is not what {name} has: run `make lock`"


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_has_hashes_and_names_no_registry(name):
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*-", text.replace("    --hash=", ""), re.MULTILINE), "an option of the index or the like"
    blocks = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)


def test_the_development_lock_extends_the_other():
    assert pins("requirements.txt").items() <= pins("requirements-dev.txt").items()


def test_ci_can_be_run():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/usr/bin/env bash\n")


def test_make_tells_what_there_is_to_do():
    text = (ROOT / "Makefile").read_text()
    answer = set(re.findall(r"^([a-z-]+):.*?## ", text, re.MULTILINE))
    assert {"help", "run", "test", "check", "bench", "faults", "docs", "lock", "clean"} <= answer


def test_a_long_module_says_why_it_is_one_thing():
    """A module of more than 400 lines is asked whether it is one thing; its docstring answers in a paragraph of its
    own.
    """
    silent = []
    for path in (ROOT / "src/area").rglob("*.py"):
        text = path.read_text("utf-8")
        if text.count("\n") > 400 and not path.name.startswith("test_") and "migrations" not in path.parts:
            docstring = ast.get_docstring(ast.parse(text)) or ""
            if not re.search(r"\bone module\b|\bonly module\b|Long because", docstring, re.IGNORECASE):
                silent.append(str(path.relative_to(ROOT)))
    assert silent == []
