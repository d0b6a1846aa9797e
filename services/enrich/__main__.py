"""`python -m services.enrich [enrich|views]`."""

import sys

from services.enrich.app import build_enrich, build_views
from services.enrich.settings import EnrichSettings, ViewsSettings
from services.kit.serving import main

if __name__ == "__main__":
    if sys.argv[1:] == ["views"]:
        sys.exit(main("views", ViewsSettings, build_views))
    sys.exit(main("enrich", EnrichSettings, build_enrich))
