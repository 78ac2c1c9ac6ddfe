"""`python -m area.cli`."""

from area.cli import main

main()
