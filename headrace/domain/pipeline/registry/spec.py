"""The `registry` section as frozen values; everything in them has been checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace.domain.pipeline.document import Scalar

ALIAS, CHAMPION = "challenger", "champion"


@dataclass(frozen=True, slots=True)
class ModelRegistry:
    """Which registered model of MLflow is followed, and how its words become ours.

    Attributes:
        mlflow: address of the registry, as MLflow's `MLFLOW_REGISTRY_URI`; None: whoever follows it says where.
        model: what it is called there; None: as the pipeline's model.
        alias: the version behind it is brought in.
        champion: alias that is moved to the version that headrace promotes.
        names: where they differ: a column of the model -> the feature that feeds it.
        order: features in the order of the model's columns, for models whose columns have no names.
        positive: the class whose probability is the score; None where the model's classes leave no doubt.
    """

    mlflow: str | None = None
    model: str | None = None
    alias: str = ALIAS
    champion: str = CHAMPION
    names: Mapping[str, str] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    positive: Scalar = None
