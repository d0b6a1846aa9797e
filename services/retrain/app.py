"""The edge of `retrain`: the control topic, and the program that trains."""

from __future__ import annotations

import sys

from headrace.domain.pipeline.wiring import read_contracts
from services.retrain.member import RetrainMember
from services.retrain.settings import RetrainSettings

JOB = (sys.executable, "-m", "headrace.domain.training.job", "--with-parent")
"""What trains, unless an operator says otherwise."""
JUDGE = (sys.executable, "-m", "headrace.domain.evaluation", "--with-parent")
"""What judges a package."""


def build(settings: RetrainSettings) -> RetrainMember:
    """A member of `retrain`: triggers to answers, trainings, and evaluations."""
    contracts = read_contracts(settings)
    wiring = contracts.wiring(
        "retrain", settings, "control", ["control"], beside=["exchange"], aside=["outcomes", "plans"]
    )
    command = settings.job or JOB
    return RetrainMember(contracts.pipeline, wiring, command, JUDGE, settings)
