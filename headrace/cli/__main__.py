"""`python -m headrace.cli`: the command where no `headrace` is on PATH."""

from headrace.cli.main import main

main()
