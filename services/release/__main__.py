"""`python -m services.release`."""

import sys

from headrace.streaming.process.main import main
from services.release.app import build
from services.release.settings import ReleaseSettings

if __name__ == "__main__":
    sys.exit(main("release", ReleaseSettings, build))
