"""What a process that runs for months does with its memory."""

import gc

COLLECT = (10_000, 50, 50)  # allocations between garbage collections of each generation


def settle() -> None:
    """Call once everything is loaded: keep what is there out of garbage collection, and look at the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)
