"""PostgreSQL's advisory locks, and the order in which a transaction may take them."""

from enum import IntEnum


class Lock(IntEnum):
    """Numbers of advisory locks, the same in every version. ACCOUNTS, LOGIN and ADDRESS are taken in this order, with a
    name.
    """

    MIGRATE = 0x41524541  # "AREA": only one process migrates
    SYNC = 4_127_001  # of two processes that start together, the second waits to sync the catalog
    WATCH = 4_127_010  # only one worker watches
    ACCOUNTS = 4_127_011
    LOGIN = 4_127_012
    ADDRESS = 4_127_013
    DELIVERY = 4_127_014  # mails are claimed one after another, so that each claim sees the one before
