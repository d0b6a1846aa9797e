"""`python -m services.kpi`."""

import sys

from headrace.streaming.process.main import main
from services.kpi.app import build
from services.kpi.settings import KpiSettings

if __name__ == "__main__":
    sys.exit(main("kpi", KpiSettings, build))
