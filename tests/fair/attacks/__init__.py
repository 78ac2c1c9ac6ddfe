"""The attacks, each with its bounds; importing this module registers them all."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.fair.stage import Stage

Play = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True)
class Attack:
    """One of them: what it does, and the installation that it is played on."""

    name: str
    title: str
    play: Play
    alone: bool = True  # on an installation of its own; else on one that is shared
    own_names: bool = False
    settings: dict[str, str] = field(default_factory=dict)


ATTACKS: dict[str, Attack] = {}


def attack(*, alone: bool = True, own_names: bool = False, **settings: str) -> Callable[[Play], Play]:
    """Register a function by its name; its docstring is its title."""

    def register(play: Play) -> Play:
        name = play.__name__.replace("_", "-")
        title = (play.__doc__ or "").strip().partition("\n")[0]
        ATTACKS[name] = Attack(name, title, play, alone, own_names, settings)
        return play

    return register


from . import accounts, doors, expressions, mail, waiting  # noqa: E402, F401
