"""What a command line says of a model that is added: its name, what feeds it, and the rules for one of MLflow's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headrace.domain.pipeline.registry.spec import ModelRegistry
from headrace.domain.pipeline.wiring import Contracts
from headrace.errors import ConfigurationError
from headrace.operations.registry.file_addition import FileWishes


def title(words: Sequence[str]) -> tuple[str | None, str | None]:
    """(name, version) of what stands before the source; None: nobody says.

    >>> title(["fraud@7"]), title(["fraud"]), title([])
    (('fraud', '7'), ('fraud', None), (None, None))

    Raises:
        ConfigurationError: there are several words.
    """
    if len(words) > 1:
        raise ConfigurationError(f"{' '.join(words)}: write one NAME, or NAME@VERSION, before the source, or none")
    name, _, version = (words[0] if words else "").partition("@")
    return name or None, version or None


def mapped(pairs: Sequence[str]) -> dict[str, str]:
    """`--map` options as column to feature.

    >>> mapped(["a=amount", "X=amount, customer.nb_tx_7d"])
    {'a': 'amount', 'X': 'amount, customer.nb_tx_7d'}

    Raises:
        ConfigurationError: one is not COLUMN=FEATURE, or a column is given twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        column, equals, feature = pair.rpartition("=")
        if not equals or not column or not feature:
            raise ConfigurationError(f"--map {pair}: write COLUMN=FEATURE, such as --map amount_eur=amount")
        if column in found:
            raise ConfigurationError(f"--map {column} is given twice: {found[column]} and {feature}; keep one")
        found[column] = feature
    return found


def rules_of(wishes: FileWishes, contracts: Contracts) -> ModelRegistry:
    """The rules for a model of MLflow: as the pipeline file has them, and before that as the command line does.

    Raises:
        ConfigurationError: something is said that is for files alone.
    """
    if wishes != FileWishes(names=wishes.names, positive=wishes.positive, unpickle=wishes.unpickle):
        raise ConfigurationError(
            "NAME, --classes, --output, --sample and --expected are for models in a file; of MLflow's this is known"
        )
    rules = contracts.pipeline.registry or ModelRegistry()
    names = {**rules.names, **wishes.names}
    positive = rules.positive if wishes.positive is None else wishes.positive
    return replace(rules, names=names, positive=positive, order=() if wishes.names else rules.order)
