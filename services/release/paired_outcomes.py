"""What outcomes say of the release that is active, as parts tell them."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from headrace.columnar import packing
from headrace.columnar.packing import Column
from headrace.domain.pipeline.release.spec import Release
from headrace.domain.records.outcome_parts import pack, unpack
from headrace.domain.records.release_parts import MOST
from headrace.domain.release.evidence.evidence_fold import EvidenceFold
from headrace.domain.release.evidence.evidence_looks import EvidenceLooks
from headrace.domain.release.looks import questions
from headrace.domain.release.states import ModelRelease, Stage
from headrace.errors import ContractError
from headrace.streaming.watermarks.source_marks import UNSEEN


def outcomes_content(part: Mapping[str, Any]) -> dict[str, Any]:
    """What a part of outcomes tells, `told` an `OutcomePart`. Raises ContractError where it is damaged."""
    partitions, number = part["partitions"], part["source_partition"]
    if not 0 <= number < partitions <= MOST:
        raise ContractError(f"there is no partition {number} of {partitions}")
    own = {name: part[name] for name in ("next_offset", "progress", "idle", "partitions", "time", "seen")}
    return {"source": number, **own, "told": unpack(part["payload"])}


def saved_content(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a part of outcomes that waits, as JSON has it."""
    own = {name: value for name, value in content.items() if name != "told"}
    return own | {"payload": b64encode(pack(content["told"])).decode()}


def loaded_content(said: Mapping[str, Any]) -> dict[str, Any]:
    """What `saved_content` took."""
    own = {name: value for name, value in said.items() if name != "payload"}
    return own | {"told": unpack(b64decode(said["payload"]))}


class PairedOutcomes:
    """Evidence on the release that is active, against each of its baselines.

    Args:
        rules: of the pipeline file.
        chances: whether models tell chances. Where they tell values and the rules have no bound of squared errors,
            there is no evidence: people decide.
        classes: of the models; 0 where they tell a single chance, or a value.
    """

    def __init__(self, rules: Release, chances: bool, classes: int = 0) -> None:
        self._bound = None if chances else rules.bound
        self._matures_after = rules.matures_after
        self._silent = not chances and rules.bound is None
        self._fold = EvidenceFold(chances=chances, classes=classes)
        self._asked: set[str] = set()

    @property
    def reached(self) -> int:
        """Stream time, milliseconds: before it all events are mature."""
        return self._fold.reached

    @property
    def behind(self) -> bool:
        """Whether something that was told has not its turn yet."""
        return self._fold.behind

    def ask(self, release: ModelRelease | None) -> None:
        """Ask what this release needs, from here on, and nothing else any more."""
        wanted = {} if release is None or self._silent else questions(release, self._bound)
        for name in sorted(self._asked - wanted.keys()):
            self._fold.end(name)
        for name, question in wanted.items():
            if name not in self._asked and question.candidate != question.baseline:
                self._fold.begin(name, question)
        self._asked = {name for name, question in wanted.items() if question.candidate != question.baseline}
        if release is not None and release.stage is Stage.GUARDED:
            for name in self._asked:  # events of now mature so much later
                self._fold.answers_from(name, release.since + self._matures_after)

    def take(self, content: Mapping[str, Any]) -> list[EvidenceLooks]:
        """Take up what a part tells; the looks that follow."""
        part = content["told"]
        self._fold.count(part.digests, part.corrected.tolist(), part.repeated.tolist())
        looks = self._fold.take(
            content["source"],
            content["next_offset"],
            content["progress"],
            content["idle"],
            content["partitions"],
            part.digests,
            part.rows,
            content.get("seen", UNSEEN),  # an earlier version kept parts without
        )
        return [*looks]

    def standing(self, release: ModelRelease | None) -> list[EvidenceLooks]:
        """A look at how it stands; none where nothing is asked of this release."""
        names = [] if release is None else [name for name in questions(release, self._bound) if name in self._asked]
        return [self._fold.look(names)] if names else []

    def save(self) -> dict[str, Column]:
        """As columns."""
        asked = {"asked": packing.json_column(sorted(self._asked))}
        return asked | {f"fold.{name}": column for name, column in self._fold.save().items()}

    def load(self, columns: Mapping[str, Column], partitions: int) -> None:
        """Take over what `save` told. `partitions`: of outcomes, now."""
        self._asked = set(packing.json_of(columns["asked"]))
        self._fold.load(packing.beneath(columns, "fold."), partitions)
