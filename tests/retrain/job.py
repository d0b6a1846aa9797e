"""A training that fits nothing: it says what the protocol asks for, and waits until it is told to end."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def main(folder: Path, path: Path) -> int:
    """One job; `folder` takes a line for each that begins, and has `go` or `fail` once it is to end."""
    order = json.loads(path.read_text())
    with (folder / "began.jsonl").open("a") as began:
        began.write(json.dumps({"pid": os.getpid(), "order": order}) + "\n")
    say({"progress": {"stage": "read", "done": 12}})
    sys.stdout.write("a library speaks\n")
    say({"progress": {"stage": "fit"}})
    while not (folder / "go").exists():
        if (folder / "fail").exists():
            say({"failure": {"kind": "refused", "reason": "no rows to learn from"}})
            return 1
        time.sleep(0.05)
    made = {"model": "m", "version": order["version"], "digest": "d", "uri": "file:///m", "metrics": {"auc_roc": 0.9}}
    say({"result": {**made, "order": order, "cpu_s": 1.5}})
    return 0


def say(line: dict[str, object]) -> None:
    """Print a line of the protocol."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
