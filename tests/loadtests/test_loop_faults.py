"""What must be equal of two runs of the loop; `make loop-faults` makes the runs, which take longer than tests may."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.domain.models.package import Manifest, ModelPackage, Training, pack
from loadtests.loop_faults.normal_form import NormalForm, counted_digest
from tests.models import graphs
from tests.models.live import manifest


def test_a_difference_is_told() -> None:
    """Where it is, and what it is in both."""
    first = NormalForm({"kinds": ["a", "b"], "plans": [{"version": 1}], "dead letters": 0})
    assert first.differences(NormalForm(dict(first.parts))) == []
    second = NormalForm({"kinds": ["a", "b", "b"], "plans": [{"version": 2}], "dead letters": 0})
    told = first.differences(second)
    assert any(each.startswith("kinds: only second") for each in told)
    assert any(each.startswith("plans: [0] version: 1 | 2") for each in told)
    assert not any(each.startswith("dead letters") for each in told)


def test_a_package_is_the_same_where_only_control_records_lie_between_its_rows() -> None:
    """Its digest is not, for it names offsets; what was read, as numbers of records, is."""

    def package(stop: int, positives: int = 3) -> ModelPackage:
        training = Training(start=1, end=2, rows=9, positives=positives, offsets={"loop.outcomes": {0: (0, stop)}})
        said: Manifest = manifest("1").model_copy(update={"training": training})
        return pack(said, graphs.logistic((0.01, -0.1, 0.01)))

    def counted(offsets: Mapping[str, Any]) -> dict[str, Any]:
        return {partition: [0, 600] for partition in offsets}

    assert package(602).digest != package(604).digest
    assert counted_digest(package(602), counted) == counted_digest(package(604), counted)
    assert counted_digest(package(602), counted) != counted_digest(package(602, positives=4), counted)
