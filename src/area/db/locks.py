"""PostgreSQL's advisory locks: which there are, and the order in which one transaction may take them."""

from enum import IntEnum


class Lock(IntEnum):
    """Numbers of advisory locks, the same in every version. ACCOUNTS, LOGIN and ADDRESS are taken in this order, with a name."""

    MIGRATE = 0x41524541  # "AREA": one process of all migrates
    SYNC = 4_127_001  # of two processes that start together, the second waits with the catalog
    WATCH = 4_127_010  # one worker of all watches
    ACCOUNTS = 4_127_011
    LOGIN = 4_127_012
    ADDRESS = 4_127_013
    DELIVERY = 4_127_014  # claims of mails are made one after another, so that each sees what the one before took
