"""The process of a conversion: `python -m headrace.domain.registry DIRECTORY`, started by `conversion`.

It gives up the network, other files and other processes before it imports a library, then reads the model.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from headrace.domain.registry.jail import cut_off


def _main(own: Path, problems: list[str]) -> None:
    # Imported only now: libraries start threads, and those would not be cut off.
    from headrace.domain.registry.conversion_work import carry_out

    carry_out(own, problems)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    _main(place, cut_off(place, [Path(each) for each in json.loads((place / "order.json").read_bytes())["reads"]]))
