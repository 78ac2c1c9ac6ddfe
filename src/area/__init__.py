"""AREA: when something happens in one service, do something in another. Never lost, never twice."""

__version__ = "0.1.0"
