"""Re-authentication in forms: password, code or passkey (passkeys.js)."""

from collections.abc import Mapping
from typing import Any

import orjson

from area.doors import login
from area.kit.problems import Invalid


def proof_of(form: Mapping[str, str], name: str = "password") -> login.Proof:
    """The proof in a form; `name` is the password's field."""
    if form.get("passkey"):
        ticket, credential = answer_of(form)
        return login.Proof(ticket=ticket, passkey=credential)
    return login.Proof(form.get(name, "")[:1024], form.get("code", "")[:100])


def answer_of(form: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """A passkey's answer, as passkeys.js wrote it: its ticket and credential. Raises `Invalid`."""
    try:
        match orjson.loads(form.get("passkey", "")):
            case {"ticket": str(ticket), "credential": dict(credential)}:
                return ticket, credential
    except orjson.JSONDecodeError:
        pass
    raise Invalid.field("passkey", "The passkey was not accepted. Try again, or use another one.")
