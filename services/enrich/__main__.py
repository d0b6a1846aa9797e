"""`python -m services.enrich`; with `views` behind it, `python -m services.views` as it was called once."""

import runpy
import sys

from headrace.streaming.process.main import main
from services.enrich.app import build
from services.enrich.settings import EnrichSettings

if __name__ == "__main__":
    if sys.argv[1:] == ["views"]:
        runpy.run_module("services.views", run_name="__main__")
    sys.exit(main("enrich", EnrichSettings, build))
