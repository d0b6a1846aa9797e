"""Training against serving: what a model was served beside its reference, and what was served beside the log."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.domain.pipeline.wiring import Contracts
from headrace.errors import ConfigurationError, ContractError
from headrace.operations.catalogue.reference_skew import ReferenceSkew, reference_skew
from headrace.operations.catalogue.serving_agreement import ServingAgreement, serving_agreement
from headrace.operations.progress import ProgressView
from headrace.operations.time_spans import Bounds, TimeSpan
from headrace.streaming.process.settings import Settings


@dataclass(frozen=True, slots=True)
class FeatureSkew:
    """Both, or why one of them is not known.

    Attributes:
        bounds: event times that were asked for.
        reference, agreement: None where they are not known; `reference_unknown`, `agreement_unknown` say why then.
    """

    pipeline: str
    bounds: Bounds
    reference: ReferenceSkew | None
    reference_unknown: str
    agreement: ServingAgreement | None
    agreement_unknown: str


def feature_skew(
    settings: Settings, contracts: Contracts, model: str | None, span: TimeSpan, progress: ProgressView
) -> FeatureSkew:
    """See `reference_skew` and `serving_agreement`; a model that somebody named has to be there.

    Raises:
        ConfigurationError: neither is known, or what was named is not there.
        Transient: Kafka or the model store does not answer.
    """
    reference, why = None, ""
    try:
        reference = reference_skew(settings, contracts, model, span, progress)
    except (ConfigurationError, ContractError) as fault:
        if model is not None:
            raise
        why = str(fault)
    agreement, why_not = None, ""
    try:
        agreement = serving_agreement(settings, contracts, span, progress)
    except (ConfigurationError, ContractError) as fault:
        if reference is None:
            raise
        why_not = str(fault)
    return FeatureSkew(contracts.pipeline.name, span.bounds, reference, why, agreement, why_not)
