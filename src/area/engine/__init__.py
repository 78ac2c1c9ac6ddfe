"""Turns events into reactions: intake, queue, execution, watching."""
