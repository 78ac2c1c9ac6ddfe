"""What each encrypted value in the database is bound to: a value that is moved elsewhere can't be decrypted there.

These texts are part of the data of every installation and never change. `rotation` re-encrypts all of the values.
"""

from typing import Literal

Hook = Literal["token", "secret"]


def hook(area_id: int, column: Hook) -> str:
    """The token in an AREA's webhook URL (`triggers.token`), and its signing secret (`secret`)."""
    return f"area:{area_id}|{column}"


def parameter(area_id: int, variable_id: int) -> str:
    """A parameter of an AREA, in all of its versions."""
    return f"area:{area_id}|{variable_id}"


def hint(source_id: int, column: Hook) -> str:
    """The token in a hint's address (`source_hints.token`), and its signing secret (`secret`)."""
    return f"source:{source_id}|{column}"


def source(key: str, name: str) -> str:
    """A parameter of a source, which is identified by its key."""
    return f"source:{key}|{name}"


def draft(user_id: int, key: str) -> str:
    """A user's input in the editor."""
    return f"draft:{user_id}|{key}"


def connection(user_id: int, slug: str, number: int, column: str) -> str:
    """A column of a connection; `number` is 0 for the default one."""
    return f"{user_id}|{slug}#{number}|{column}" if number else f"{user_id}|{slug}|{column}"


def execution(execution_id: int) -> str:
    """The parameters that an execution was given."""
    return f"execution:{execution_id}|parameters"


def second_factor(user_id: int) -> str:
    """The secret of an authenticator app."""
    return f"user:{user_id}|totp"


def second_factor_setup(user_id: int) -> str:
    """The secret of an authenticator app that isn't confirmed yet."""
    return f"user:{user_id}|totp-setup"


def consent(number: str) -> str:
    """The state of an OAuth2 consent in progress."""
    return f"consent|{number}"


def meta(key: str) -> str:
    """A value of the installation."""
    return f"meta|{key}"
