"""What was measured, held against its bound."""

import json
from dataclasses import asdict, dataclass, field

from .victim import Samples

RATIO = 3.0  # how many times slower than undisturbed the victim's 99th percentile may be
NOISE = (
    0.1  # seconds more than undisturbed that are never counted: two processes on one core take that from one another
)
TIMER_NOISE = 1.0  # the same for a timer, which is looked at once a second


def percentile(values: list[float], share: float) -> float:
    """The nearest rank; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


@dataclass
class Row:
    """One figure of one attack."""

    attack: str
    figure: str
    before: str
    during: str
    bound: str
    holds: bool


@dataclass
class Table:
    """All figures, in order."""

    rows: list[Row] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def holds(self) -> bool:
        """Whether every bound is kept."""
        return all(row.holds for row in self.rows)

    def watched(self, attack: str, before: Samples, during: Samples, probes: tuple[str, ...]) -> None:
        """The victim's 99th percentiles."""
        for probe in probes:
            calm, busy = before.seconds[probe], during.seconds[probe]
            most = max(
                RATIO * percentile(calm, 0.99), percentile(calm, 0.99) + (TIMER_NOISE if probe == "timer" else NOISE)
            )
            shown = [f"{percentile(times, 0.5):.3f} {percentile(times, 0.99):.3f}" for times in (calm, busy)]
            holds = percentile(busy, 0.99) <= most
            self.rows.append(Row(attack, f"{probe}, s (p50 p99)", *shown, f"p99 <= {most:.3f}", holds))

    def at_most(self, attack: str, figure: str, value: float, most: float) -> None:
        """A figure with an upper bound."""
        self.rows.append(Row(attack, figure, "", f"{value:g}", f"<= {most:g}", value <= most))

    def is_so(self, attack: str, figure: str, during: object, holds: bool) -> None:
        """A sentence that must hold, and what was seen."""
        self.rows.append(Row(attack, figure, "", str(during)[:60], "", holds))

    def text(self) -> str:
        """For people."""
        lines = [("attack", "figure", "before", "during", "bound", "")]
        lines += [(r.attack, r.figure, r.before, r.during, r.bound, "ok" if r.holds else "FAILS") for r in self.rows]
        lines += [(name, why, "", "", "", "not run") for name, why in self.skipped.items()]
        widths = [max(len(line[n]) for line in lines) for n in range(6)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )

    def json(self) -> str:
        """For programs."""
        return json.dumps({"rows": [asdict(row) for row in self.rows], "skipped": self.skipped}, indent=1)
