"""A process's cache of database values, invalidated when they change."""

import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from cachetools import LRUCache

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Remembered(Generic[Key, Value]):
    """Values by key, each for `seconds`, at most `most` of them: the least recently used is evicted first.

    A value that is forgotten while it is being loaded is not cached: it was read before the change.
    """

    def __init__(self, most: int, seconds: float, timer: Callable[[], float] = time.monotonic) -> None:
        # with its expiry beside it: a TTLCache takes five times as long to look one up, several times per event
        self._values: LRUCache[Key, tuple[float, Value]] = LRUCache(most)
        self._seconds, self._timer = seconds, timer
        self._loads: dict[object, set[Key]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key) -> Value | None:
        """The value, or None."""
        entry = self._values.get(key)
        return entry[1] if entry is not None and entry[0] > self._timer() else None

    def known(self, keys: Iterable[Key]) -> dict[Key, Value]:
        """The cached values of these keys, which may be None."""
        moment = self._timer()
        entries = [(key, self._values.get(key)) for key in keys]
        return {key: entry[1] for key, entry in entries if entry is not None and entry[0] > moment}

    @contextmanager
    def loading(self, keys: Iterable[Key]) -> Iterator[Callable[[Key, Value], None]]:
        """Wraps loading these keys' values; yields the function that caches one."""
        good = set(keys)
        load = object()
        self._loads[load] = good

        def keep(key: Key, value: Value) -> None:
            if key in good:
                self._values[key] = self._timer() + self._seconds, value

        try:
            yield keep
        finally:
            del self._loads[load]

    def forget(self, key: Key) -> None:
        """The value of this key changed."""
        self._values.pop(key, None)
        for good in self._loads.values():
            good.discard(key)

    def forget_where(self, holds: Callable[[Value], bool]) -> None:
        """The values for which `holds` is true changed; one being loaded may be among them."""
        for key in [key for key, (_, value) in self._values.items() if holds(value)]:
            del self._values[key]
        for good in self._loads.values():
            good.clear()

    def clear(self) -> None:
        """All values may have changed."""
        self._values.clear()
        for good in self._loads.values():
            good.clear()
