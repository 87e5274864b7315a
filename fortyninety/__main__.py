"""`python -m fortyninety`."""

from fortyninety.cli import main

main()
