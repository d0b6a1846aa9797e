"""`python -m services.shadow`."""

import os
import sys

from headrace.streaming.process.main import main
from headrace.streaming.task.runner import Runner
from services.shadow import app
from services.shadow.settings import ShadowSettings


def build(settings: ShadowSettings) -> Runner:
    """A member that gives way to everything else on its machine."""
    os.nice(settings.nice)
    return app.build(settings)


if __name__ == "__main__":
    sys.exit(main("shadow", ShadowSettings, build))
