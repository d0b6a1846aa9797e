"""`python -m services.intake`."""

import sys

from headrace.streaming.process.main import main
from services.intake.app import build
from services.intake.settings import IntakeSettings

if __name__ == "__main__":
    sys.exit(main("intake", IntakeSettings, build))
