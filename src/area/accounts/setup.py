"""The set-up code: who makes the first account of an installation that others can reach proves to see its terminal or log.

It is derived from the secret key, so every process knows the same one and nothing is stored. It is of use only as long as there is no
account.
"""

import hmac

from area.kit import crypto
from area.kit.problems import Invalid
from area.settings import Settings


def code(settings: Settings) -> str | None:
    """The code, such as `MZXW-6YTB-OI2G-W3DP`; None where AREA can be reached from this machine only."""
    if not settings.is_reachable:
        return None
    letters = crypto.derive_code(settings.secret_keys()[0], "set-up code")
    return "-".join(letters[start : start + 4] for start in range(0, len(letters), 4))


def check(settings: Settings, given: str | None) -> None:
    """Let through who may make the first account. Raises `Invalid`, naming `setup_code`."""
    wanted = code(settings)
    if wanted is None:
        return
    if not given or not given.strip():
        raise Invalid.field(
            "setup_code",
            "Enter the set-up code that AREA printed at startup. To see it again, run: area user setup-code",
        )
    same = given.strip().upper().replace(" ", "").replace("-", "").encode("utf-8", "replace")
    if not hmac.compare_digest(same, wanted.replace("-", "").encode()):
        raise Invalid.field("setup_code", "Incorrect set-up code. To see it again, run: area user setup-code")
