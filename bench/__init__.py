"""The benchmarks: `python -m bench` (all), `python -m bench w1` (one). JSON lines, then a table."""
