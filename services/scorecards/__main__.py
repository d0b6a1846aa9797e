"""`python -m services.scorecards`."""

import os
import sys

# Matrices of estimates are small: threads of linear algebra wait for one another, which takes a processor each.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from headrace.streaming.process.main import main
from services.scorecards.app import build
from services.scorecards.settings import ScorecardsSettings

if __name__ == "__main__":
    sys.exit(main("scorecards", ScorecardsSettings, build))
