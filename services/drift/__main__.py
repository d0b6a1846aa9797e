"""`python -m services.drift`."""

import sys

from headrace.streaming.process.main import main
from services.drift.app import build
from services.drift.settings import DriftSettings

if __name__ == "__main__":
    sys.exit(main("drift", DriftSettings, build))
