"""`python -m flows` is the `lesionary` command, for `torchrun` and the like."""

from flows.cli import main

main(prog_name="lesionary")
