"""How evidence stands when stream time reaches steps: columns of looks, and what one look is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headrace.domain.release.evidence.outcome_rows import Ints
from headrace.domain.release.paired_evidence import EvidenceCourse, PairedMoments


@dataclass(frozen=True, slots=True)
class PairStanding:
    """How the evidence on two models stands.

    Attributes:
        log_harm, log_safety: natural logarithms of the evidence that the candidate loses more by more than the margin,
            and that it does not.
        most_harm, most_safety: the largest that each ever was: what ever reached 1 / alpha has.
        moments: what the events that were taken in say.
        known: pairs of scores that are known, mature or not.
        late: pairs that came when their event was mature already.
        unlabelled: pairs whose event matured without a label.
        alone: events that the candidate answered and the baseline did not.
        baseline_alone: the other way round.
        unusable: pairs with a score that is no chance.
    """

    log_harm: float
    log_safety: float
    most_harm: float
    most_safety: float
    moments: PairedMoments
    known: int
    late: int
    unlabelled: int
    alone: int
    baseline_alone: int
    unusable: int


@dataclass(frozen=True, slots=True)
class EvidenceLook:
    """How all evidence stands when stream time reached a step.

    Attributes:
        time: event time before which all events are mature, milliseconds.
        offsets: by partition of outcomes, the offset after the newest row that was taken up.
        standings: by the name of the question.
    """

    time: int
    offsets: Mapping[int, int]
    standings: Mapping[str, PairStanding]


@dataclass(frozen=True, slots=True, eq=False)
class PairLooks:
    """How the evidence on two models stands at looks.

    Attributes:
        course: of the evidence.
        tallies: int64 [looks, 5]: what is counted, as `PairStanding` has it, from `late` on.
    """

    course: EvidenceCourse
    tallies: Ints

    def standing(self, look: int) -> PairStanding:
        """At one of them."""
        course, (harm, safety, most_harm, most_safety) = self.course, self.course.logs[look].tolist()
        late, unlabelled, alone, baseline_alone, unusable = self.tallies[look].tolist()
        return PairStanding(
            harm, safety, most_harm, most_safety, course.moments(look), int(course.known[look]),
            late, unlabelled, alone, baseline_alone, unusable,
        )  # fmt: skip  # in the order of the fields


@dataclass(frozen=True, slots=True, eq=False)
class EvidenceLooks:
    """Some looks, one after the other; an `EvidenceLook` is made of one where somebody asks for it.

    Attributes:
        times: int64, see `EvidenceLook`.
        offsets: int64 [looks, partitions], 0 where no row of a partition was taken up.
        pairs: by the name of the question.
    """

    times: Ints
    offsets: Ints
    pairs: Mapping[str, PairLooks]

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[EvidenceLook]:
        for look, time in enumerate(self.times.tolist()):
            standings = {name: pair.standing(look) for name, pair in self.pairs.items()}
            yield EvidenceLook(time, self.offsets_at(look), standings)

    def offsets_at(self, look: int) -> dict[int, int]:
        """By partition of outcomes, the offset after the newest row that was taken up."""
        return {source: offset for source, offset in enumerate(self.offsets[look].tolist()) if offset}
