"""docs/services.md: every component, and how it was verified. `python -m area.cli.verified` prints the size of each
connector in lines, with and without blank ones.

The information comes from the connectors' tests: a test names the API description that its double enforces, and a
component that no test names is marked as such.
"""

import ast
import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from area.registry import Registry
from area.sdk import Action, Reaction, Service

ENFORCING = ("described", "discovered", "graphql_described")
OWN = frozenset(
    {"area", "calendar", "email", "http", "inbox", "mqtt", "rss", "timer", "webhook"}
)  # AREA's own, and protocols
SDKS = Path(__file__).parents[3] / "tests" / "connectors" / "test_sdks.py"
PLACES = {"described": "npm ", "graphql_described": "npm ", "discovered": "Google's discovery document "}


@dataclass(frozen=True, slots=True)
class Tests:
    """What a connector's tests state about themselves."""

    about: str
    documents: tuple[str, ...]
    text: str

    def name(self, component: Action | Reaction) -> bool:
        """Whether a test mentions the component."""
        return re.search(rf"\b{component.name}\b", self.text) is not None


def page(registry: Registry) -> Iterator[str]:
    """The page's lines."""
    counts = lines(registry)
    services = sorted(registry.services.values(), key=lambda service: service.name.lower())
    count = sum(len(components(service)) for service in services)
    yield "# Services\n"
    yield f"{len(services)} services with {count} components, and how each was verified. *Verified*: tested against a"
    yield "real server, or against a double that enforces the vendor's published API description, for requests and"
    yield "for responses. *Generated*: written from the vendor's documentation, and never run against the vendor or"
    yield "its description. No vendor's own server was ever called, but servers that vendors publish were: Home"
    yield "Assistant's and Bluesky's. *The same as the SDK's*: the vendor's own SDK and AREA made the same call, and"
    yield "sent the same request (tests/connectors/test_sdks.py).\n"
    yield f"{summary(registry)}\n"
    yield "| service | quality | lines | verified by |"
    yield "|---|---|---|---|"
    by_slug = {service.slug: tests(registry.folders[service.slug]) for service in services}
    for service in services:
        by = "; ".join(by_slug[service.slug].documents) or by_slug[service.slug].about
        link = f"[{service.name}](#{anchor(service.name)})"
        yield f"| {link} | {service.quality} | {counts[service.slug][0]} | {_cell(by)} |"
    for service in services:
        yield f"\n## {service.name}\n"
        yield f"{_cell(by_slug[service.slug].about)}\n"
        yield from _components(service, by_slug[service.slug])


def _components(service: Service, tested: Tests) -> Iterator[str]:
    yield "| component | | tested by |"
    yield "|---|---|---|"
    every = components(service)
    by = "; ".join(tested.documents) or "its tests"
    beside_sdk = in_sdks()
    generated = [component for component in every if isinstance(component, Action) and component.generated]
    for component in every:
        if component in generated:
            continue
        kind = component.kind if isinstance(component, Action) else "reaction"
        place = _cell(by) if tested.name(component) else "no test of its own"
        yield f"| `{component.name}` | {kind} | {place}{SAME if component.key in beside_sdk else ''} |"
    if generated:
        kinds = f"{len(generated)} generated from the vendor's description"
        yield f"| {kinds} | webhook | {_cell(by)}: each with the description's sample |"


SAME = "; the same as the SDK's"


def in_sdks() -> set[str]:
    """The reactions whose requests are compared with those of vendors' SDKs."""
    for node in ast.parse(SDKS.read_text("utf-8")).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "CALLS":
            assert isinstance(node.value, ast.Dict)  # noqa: S101 - it is our own file
            return {
                key.value for key in node.value.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)
            }
    raise LookupError(f"{SDKS} has no CALLS.")


def tests(folder: Path) -> Tests:
    """Read a connector's tests."""
    about, documents, text = "", [], ""
    # the connector's main tests first
    for path in sorted(folder.glob("test_*.py"), key=lambda path: (path.stem != f"test_{folder.name}", path.name)):
        source = path.read_text("utf-8")
        tree = ast.parse(source)
        about = f"{about} {' '.join((ast.get_docstring(tree) or '').split())}".strip()
        text += source
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ENFORCING
                and node.args
            ):
                argument = node.args[0]
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    documents.append(f"{PLACES[node.func.id]}`{argument.value}`")
    return Tests(about, tuple(dict.fromkeys(documents)), text)


def lines(registry: Registry) -> dict[str, tuple[int, int]]:
    """Lines of code of each connector, by slug: without blank lines (docstrings and comments count), and with them."""
    code = {slug: _code(folder) for slug, folder in registry.folders.items()}
    return {slug: (sum(bool(line.strip()) for line in text), len(text)) for slug, text in code.items()}


def summary(registry: Registry) -> str:
    """The medians, as a sentence."""
    counts = lines(registry)
    vendors = {slug: service for slug, service in registry.services.items() if slug not in OWN}
    each = statistics.median(
        counts[slug][0] / len([part for part in components(service) if part.translated])
        for slug, service in vendors.items()
    )
    written, whole = (statistics.median(counts[slug][place] for slug in vendors) for place in (0, 1))
    every = statistics.median(count for count, _ in counts.values())
    return (
        f"A vendor's connector has {written:.0f} lines (median of {len(vendors)}, with docstrings and comments, without"
        f" blank lines and tests), {each:.0f} per component; {whole:.0f} with blank lines. The median of all"
        f" {len(counts)}, including AREA's own and those of protocols, is {every:.0f}."
    )


def components(service: Service) -> list[Action | Reaction]:
    """The service's actions and reactions."""
    return [*service.actions.values(), *service.reactions.values()]


def _code(folder: Path) -> list[str]:
    files = [path for path in sorted(folder.glob("*.py")) if not path.name.startswith("test_")]
    return [line for path in files for line in path.read_text("utf-8").splitlines()]


def anchor(heading: str) -> str:
    """The anchor of a heading."""
    return "".join(letter for letter in heading.lower().replace(" ", "-") if letter.isalnum() or letter == "-")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    from area.registry import registry

    known = registry()
    numbers = lines(known)
    for name, (written, whole) in sorted(numbers.items(), key=lambda item: item[1]):
        print(f"{written:5} {whole:5} {name}")
    print(summary(known))
