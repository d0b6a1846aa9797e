"""Reads the `retrain` section: what starts a training, how often at most, and what one may take."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import entry_points

from cronsim import CronSim, CronSimError

from headrace.domain.pipeline import form as forms
from headrace.domain.pipeline.document import Problems, closest
from headrace.domain.pipeline.form import Form
from headrace.domain.pipeline.retrain.spec import EVENTS, WALL, Retrain

TRIGGERS = ("drift", "harm", "scorecard", "schedule", "volume")
"""What may start a training by itself: an incident, harm that one does, a figure's breach, the time, outcomes."""
TRAINERS = ("lightgbm", "xgboost", "random_forest", "decision_tree", "logistic_regression")
NATIVE_TRAINERS = ("lightgbm", "xgboost")
"""Those of them that split by sets of categories."""
TRAINER_GROUP = "headrace.trainers"
"""The group of entry points under which installed packages offer trainers of their own."""
RETRAIN_KEYS = (
    "on",
    "trainer",
    "window",
    "schedule",
    "volume",
    "debounce",
    "cooldown",
    "settle",
    "per_month",
    "memory_mb",
    "limit",
    "clock",
)
RETRAIN_EXAMPLE = "{on: [drift], window: 7d}"
CRON_EXAMPLE = 'schedule: "0 3 * * 1" (Mondays at 3, UTC)'
HOUR, DAY = 3_600_000, 86_400_000


def read_retrain(form: Form, labels: bool, problems: Problems) -> Retrain:
    """The `retrain` section; `labels`: whether the file says what labels are."""
    if not labels:
        problems.add(form.node, "a training needs labels", "write the section labels, or leave retrain out")
    triggers: dict[str, None] = {}
    for node in form.items("on", "[drift, schedule]"):
        text = forms.text(node, problems)
        if text is not None and text not in TRIGGERS:
            problems.add(node, f"nothing is called {text} that could start a training", closest(text, TRIGGERS))
        elif text is not None:
            triggers[text] = None
    for name, example in (("schedule", CRON_EXAMPLE), ("volume", "volume: 50000 (outcomes)")):
        if name in triggers and name not in form:
            problems.add(form.node_of("on"), f"{name} is to start trainings, and nothing says when", f"add {example}")
        elif name in form and name not in triggers:
            problems.add(form.node_of(name), f"{name} starts nothing", f"add {name} to on, or take it out")
    window = form.duration("window", least=1)
    cooldown, settle = form.duration("cooldown"), form.duration("settle", least=1)
    limit, memory = form.duration("limit", least=1_000), form.whole("memory_mb", 256)
    return Retrain(
        on=tuple(triggers),
        trainer=form.choice("trainer", trainer_names()) or "lightgbm",
        window=window or 7 * DAY,
        schedule=_cron(form, problems),
        volume=form.whole("volume", 1),
        debounce=form.duration("debounce") or 0,
        cooldown=cooldown or 0,
        settle=settle or DAY,
        per_month=form.whole("per_month", 0),
        memory_mb=memory or 4_096,
        limit=limit or HOUR,
        clock=form.choice("clock", (WALL, EVENTS)) or WALL,
    )


def trainer_names() -> tuple[str, ...]:
    """Trainers that there are: ours, then those that installed packages offer, by name; nothing of them is loaded."""
    offered = {found.name for found in entry_points(group=TRAINER_GROUP)}
    return (*TRAINERS, *sorted(offered - set(TRAINERS)))


def _cron(form: Form, problems: Problems) -> str:
    """A cron expression that comes true at some time."""
    text = form.text("schedule")
    if text is None:
        return ""
    try:
        next(CronSim(text, datetime(2024, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration):
        problems.add(form.node_of("schedule"), f"{text} is no cron expression", f"write {CRON_EXAMPLE}")
        return ""
    return text
