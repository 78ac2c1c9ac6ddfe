"""For the tests of connectors: doubles of vendors that enforce what the vendor publishes, and what the engine does with a poll."""

from area.sdk.testing.descriptions import Description, described, discovered
from area.sdk.testing.double import Answer, Asked, Double
from area.sdk.testing.engine import Watch, connector, deliver, outcomes

__all__ = [
    "Answer",
    "Asked",
    "Description",
    "Double",
    "Watch",
    "connector",
    "deliver",
    "described",
    "discovered",
    "outcomes",
]
