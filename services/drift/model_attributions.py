"""Models as `drift` asks them: for what their inputs contribute."""

from __future__ import annotations

from headrace.domain.drift.reference_profile import AttributionProfile
from headrace.domain.explanations.attributions import Attributions, attributions_like
from headrace.domain.models.package import ModelPackage
from headrace.errors import ContractError
from headrace.streaming.process.logs import logger

log = logger("drift")


def opened(package: ModelPackage, profile: AttributionProfile) -> Attributions | None:
    """The attributions that a package's reference is of; None, and a line in the log, where the model does not run."""
    try:
        return attributions_like(package, profile.sample)
    except ContractError as error:
        log.error("contributions not watched", model=package.title, reason=str(error))
        return None
