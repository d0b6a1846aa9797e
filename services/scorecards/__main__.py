"""`python -m services.scorecards`."""

import sys

from headrace.streaming.process.main import main
from services.scorecards.app import build
from services.scorecards.settings import ScorecardsSettings

if __name__ == "__main__":
    sys.exit(main("scorecards", ScorecardsSettings, build))
