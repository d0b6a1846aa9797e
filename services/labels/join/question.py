"""What a pipeline asks of a join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.domain.pipeline.spec import Labels
from headrace.errors import ContractError


@dataclass(frozen=True, slots=True)
class JoinQuestion:
    """What a pipeline asks of labels.

    Attributes:
        matures_after, expires_after: milliseconds.
        unlabelled: the label of an event that none came for in time; None: not known.
        sources: label sources by rank.
        partitions: how many each source topic has, in the order of `exchange_batch.KINDS`.
        classes: of the pipeline's model; none where it gives no chances of several.
    """

    matures_after: int
    expires_after: int
    unlabelled: float | None
    sources: tuple[str, ...]
    partitions: tuple[int, ...]
    classes: tuple[str, ...] = ()

    @property
    def answer(self) -> int:
        """Numbers of a prediction beside its score: the chance of each class, and the place of the one decided on."""
        return len(self.classes) + 1 if self.classes else 0

    def check_classes(self, then: tuple[str, ...]) -> None:
        """Raise ContractError where a state is of other classes."""
        if then != self.classes:
            was, now = (", ".join(names) or "none" for names in (then, self.classes))
            raise ContractError(
                f"state snapshot: its predictions are of the classes {was}, and the pipeline file says {now} now: "
                "change the file back, or give the pipeline another name"
            )


def question_of(rule: Labels, partitions: Sequence[int], classes: tuple[str, ...] = ()) -> JoinQuestion:
    """What the rule of a pipeline asks, with so many partitions of each source, of a model's classes."""
    unlabelled = rule.unlabelled_is
    return JoinQuestion(rule.matures_after, rule.expires_after, unlabelled, rule.sources, tuple(partitions), classes)
