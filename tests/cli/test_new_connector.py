import json
import os
import re
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from area.cli import skeleton

ROOT = Path(__file__).parents[2]
KINDS = list(skeleton.PIECES)
# commands of `area` in one process: each of their own would import everything anew
EACH = """
import json, sys
from area.cli.commands import app
for arguments in json.loads(sys.argv[1]):
    app(arguments, standalone_mode=False)
"""


def run(*command, cwd, **environment):
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def checkout(tmp_path):
    """A checkout without connectors."""
    source = tmp_path / "src" / "area"
    (source / "connectors").mkdir(parents=True)
    for part in (ROOT / "src" / "area").iterdir():
        if part.name not in ("connectors", "__pycache__"):
            (source / part.name).symlink_to(part)
    (source / "connectors" / "__init__.py").write_text('"""Services."""\n')
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    return tmp_path


def test_each_kind_passes_the_checks_and_its_tests_as_written(checkout):
    commands = [["new-connector", f"only_{kind}", f"--{kind}"] for kind in KINDS]
    commands += [["new-connector", "all_of_it", *(f"--{kind}" for kind in KINDS), "--title", "All & more"]]
    output = run(sys.executable, "-c", EACH, json.dumps(commands), cwd=checkout, PYTHONPATH="src")
    assert "wrote src/area/connectors/all_of_it/fixtures/item_changed.json" in output
    connectors = "src/area/connectors"
    run(sys.executable, "-m", "ruff", "format", "--check", connectors, cwd=checkout)
    run(sys.executable, "-m", "ruff", "check", connectors, cwd=checkout)
    everywhere = "test_all.py"
    (checkout / everywhere).write_text((ROOT / "tests" / "connectors" / everywhere).read_text())
    tests = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "pyproject.toml")
    output = run(*tests, "--rootdir=.", "-vv", connectors, everywhere, cwd=checkout, PYTHONPATH="src")
    assert re.search(r" passed, .* in ", output)
    assert re.search(rf"^{everywhere}::.*all_of_it.* PASSED", output, re.MULTILINE)
    tried = run(sys.executable, "-m", "area.cli", "try", "all_of_it.item_changed", cwd=checkout, PYTHONPATH="src")
    assert '"title": "Hello"' in tried


@pytest.mark.slow  # runs a third of the suite in a checkout
def test_one_is_green_everywhere_without_an_edit_elsewhere(tmp_path):
    """With what `new-connector` wrote beside the others, all that is tested of every connector passes."""
    for folder in ("docs", "src", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for page in ("SECURITY.md", "CHANGELOG.md", "README.md", "CONTRIBUTING.md", "pyproject.toml"):
        (tmp_path / page).write_text((ROOT / page).read_text())
    kinds = [f"--{kind}" for kind in KINDS]
    output = run(sys.executable, "-m", "area.cli", "new-connector", "demo", *kinds, cwd=tmp_path, PYTHONPATH="src")
    assert "updated docs/reference" in output
    assert "`demo.new_item`" in (tmp_path / "docs/reference/components.md").read_text()
    everywhere = ["tests/connectors", "tests/test_docs.py", "tests/test_sentences.py", "tests/web/test_words.py"]
    pytest_ = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "pyproject.toml", "--rootdir=.")
    chosen = "demo or known or docs or words or sentences or new_item"  # not all of the other connectors again
    output = run(*pytest_, "src/area/connectors/demo", *everywhere, "-k", chosen, cwd=tmp_path, PYTHONPATH="src")
    assert "passed" in output


@pytest.mark.parametrize("kinds", [kinds for count in (1, 2, 3) for kinds in combinations(KINDS, count)], ids="-".join)
def test_any_choice_of_kinds_is_formatted_and_imports_what_it_uses(tmp_path, kinds):
    for name, text in skeleton.files("shop", "A shop", kinds, package="area.connectors.shop").items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    ruff = (sys.executable, "-m", "ruff")
    config = f"--config={ROOT / 'pyproject.toml'}"
    run(*ruff, "format", "--check", config, ".", cwd=tmp_path)
    run(*ruff, "check", config, "--select=F,I", ".", cwd=tmp_path)


def test_a_package_of_its_own_passes_its_tests_and_is_found_by_its_entry_point(tmp_path):
    area = (sys.executable, "-m", "area.cli")
    run(*area, "new-connector", "my_shop", "--path", "area-my-shop", "--webhook", "--poll", cwd=tmp_path)
    package = tmp_path / "area-my-shop"
    source = str(package / "src")
    run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=package, PYTHONPATH=source)
    # what installing it would write
    metadata = package / "src" / "area_my_shop-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: area-my-shop\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text("[area.connectors]\nmy_shop = area_my_shop\n")
    assert '"title": "Hello"' in run(*area, "try", "my_shop.item_changed", cwd=tmp_path, PYTHONPATH=source)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("My-Shop",), "is not a valid slug"),
        (("inbox",), "already"),
        (("shop", "--title", 'a "b"'), "no quotes"),
        (("shop", "--path", "."), "Choose a new folder"),
    ],
)
def test_what_can_not_be_written_is_said(no_database, tmp_path, arguments, sentence):
    (tmp_path / "something").touch()
    assert sentence in no_database.refuses("new-connector", *arguments)
