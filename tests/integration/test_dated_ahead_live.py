"""One event dated today in a backfill of long ago, on real services; and a watermark that is set right by hand."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path

import typer
from click.testing import Result
from typer.testing import CliRunner

from headrace.cli.pipeline.watermark import watermark
from tests.integration.strange import START, freight, publish, shipments
from tests.project import Project

HOUR = 3_600_000


def say(project: Project, *words: str) -> Result:
    """What `headrace watermark` says, in JSON."""
    app = typer.Typer()
    app.command()(watermark)
    return CliRunner().invoke(app, [str(project.path), "--bootstrap", project.bootstrap, "--json", *words])


def test_one_event_of_today_in_a_backfill(kafka: str, redis_server: str, tmp_path: Path) -> None:
    """All others are answered; a drained member's watermark is shown, mended, and goes on from there."""
    source, name = freight(tmp_path / "source"), f"test_{uuid.uuid4().hex[:12]}"
    project = Project(source, name, tmp_path / "own", kafka, redis_server, 1)
    project.settings = {"HEADRACE_CHECKPOINT_S": "1"}
    try:
        for member in ("enrich-0", "views-0"):
            project.start(member)
        odd = shipments(project, 1, 10_000, sent_at=int(time.time() * 1000) - 60_000)
        publish(project, "events", [*shipments(project, 1_000), *odd, *shipments(project, 1_000, 1_000)])
        found = project.await_count("features", 2_001)
        assert project.count("dead-letters") == 0
        assert found.num_rows == 2_001
        assert project.stop("enrich-0") == 0
        (standing,) = json.loads(say(project).stdout)
        newest = START + 1_999 * 100
        assert newest - 60_000 <= standing["watermark"] <= newest
        assert standing["credible"] == newest
        assert standing["ahead"] == 1
        earlier = newest - 10 * HOUR
        end = time.monotonic() + 120
        while True:  # until the session of the static member that was drained has ended
            result = say(project, "--mend", "0", "--to", str(earlier))
            if result.exit_code == 0:
                break
            assert "drain them" in str(result.exception), result.output
            assert time.monotonic() < end
            time.sleep(1)  # Polls the broker: there is no event to wait for.
        (standing,) = json.loads(result.stdout)
        assert standing["watermark"] == earlier
        publish(project, "events", shipments(project, 10, 5_000, sent_at=earlier + HOUR))
        project.start("enrich-0")
        project.await_count("features", 2_011)
        assert project.count("dead-letters") == 0
    finally:
        project.close()
