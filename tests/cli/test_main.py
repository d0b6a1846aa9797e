"""The table of commands."""

from __future__ import annotations

import subprocess
import sys

import pytest

from headrace.cli.main import COMMANDS, load
from tests.cli.terminal import Terminal


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_loads_and_says_what_it_does(name: str) -> None:
    """Every command of the table is there, and has a help text."""
    assert load(name).help


def test_help_needs_nothing_of_what_commands_import() -> None:
    """`headrace --help` imports neither Kafka nor Arrow, so it answers at once."""
    code = (
        "import sys\nfrom headrace.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit: pass\n"
        "print(sorted({'confluent_kafka', 'pyarrow', 'numba', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")
    assert all(name in done.stdout for name in COMMANDS)


def test_a_mistake_of_a_person_is_told_with_its_remedy(terminal: Terminal) -> None:
    """What a person wrote wrongly ends with exit code 2 and a sentence, not with a traceback."""
    code, _, errors = terminal.run("lag", "card_frod")
    assert code == 2
    assert "did you mean card_fraud?" in errors
    assert "Traceback" not in errors
