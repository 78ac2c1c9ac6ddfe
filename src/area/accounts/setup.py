"""The set-up code: if others can reach the installation, the first user must prove access to its terminal or log.

Derived from the secret key, so every process knows it and nothing is stored. Only used while there is no account.
"""

import hmac

from area.kit import crypto
from area.kit.problems import Invalid
from area.settings import Settings


def code(settings: Settings) -> str | None:
    """The code, such as `MZXW-6YTB-OI2G-W3DP`. None if only this machine can reach AREA."""
    if not settings.is_reachable:
        return None
    letters = crypto.derive_code(settings.secret_keys()[0], "set-up code")
    return "-".join(letters[start : start + 4] for start in range(0, len(letters), 4))


def check(settings: Settings, entered: str | None) -> None:
    """Check the set-up code. Raises `Invalid` for `setup_code`."""
    expected = code(settings)
    if expected is None:
        return
    if not entered or not entered.strip():
        raise Invalid.field(
            "setup_code",
            "Enter the set-up code that AREA printed at startup. To see it again, run: area user setup-code",
        )
    same = entered.strip().upper().replace(" ", "").replace("-", "").encode("utf-8", "replace")
    if not hmac.compare_digest(same, expected.replace("-", "").encode()):
        raise Invalid.field("setup_code", "Incorrect set-up code. To see it again, run: area user setup-code")
