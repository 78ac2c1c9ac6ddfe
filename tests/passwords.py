"""Passwords that cost a test next to nothing: at the real cost each takes a quarter of a second, to hash and to check.

tests/kit/test_crypto.py has the real one back, and so has every installation that is started as users start it
(tests/faults, tests/fair, `area up` in tests/cli).
"""

from area.kit import crypto

REAL = {"BCRYPT_COST": crypto.BCRYPT_COST, "_NOBODY": crypto._NOBODY}
CHEAP = {"BCRYPT_COST": 4, "_NOBODY": b"$2b$04$skPetulu9chvJEVhp43ireNRCUPH7e9uYrK2AIalfAeovcTbfKinm"}

# `python -c PROGRAM up` is `area up` with them; what it forks has them, too, if it stays the process that it is
PROGRAM = f"""
import os, runpy, sys
from area.kit import crypto
vars(crypto).update({CHEAP!r})
def stay(_, line):
    sys.argv = line[2:]
    runpy.run_module(line[2], run_name="__main__")
os.execv = stay
from area.cli import main
main()
"""


def cheapen() -> None:
    """From here on, in this process."""
    vars(crypto).update(CHEAP)
