"""The `release` section: what the page shows is read, and what is left out has a default."""

from __future__ import annotations

import re
from pathlib import Path

from headrace.domain.pipeline.check import check, load
from headrace.domain.pipeline.release.gate_rules import GateRule
from headrace.domain.pipeline.release.spec import DAY, ExplanationStability, Fairness, GoldenRows, Release
from headrace.domain.pipeline.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]


def with_section(folder: Path, section: str) -> Path:
    """card_fraud with another `release` section."""
    text = (ROOT / "pipelines" / "card_fraud.yaml").read_text()
    path = folder / "card_fraud.yaml"
    path.write_text(re.sub(r"^release:\n(  .*\n)+", section, text, flags=re.MULTILINE))
    return path


def test_the_section_on_the_page_is_read(tmp_path: Path) -> None:
    """Every key, and each as it stands there."""
    (block,) = re.findall(r"```yaml\n(release:\n.*?)```", (ROOT / "docs" / "release.md").read_text(), re.DOTALL)
    path = with_section(tmp_path, block)
    workspace = Workspace.of(ROOT / "pipelines" / "card_fraud.yaml")
    assert check(path, workspace) == []
    found = load(path, workspace).release
    everyone = ("ana", "ben", "eva")
    assert found == Release(
        gates={
            "average_precision": GateRule("better"),
            "auc_roc": GateRule("not_worse", 0.01),
            "precision_at_100": GateRule("at_least", 0.3),
        },
        groups={"amount_band": {"average_precision": GateRule("not_worse", 0.05)}},
        fairness=Fairness("amount_band", 0.05),
        golden_rows=GoldenRows(5, 300_000_000),
        explanations=ExplanationStability(5, 0.6),
        minimum=10_000,
        approvals=2,
        people={
            "approve": everyone, "promote": ("ana",), "rollback": (*everyone, "ops"), "hold": (*everyone, "ops"),
        },
        canary=(0.05, 0.25, 1.0),
        each=DAY,
        shadow=2 * DAY,
        deadline=30 * DAY,
        guard=7 * DAY,
        matures_after=7 * DAY,
    )  # fmt: skip  # rows of names


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    """The time in the dark is that of a share; a margin may be a loss."""
    workspace = Workspace.of(ROOT / "pipelines" / "card_fraud.yaml")
    assert load(with_section(tmp_path, "release: {}\n"), workspace).release == Release(matures_after=7 * DAY)
    found = load(with_section(tmp_path, "release: {each: 2d, margin: 0.001}\n"), workspace).release
    assert found is not None
    assert (found.shadow, found.margin_share, found.margin_offset) == (2 * DAY, 0.0, 0.001)
