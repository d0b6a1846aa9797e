"""`python -m services.shadow`."""

import os
import sys

from services.kit.runner import Runner
from services.kit.serving import main
from services.shadow.app import build_shadow
from services.shadow.settings import ShadowSettings


def build(settings: ShadowSettings) -> Runner:
    """A member that gives way to everything else on its machine."""
    os.nice(settings.nice)
    return build_shadow(settings)


if __name__ == "__main__":
    sys.exit(main("shadow", ShadowSettings, build))
