"""The parts without the `headrace` command: fetch them ahead of their first use, or stop them.

python -m headrace.devparts fetch kafka registry
python -m headrace.devparts down .headrace
"""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from headrace.devparts.home import down
from headrace.devparts.kafka import class_archive
from headrace.devparts.maven import fetch
from headrace.devparts.progress import bars
from headrace.errors import ConfigurationError


def main(arguments: list[str]) -> int:
    """Do it; 0, or 2 when something is missing or asked wrongly, which is then said."""
    console = Console(stderr=True)
    match arguments:
        case ["fetch", *parts] if parts:
            try:
                with bars(console) as report:
                    for part in parts:
                        files = fetch(part, report)
                        if part == "kafka":
                            class_archive(files, report)
            except ConfigurationError as error:
                console.print(str(error), style="red", markup=False)
                return 2
        case ["down", home]:
            down(Path(home))
        case _:
            console.print(str(__doc__), markup=False)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
