"""Shared by everything that speaks HTTP: authentication, request limits, live updates, response headers."""
