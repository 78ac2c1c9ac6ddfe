"""General-purpose code that knows nothing about AREA."""
