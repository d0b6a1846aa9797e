"""`python -m services.labels`."""

import sys

from headrace.streaming.process.main import main
from services.labels.app import build
from services.labels.settings import LabelsSettings

if __name__ == "__main__":
    sys.exit(main("labels", LabelsSettings, build))
