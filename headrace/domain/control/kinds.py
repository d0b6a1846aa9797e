"""Every kind of control event, by the name that its records have. To add one is to add its class here."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.breach import BREACH_KINDS
from headrace.domain.control.dark_models import DARK_KINDS
from headrace.domain.control.drift import DRIFT_KINDS
from headrace.domain.control.kpi import KPI_KINDS
from headrace.domain.control.release import RELEASE_KINDS
from headrace.domain.control.retrain import RETRAIN_KINDS

KINDS: Mapping[str, type[ControlFinding]] = {
    kind.type: kind for kind in (*BREACH_KINDS, *DARK_KINDS, *DRIFT_KINDS, *RELEASE_KINDS, *RETRAIN_KINDS, *KPI_KINDS)
}
