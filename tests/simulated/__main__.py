"""Run schedules: `python -m tests.simulated --seeds 20000`, or one again: `--seed 123`."""

from __future__ import annotations

import sys

from tests.simulated.schedules import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
