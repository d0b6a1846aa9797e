"""`python -m services.views`."""

import sys

from headrace.streaming.process.main import main
from services.views.app import build
from services.views.settings import ViewsSettings

if __name__ == "__main__":
    sys.exit(main("views", ViewsSettings, build))
