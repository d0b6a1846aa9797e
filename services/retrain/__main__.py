"""`python -m services.retrain`."""

import sys

from headrace.streaming.process.main import main
from services.retrain.app import build
from services.retrain.settings import RetrainSettings

if __name__ == "__main__":
    sys.exit(main("retrain", RetrainSettings, build))
