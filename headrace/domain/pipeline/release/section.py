"""Reads the `release` section."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.domain.pipeline import form as forms
from headrace.domain.pipeline.document import Node, Problems, closest
from headrace.domain.pipeline.form import Form
from headrace.domain.pipeline.release.spec import DAY, Fairness, Release
from headrace.domain.pipeline.spec import Segment

RELEASE_KEYS = (
    "gates", "minimum", "fairness", "approvals", "people", "canary", "each", "shadow", "deadline", "guard", "margin",
    "bound", "alpha_advance", "false_rollbacks_per_year", "releases_per_year",
)  # fmt: skip  # a row of words


def read_release(form: Form, segments: Mapping[str, Segment], problems: Problems) -> Release:
    """The `release` section; its fairness names a segment."""
    gates_form = Form(form.entries.get("gates"), problems, None, "{average_precision: better}")
    gates = {name: text for name, node in gates_form.named() if (text := forms.text(node, problems)) is not None}
    shares: list[float] = []
    for node in form.items("canary", "[5%, 25%, 100%]"):
        share = forms.share(node, problems)
        if share is not None and share <= (shares[-1] if shares else 0):
            problems.add(node, f"the share {node.text} is no larger than the last", "write them from low to high")
        elif share is not None:
            shares.append(share)
    if shares and shares[-1] != 1:
        problems.add(form.node_of("canary"), "the last share is not 100%", "end with 100%: the model takes over")
    approvals = form.whole("approvals", 0, 10)
    return Release(
        gates=gates,
        minimum=form.whole("minimum", 0) or 0,
        fairness=_fairness(form.entries.get("fairness"), segments, problems),
        approvals=1 if approvals is None else approvals,
        canary=tuple(shares) or (1.0,),
        each=form.duration("each") or 0,
        deadline=form.duration("deadline", least=1) or 30 * DAY,
    )


def _fairness(node: Node | None, segments: Mapping[str, Segment], problems: Problems) -> Fairness | None:
    if node is None:
        return None
    form = Form(node, problems, ("segment", "gap"), "{segment: amount_band, gap: 0.05}")
    form.require("segment", "name one of the segments")
    form.require("gap", "write the largest gap between two groups, such as gap: 0.05")
    segment, gap = form.text("segment"), form.number("gap", 0, 1)
    if segment is not None and segment not in segments:
        problems.add(form.node_of("segment"), f"no segment {segment}", closest(segment, segments))
    return Fairness(segment or "", gap or 0)
