"""Fetches what the tests take from npm into .venv/npm, by package-lock.json: `python -m tests.npm`."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = Path(sys.prefix) / "npm" / "node_modules"


def node() -> tuple[list[str], list[str]]:
    """How to call node and npm here."""
    sys.path.insert(0, str(ROOT))
    try:
        import hatch_build
    finally:
        sys.path.pop(0)
    return hatch_build.node()


def fetch() -> None:
    """Make .venv/npm what the lock file says."""
    folder = MODULES.parent
    folder.mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "tests" / "npm" / name, folder)
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run([*node()[1], "ci", *options], cwd=folder, check=True, stdout=sys.stderr)
