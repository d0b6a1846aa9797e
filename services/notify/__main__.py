"""`python -m services.notify`."""

import sys

from headrace.streaming.process.main import main
from services.notify.app import build
from services.notify.settings import NotifySettings

if __name__ == "__main__":
    sys.exit(main("notify", NotifySettings, build))
