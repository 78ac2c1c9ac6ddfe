"""General tools that know nothing of AREA."""
