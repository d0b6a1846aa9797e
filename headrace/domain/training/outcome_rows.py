"""Training rows from outcomes: each event once, with the label that held at a moment.

An outcome tells a label only once somebody knew it, so the outcomes up to some offsets hold no label that was not known
when these were written: what is read by offsets is as-of correct, whenever it is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.columnar.partitioner import partitions_of
from headrace.domain.pipeline.categories.spec import Category
from headrace.domain.pipeline.segments import Segments
from headrace.domain.pipeline.spec import Labels
from headrace.domain.plans.plans import CANARY, CHAMPION
from headrace.domain.training.dataset import NO_CATEGORIES, Dataset, labelled_rows, milliseconds
from headrace.errors import ConfigurationError

arrays: Any = pa  # their stubs know too few of the overloads
kernels: Any = pc

Ints = npt.NDArray[np.int64]
PUBLISHED = (CHAMPION, CANARY)
"""Arms whose answers are published: each event has one of these."""
NEVER = np.iinfo(np.int64).min


class KnownUntil:
    """Up to which moment outcomes say all that is known of labels; a fold of batches, in any order.

    The join concludes events of a partition of the exchange in the order of their times, and tells beside outcomes how
    far it is (`mature_before`); so does an event that is concluded without a label. The oldest of these borders is the
    moment. Outcomes of before that was told, in a partition where all events have a label, tell of the labels alone.

    Args:
        rule: of the pipeline's labels.
        partitions: of the exchange, over which events are spread by their ids.
    """

    def __init__(self, rule: Labels | None, partitions: int) -> None:
        self._rule = rule or Labels("", "")
        self._concluded = np.full(partitions, NEVER, np.int64)
        self._told = np.full(partitions, NEVER, np.int64)
        self._newest = NEVER

    def note(self, outcomes: pa.RecordBatch) -> None:
        """Take in rows of any arm."""
        told: Any = outcomes.filter(outcomes["mature_before"].is_valid())
        if told.num_rows:
            place = partitions_of(told["event_id"], len(self._told)).astype(np.int64)
            before = milliseconds(told["mature_before"]) - 1 + self._rule.matures_after
            np.maximum.at(self._concluded, place, before)
        rows: Any = outcomes.filter(kernels.greater_equal(outcomes["revision"], 0))
        if not rows.num_rows:
            return
        place = partitions_of(rows["event_id"], len(self._told)).astype(np.int64)
        as_of, known = milliseconds(rows["as_of"]), milliseconds(rows["label_time"].drop_null())
        silent = rows["label_time"].is_null().to_numpy(zero_copy_only=False)
        concluded = milliseconds(rows["event_time"])[silent] + self._rule.matures_after
        np.maximum.at(self._concluded, place[silent], concluded)
        np.maximum.at(self._told, place, as_of)
        self._newest = max(self._newest, int(as_of.max()), int(known.max()) if len(known) else NEVER)

    @property
    def moment(self) -> int:
        """Milliseconds; 0 before there are any outcomes."""
        if self._newest == NEVER:
            return 0
        if self._rule.unlabelled_is is None:
            return self._newest
        borders = np.where(self._concluded == NEVER, self._told, self._concluded)
        return int(borders[borders != NEVER].min())


def outcome_rows(
    outcomes: pa.Table,
    inputs: Sequence[str],
    rule: Labels | None,
    as_of: int,
    segments: Segments | None = None,
    categories: Mapping[str, Category] = NO_CATEGORIES,
    quantities: bool = False,
    classes: tuple[str, ...] = (),
) -> Dataset:
    """Labelled rows by time and event id, each event once, as `dataset.assemble` gives of features and labels.

    Of an event counts what the published arm's outcome said last, corrections by labels of after `as_of` left out.
    Where silence means something (`unlabelled_is`) only mature events count, see `dataset.truth`.

    Args:
        outcomes: columns of the outcomes topic and `_partition` and `_offset`, of any arms, in any order.
        inputs: the model's.
        rule: of the pipeline's labels.
        as_of: milliseconds, the moment whose knowledge counts.
        segments: of the pipeline, whose groups the rows are told with.
        categories: of the model, how those of its inputs become numbers that are some.
        quantities: whether labels are quantities, and not classes.
        classes: of the model, where it has several.

    Raises:
        ContractError: an input is no column of the outcomes.
        ConfigurationError: labels are no classes, or of one class only.
    """
    events, value = events_of(outcomes, rule, as_of)
    return labelled_rows(events, value, inputs, as_of, segments, categories, quantities, classes)


def events_of(outcomes: pa.Table, rule: Labels | None, as_of: int) -> tuple[pa.Table, npt.NDArray[np.float64]]:
    """Each event once, as its published arm's outcome said last, and its label, float64, NaN where it is not known.

    See `outcome_rows`, also for what it raises.
    """
    said = published(outcomes)
    if not said.num_rows:
        raise ConfigurationError("there are no outcomes of published predictions in this window; take a longer one")
    codes = said["event_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    order = _newest_last(said, codes)
    known = order[_label_times(said)[order] <= as_of]
    count = int(codes.max()) + 1
    last, held = np.full(count, -1), np.full(count, -1)
    last[codes[order]] = order
    held[codes[known]] = known
    labels = said["label"].fill_null(np.nan).to_numpy()
    value = np.where(held >= 0, labels[held], np.nan)
    if rule is not None and rule.unlabelled_is is not None:
        value[held < 0] = rule.unlabelled_is
        value[milliseconds(said["event_time"])[last] + rule.matures_after > as_of] = np.nan
    return said.take(pa.array(last)), value


def published(outcomes: pa.Table) -> pa.Table:
    """The outcomes of predictions that were published, without those that tell of a repeat alone."""
    arm = kernels.is_in(outcomes["arm"], value_set=arrays.array(PUBLISHED))
    return outcomes.filter(kernels.and_(arm, kernels.greater_equal(outcomes["revision"], 0)))


def _newest_last(said: pa.Table, codes: Ints) -> Ints:
    """Places of rows, those of an event (`codes`) in the order in which they were told.

    A canary's outcome of an event that a champion answered, too, has fewer revisions, and says no more.
    """
    by = (said[name].to_numpy() for name in ("_offset", "_partition", "revision"))
    return np.lexsort((*by, codes))


def _label_times(said: pa.Table) -> Ints:
    """When each label was known, milliseconds; NEVER where none was needed."""
    times: Any = said["label_time"].cast(pa.int64()).fill_null(NEVER)
    found: Ints = times.to_numpy()
    return found
