"""The catalogue of a pipeline: each feature with who reads it, and one of them whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.domain.pipeline.feed.spec import EVENTS_FEED, LABELS_FEED
from headrace.domain.pipeline.wiring import Contracts
from headrace.operations.catalogue.features import CatalogueFeature, catalogue_features, feature_named
from headrace.operations.catalogue.freshness import Freshness, freshness
from headrace.operations.catalogue.usage import FeatureReader, known_models, readers_of
from headrace.streaming.process.settings import Settings


@dataclass(frozen=True, slots=True)
class ListedFeature:
    """A feature and who reads it."""

    feature: CatalogueFeature
    readers: Sequence[FeatureReader]


@dataclass(frozen=True, slots=True)
class FeatureCatalogue:
    """All features of a pipeline; `unknown`: what could not be told of who reads them, a sentence each."""

    pipeline: str
    revision: int
    features: Sequence[ListedFeature]
    unknown: Sequence[str]


@dataclass(frozen=True, slots=True)
class ShownFeature:
    """One feature whole.

    Attributes:
        topics: that it is made of, by name on the broker, beginning with those that producers write.
        served_on: the topic that carries it.
        unknown: as in `FeatureCatalogue`.
    """

    pipeline: str
    feature: CatalogueFeature
    readers: Sequence[FeatureReader]
    topics: Sequence[str]
    served_on: str
    freshness: Freshness
    unknown: Sequence[str]


def feature_catalogue(settings: Settings, contracts: Contracts) -> FeatureCatalogue:
    """Every feature of the pipeline file, with who reads it."""
    pipeline, models = contracts.pipeline, known_models(settings, contracts)
    features = [
        ListedFeature(each, readers_of(pipeline, each.feature, models)) for each in catalogue_features(pipeline)
    ]
    return FeatureCatalogue(pipeline.name, pipeline.revision, features, models.unknown)


def shown_feature(settings: Settings, contracts: Contracts, name: str, now: float) -> ShownFeature:
    """One feature with its lineage and freshness; `now`: seconds since the epoch.

    Raises:
        ConfigurationError: there is none of this name.
    """
    pipeline = contracts.pipeline
    feature = feature_named(pipeline, name)
    models = known_models(settings, contracts)
    view = pipeline.views[feature.view]
    logical = [EVENTS_FEED, "events"]
    logical += [LABELS_FEED, "labels", view.exchange] if feature.labels else []
    logical += [view.topic] if view.foreign(pipeline) else []
    topics = [contracts.topics[each] for each in logical if each in contracts.topics]
    return ShownFeature(
        pipeline.name,
        feature,
        readers_of(pipeline, name, models),
        topics,
        pipeline.topic("features"),
        freshness(settings, contracts, name, now),
        models.unknown,
    )
