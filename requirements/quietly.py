"""Run an installer with one line of progress in place of its output; when it fails, all of its output is shown.

python requirements/quietly.py TITLE WORD TOTAL COMMAND...

WORD begins a line of the command's output for each of TOTAL steps. Needs nothing but Python's own library: it runs
before anything is installed.
"""

from __future__ import annotations

import subprocess
import sys
import time

EVERY_S = 0.2


def main(title: str, word: str, total: int, command: list[str]) -> int:
    """The command's exit code."""
    terminal, started = sys.stderr.isatty(), time.monotonic()
    said: list[str] = []
    done, told = 0, 0.0
    say(f"{title} ..." + "\n" * (not terminal))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        try:
            for line in child.stdout or ():
                said.append(line)
                done += line.startswith(word)
                now = time.monotonic()
                if terminal and now - told >= EVERY_S:
                    told = now
                    end = "" if done < total else ", putting them into place"
                    say(f"\r\033[K{title}: {done} of {total}{end}")
        except KeyboardInterrupt:
            child.wait()
            say(f"\n{title}: stopped\n")
            return 130
    if child.returncode:
        say(f"\n{''.join(said)}{title} failed with exit code {child.returncode}: {' '.join(command)}\n")
    else:
        say("\r\033[K" * terminal + f"{title}: done in {time.monotonic() - started:.0f} s\n")
    return child.returncode


def say(text: str) -> None:
    """To the terminal, at once."""
    sys.stderr.write(text)
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]))
