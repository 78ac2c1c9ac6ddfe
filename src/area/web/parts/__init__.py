"""Shared parts of pages: frame, language, formatting, logos and errors."""
