"""`python -m services.score`."""

import sys

from headrace.streaming.process.main import main
from services.score.app import build
from services.score.settings import ScoreSettings

if __name__ == "__main__":
    sys.exit(main("score", ScoreSettings, build))
