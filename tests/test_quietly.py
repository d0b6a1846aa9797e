"""Installing quietly."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

QUIETLY = Path(__file__).resolve().parents[1] / "requirements" / "quietly.py"
CHATTY = "for n in range(100): print('Collecting', n)\nimport sys; print('the reason', file=sys.stderr); sys.exit({})"


def command(code: int) -> list[str]:
    """A chatty installer that ends with this code."""
    return [sys.executable, str(QUIETLY), "installing", "Collecting", "100", sys.executable, "-c", CHATTY.format(code)]


def test_success_is_two_lines() -> None:
    """Where all goes well and there is no terminal, it says what begins and how long it took."""
    ran = subprocess.run(command(0), capture_output=True, text=True, check=True)
    assert ran.stdout == ""
    assert [line.partition(" in ")[0] for line in ran.stderr.splitlines()] == ["installing ...", "installing: done"]


def test_failure_shows_everything() -> None:
    """Where it fails, all that the command said is shown, with its exit code, which is kept."""
    ran = subprocess.run(command(7), capture_output=True, text=True, check=False)
    assert ran.returncode == 7
    assert "Collecting 0\n" in ran.stderr
    assert "Collecting 99\n" in ran.stderr
    assert "the reason" in ran.stderr
    assert "failed with exit code 7" in ran.stderr


def test_a_terminal_sees_one_line_that_moves() -> None:
    """On a terminal the progress is one line, replaced by the end."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command(0), stderr=theirs, stdout=theirs) as child:
        os.close(theirs)
        said = b""
        try:
            while part := os.read(ours, 4096):
                said += part
        except OSError:  # How a terminal says that nobody holds its other end any more.
            pass
        finally:
            os.close(ours)
    assert child.returncode == 0
    assert b"of 100" in said
    assert said.count(b"\n") == 1
    assert b"installing: done in" in said
