"""What each encrypted value of the database is bound to: a value that is moved to another place can't be decrypted there.

The texts are data of every installation and never change. `rotation` encrypts all of them anew.
"""

from typing import Literal

Hook = Literal["token", "secret"]


def hook(area_id: int, column: Hook) -> str:
    """The webhook address of an AREA (`triggers.token`), and what it is signed with (`secret`)."""
    return f"area:{area_id}|{column}"


def parameter(area_id: int, variable_id: int) -> str:
    """A parameter of an AREA, in all of its versions."""
    return f"area:{area_id}|{variable_id}"


def hint(source_id: int, column: Hook) -> str:
    """The address at which a vendor says that there is news (`source_hints.token`), and what it signs with (`secret`)."""
    return f"source:{source_id}|{column}"


def source(key: str, name: str) -> str:
    """A parameter of a source, which is known by its key."""
    return f"source:{key}|{name}"


def draft(user_id: int, key: str) -> str:
    """What somebody has typed into the editor."""
    return f"draft:{user_id}|{key}"


def connection(user_id: int, slug: str, number: int, column: str) -> str:
    """A column of a connection; `number` is 0 for the one without a name."""
    return f"{user_id}|{slug}#{number}|{column}" if number else f"{user_id}|{slug}|{column}"


def execution(execution_id: int) -> str:
    """The parameters that an execution was given."""
    return f"execution:{execution_id}|parameters"


def second_factor(user_id: int) -> str:
    """The secret of an authenticator app."""
    return f"user:{user_id}|totp"


def second_factor_setup(user_id: int) -> str:
    """The same, until it is confirmed."""
    return f"user:{user_id}|totp-setup"


def consent(number: str) -> str:
    """What is kept while a vendor is asked for consent."""
    return f"consent|{number}"


def meta(key: str) -> str:
    """A value of the installation."""
    return f"meta|{key}"
