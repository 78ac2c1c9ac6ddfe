"""Attacks by one user, or by a stranger, against a live installation, and what its other users notice of them.

`python -m tests.fair [NAME ...]` runs them (`make fair`). Each attack states its own bounds beside its code.
"""
