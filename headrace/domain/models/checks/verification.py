"""Whether a model package is what it says: every check by itself, so that a damaged one tells all that is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from headrace.domain.models.checks.graph_policy import inspect
from headrace.domain.models.checks.sandbox import Limits, admit
from headrace.domain.models.checks.score_range import finite, outside
from headrace.domain.models.forest import read
from headrace.domain.models.matrix import FeatureMatrix
from headrace.domain.models.package import LARGEST, PROFILE, SAMPLE, ModelPackage, digest_of, load, names_in
from headrace.domain.models.positive_class import scored
from headrace.domain.models.sessions import PARITY, OnnxSession, Scores, SessionSettings
from headrace.errors import ContractError

SCORED = 1_024
"""Rows that both executors score."""


Output = Literal["probability", "value", "class"]

REMEDY = "Take the directory away and store the package anew from where it was made"


@dataclass(frozen=True, slots=True)
class PackageCheck:
    """What came of one check; `detail` is a sentence, with the remedy where it failed."""

    name: str
    state: Literal["passed", "failed", "skipped"]
    detail: str


def verify(
    folder: Path,
    digest: str | None = None,
    title: str | None = None,
    features: pa.Schema | None = None,
    earlier: Path | None = None,
    output: Output | None = None,
    stacking: bool | None = None,
    classes: tuple[str, ...] = (),
) -> Iterator[PackageCheck]:
    """Check a package from its bytes up to its scores; what cannot be checked any more is skipped.

    Args:
        folder: the package.
        digest: the identity under which somebody keeps it; None: nobody has named one.
        title: `name@version` under which it is kept.
        features: schema of the features topic that it should fit.
        earlier: a verified copy with that digest; tells which file was changed since.
        output: what the pipeline takes scores for.
        stacking: whether it is to be fed other models' scores; None: as it says itself.
        classes: of the pipeline, where it has several.
    """
    files, faults = _files(folder)
    if faults:
        yield from (PackageCheck("files", "failed", fault) for fault in faults)
        yield from (PackageCheck(name, "skipped", "a file is missing") for name in ("digest", "manifest", *RUNNING))
        return
    sizes = ", ".join(f"{name} {len(content):,} bytes" for name, content in files.items())
    yield PackageCheck("files", "passed", sizes)
    yield _digest(files, digest, earlier)
    try:
        package = load(folder)
    except ContractError as fault:
        yield PackageCheck("manifest", "failed", _brief(fault, folder))
        yield from (PackageCheck(name, "skipped", "nothing says what the graph is") for name in RUNNING)
        return
    if title is None or title == package.title:
        yield PackageCheck("manifest", "passed", f"{package.title}, {len(package.manifest.inputs)} inputs")
        yield _reference(package)
    else:
        yield PackageCheck("manifest", "failed", f"it says that it is {package.title}, but lies where {title} should")
    yield from _graph(package, output, classes if output else scored(package.manifest))
    yield _inputs(package, features, stacking)


RUNNING = ("operators", "trial", "answer", "parity", "inputs")
"""Checks that need a manifest and a graph."""


def _files(folder: Path) -> tuple[dict[str, bytes], list[str]]:
    files, faults = {}, []
    for name in names_in(folder):
        path = folder / name
        if not path.is_file():
            faults.append(f"{name} is missing")
        elif path.stat().st_size > LARGEST:
            faults.append(f"{name} has {path.stat().st_size:,} bytes; {LARGEST:,} are allowed")
        else:
            files[name] = path.read_bytes()
    return files, faults


def _digest(files: dict[str, bytes], digest: str | None, earlier: Path | None) -> PackageCheck:
    found = digest_of(files)
    if digest is None:
        return PackageCheck("digest", "passed", f"{found}; nothing names another")
    if found == digest:
        return PackageCheck("digest", "passed", found)
    both = f"its bytes make {found[:15]}, it was stored as {digest[:15]}"
    if earlier is None:
        return PackageCheck("digest", "failed", f"a file was changed since it was stored: {both}. {REMEDY}")
    before = {name: (earlier / name).read_bytes() for name in names_in(earlier)}
    changed = sorted(name for name in {*files, *before} if files.get(name) != before.get(name))
    return PackageCheck(
        "digest", "failed", f"{' and '.join(changed)} changed since it was last fetched: {both}. {REMEDY}"
    )


def _reference(package: ModelPackage) -> PackageCheck:
    """What its rows were like, as far as it says."""
    profile, rows = package.reference, package.held_out
    if profile is None:
        return PackageCheck("reference", "skipped", f"no {PROFILE}: drift learns from the first events; no {SAMPLE}")
    if rows is None:
        return PackageCheck("reference", "passed", f"{PROFILE}; no {SAMPLE}, so no estimates under shifted inputs")
    known = rows.reference()
    told = f"{len(known.scores):,} rows held out, {int(known.positive.sum()):,} positive"
    return PackageCheck("reference", "passed", f"{PROFILE}; {SAMPLE} of {told}")


def _graph(package: ModelPackage, output: Output | None, classes: tuple[str, ...]) -> Iterator[PackageCheck]:
    try:
        model = inspect(package)
    except ContractError as fault:
        yield PackageCheck("operators", "failed", _brief(fault, package.title))
        yield from (PackageCheck(name, "skipped", "the graph is not allowed to run") for name in RUNNING[1:4])
        return
    kinds = sorted({node.op_type for node in model.graph.node})
    yield PackageCheck("operators", "passed", f"{len(model.graph.node)} nodes: {', '.join(kinds)}")
    limits = Limits()
    try:
        unlimited = admit(package, limits, classes=classes)
    except ContractError as fault:
        yield PackageCheck("trial", "failed", _brief(fault, package.title))
        yield from (PackageCheck(name, "skipped", "it does not run") for name in RUNNING[2:4])
        return
    within = f"{limits.seconds:g} s" if unlimited else f"{limits.memory >> 20:,} MiB and {limits.seconds:g} s"
    told = f"loaded and ran within {within} of its own process"
    yield PackageCheck("trial", "passed", f"{told}; {unlimited}" if unlimited else told)
    rows = package.sample(SCORED)
    session = OnnxSession(package, SessionSettings(device="cpu", rows=SCORED, classes=classes))
    scores = session.run(rows)
    yield _answer_of_classes(scores, classes) if classes else _answer(package, session, scores, output)
    forest = read(model)
    if forest is None:
        yield PackageCheck("parity", "skipped", "ONNX Runtime alone runs it, and it holds no scores to compare with")
        return
    worst = float(np.abs(forest.score(rows) - scores).max())
    told = f"forest and ONNX Runtime differ by {worst:.1g} at most on {SCORED:,} rows"
    if worst <= PARITY:
        yield PackageCheck("parity", "passed", told)
    else:
        # Not a failure: whoever runs it finds the same and takes ONNX Runtime.
        yield PackageCheck("parity", "passed", f"{told}, more than {PARITY:g}: ONNX Runtime will run it")


def _answer(package: ModelPackage, session: OnnxSession, scores: Scores, output: Output | None) -> PackageCheck:
    """Whether the answer is a score, and which part of it."""
    manifest = package.manifest
    told = "one score a row"
    if session.columns > 1:
        name = "" if manifest.positive is None else f", class {manifest.positive}"
        told = f"column {session.place + 1} of {session.columns} is the score{name}"
    answered = finite(scores)
    if not answered.any():
        return PackageCheck(
            "answer", "failed", f"no trial row gets a finite score ({scores[0]:g}): nothing would be answered"
        )
    most, least = float(scores[answered].max()), float(scores[answered].min())
    if output == "probability" and not (least >= -PARITY and most <= 1 + PARITY):
        return PackageCheck(
            "answer",
            "failed",
            f"trial rows get scores from {least:g} to {most:g}, which are no probabilities: name an output that is "
            "one, or say output: value in the pipeline file's model",
        )
    if not answered.all():
        told += (
            f"; {int((~answered).sum()):,} of {len(scores):,} trial rows get no finite score: such events are refused"
        )
    return PackageCheck("answer", "passed", told)


def _answer_of_classes(scores: Scores, classes: tuple[str, ...]) -> PackageCheck:
    """Whether the answer is a probability of each class."""
    answered = finite(scores)
    if not answered.any():
        return PackageCheck("answer", "failed", "no trial row gets finite scores: nothing would be answered")
    strange = outside(scores)
    if strange.any():
        worst = scores[np.argmax(strange)]
        told = ", ".join(f"{score:g}" for score in worst[:5]) + (", ..." if len(worst) > 5 else "")
        detail = f"a trial row gets the scores {told}, which are no probabilities of classes that add up to 1"
        return PackageCheck("answer", "failed", f"{detail}: name an output that is, such as that behind a softmax")
    told = f"a probability for each of {len(classes)} classes: {', '.join(classes)}"
    if not answered.all():
        lost = int((~answered).sum())
        told += f"; {lost:,} of {len(scores):,} trial rows get no finite scores: such events are refused"
    return PackageCheck("answer", "passed", told)


def _inputs(package: ModelPackage, features: pa.Schema | None, stacking: bool | None) -> PackageCheck:
    if "members" in package.manifest.parameters if stacking is None else stacking:
        return PackageCheck(
            "inputs", "skipped", "it stacks the scores of other models; a plan that names it is checked"
        )
    if features is None:
        return PackageCheck("inputs", "skipped", "no pipeline was named; say --pipeline")
    try:
        FeatureMatrix.resolve(package.manifest.inputs, features, package.title)
    except ContractError as fault:
        return PackageCheck("inputs", "failed", _brief(fault, package.title))
    return PackageCheck("inputs", "passed", f"all {len(package.manifest.inputs)} are features of the pipeline")


def _brief(fault: ContractError, known: object) -> str:
    """The message without the name that whoever asked knows already."""
    return str(fault).removeprefix(str(known)).removeprefix("/").removeprefix(": ").strip()
