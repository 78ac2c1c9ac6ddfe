"""For tests of connectors: vendor doubles that enforce the published API description, and the engine's handling of
polls.
"""

from area.sdk.testing.descriptions import Description, described, discovered
from area.sdk.testing.double import Answer, Asked, Double
from area.sdk.testing.engine import HOOK, Watch, act, connector, deliver, delivery, finds_nothing, outcomes
from area.sdk.testing.graphql import graphed
from area.sdk.testing.lexicons import lexicons

__all__ = [
    "HOOK",
    "Answer",
    "Asked",
    "Description",
    "Double",
    "Watch",
    "act",
    "connector",
    "deliver",
    "delivery",
    "described",
    "discovered",
    "finds_nothing",
    "graphed",
    "lexicons",
    "outcomes",
]
