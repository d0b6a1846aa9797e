"""Reads `owner` and `description` of a view or a feature, and features that are written with them."""

from __future__ import annotations

from headrace.domain.pipeline.document import Node, Problems
from headrace.domain.pipeline.documentation.spec import NOTHING, Note
from headrace.domain.pipeline.form import Form

KEYS = ("owner", "description")
IS = "is"
"""The key under which a feature with a note has what it is."""
LONGEST = 1_000


def read_note(form: Form) -> Note:
    """The two entries of a mapping, where they are there."""
    said = {}
    for key in KEYS:
        text = form.text(key)
        if text is not None and len(text) > LONGEST:
            remedy = f"write {LONGEST:,} at most, and keep the rest where people read longer texts"
            form.problems.add(form.node_of(key), f"{key} has {len(text):,} characters", remedy)
        said[key] = " ".join((text or "").split())
    return Note(**said)


def read_noted(node: Node, example: str, problems: Problems) -> tuple[Node | None, Note]:
    """What a feature is, and its note: `mean(amount)`, or `{is: mean(amount), owner: risk, description: ...}`.

    The first is None, with a problem, where it is not said.
    """
    if node.entries is None:
        return node, NOTHING
    form = Form(node, problems, (IS, *KEYS), f"{{{IS}: {example}, description: what it means}}")
    return form.require(IS, f"say what it is: {IS}: {example}"), read_note(form)
