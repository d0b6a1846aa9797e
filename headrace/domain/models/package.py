"""The model package: a directory whose digest is the model's identity.

```
model.onnx    the graph, a single file
model.yaml    what it is: inputs in order, output, threshold, where it came from, what it was like
profile.json  optional: how inputs, score and loss lay in the rows that it was made of; what drift is measured against
sample.bin    optional, beside profile.json: labelled rows that it was judged by; what estimates under shift are made of
card.json     optional: what people should know who decide by it (`card`)
continuation.bin  optional: the trainer's own form of the model, from which it can go on; nothing that scores reads it
signature     optional; says who vouches for the digest, so it is no part of it
```

Nothing in a package is executed on load but the ONNX graph; there is no pickle anywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from headrace.domain.drift.reference_profile import ReferenceProfile
from headrace.domain.drift.reference_profile import parse as parse_profile
from headrace.domain.models import held_out, plain_yaml
from headrace.domain.models.answer_interval import AnswerInterval
from headrace.domain.models.card import ModelCard, parse_card
from headrace.domain.models.categories import CategoryCodes
from headrace.domain.pipeline.categories.spec import MOST_BUCKETS, MOST_LEVELS
from headrace.domain.quality import row_sample
from headrace.domain.quality.row_sample import RowSample
from headrace.errors import ContractError
from headrace.streaming.watermarks.event_time import EARLIEST, LATEST

GRAPH, MANIFEST, PROFILE, SAMPLE = "model.onnx", "model.yaml", "profile.json", "sample.bin"
CARD, CONTINUATION = "card.json", "continuation.bin"
FILES = (GRAPH, MANIFEST)
OPTIONAL = (PROFILE, SAMPLE, CARD, CONTINUATION)
LARGEST = 256 << 20  # bytes of one file: a package is fetched into memory by every member

Dtype = Literal["float32", "float64"]
Time = Annotated[int, Field(ge=EARLIEST, le=LATEST)]  # the years that dates know
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
MOST_INPUTS = 10_000
_TOLD = 5  # faults of a manifest that are told one by one
Class = StrictBool | StrictInt | StrictStr
"""Name of a class, as labels have it."""


class Input(BaseModel):
    """One input: the feature column that feeds it (`customer.avg_amount_7d`) and the dtype it is fed as.

    Of a category the graph is fed its number: its place among `levels`, or the bucket that its text is hashed into, one
    more for what is not known, and NaN for null; see `categories`.
    """

    model_config = ConfigDict(frozen=True)

    name: str = Field(min_length=1)
    dtype: Dtype = "float32"
    levels: tuple[StrictStr, ...] | None = Field(default=None, max_length=MOST_LEVELS)
    buckets: Annotated[int, Field(ge=2, le=MOST_BUCKETS)] | None = None

    @model_validator(mode="after")
    def _is_one_kind(self) -> Input:
        if self.levels is not None and self.buckets is not None:
            raise ValueError(f"{self.name} has levels and buckets, and a category has one of them")
        if len(set(self.levels or ())) < len(self.levels or ()):
            raise ValueError(f"levels of {self.name} are named twice")
        return self

    @property
    def codes(self) -> CategoryCodes | None:
        """Which numbers stand for which categories; None where it is a number itself."""
        if self.levels is None and self.buckets is None:
            return None
        return CategoryCodes(self.levels or (), self.buckets)


class Tuned(BaseModel):
    """Event times, in milliseconds and inclusive, of rows by whose labels the threshold was chosen."""

    model_config = ConfigDict(frozen=True)

    start: Time
    end: Time


class Training(BaseModel):
    """What the model was trained on: half-open offset ranges per topic and partition, and the event times in between.

    Attributes:
        start, end: event time in milliseconds since the epoch of the first and last training row, inclusive.
        rows, positives: counts of the rows that were fitted.
        offsets: topic name -> partition -> [from, to).
    """

    model_config = ConfigDict(frozen=True)

    start: Time = 0
    end: Time = 0
    rows: Count = 0
    positives: Count = 0
    offsets: dict[str, dict[Count, tuple[Count, Count]]] = {}

    @model_validator(mode="after")
    def _ends_after_it_began(self) -> Training:
        if self.end < self.start:
            raise ValueError(f"the last training row, at {self.end}, is older than the first, at {self.start}")
        return self

    @property
    def known(self) -> bool:
        """Whether it says which events it was fitted on."""
        return self.rows > 0


class Manifest(BaseModel):
    """`model.yaml`. Fields added later have a default, so that older packages stay readable; unknown ones are ignored.

    Attributes:
        inputs: in the order in which the graph takes them.
        output: name of the graph output that holds the probability of the positive class, or of every class.
        classes: names of the output's columns, in their order; None where the graph says them, or there is one column.
        positive: the class whose probability is the score; None where names leave no doubt, or each class gets a score.
        threshold: a score at or above it is a positive decision.
        interval: how far a quantity may be off; None where nobody says, and of classes.
        training, tuned: what it, and what its threshold was fitted on: duels leave these events out.
        reference: per input, its values at `QUANTILES` over the training rows; NaN-free; the material of trial rows.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=100)
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    inputs: tuple[Input, ...] = Field(min_length=1, max_length=MOST_INPUTS)
    output: str = "probability"
    classes: tuple[Class, ...] | None = Field(default=None, min_length=1)
    positive: Class | None = None
    threshold: float = Field(default=0.5, allow_inf_nan=False)
    interval: AnswerInterval | None = None
    training: Training = Training()
    tuned: Tuned | None = None
    parameters: dict[str, Any] = {}
    libraries: dict[str, str] = {}
    revision: str | None = None
    metrics: dict[str, FiniteFloat] = {}
    reference: dict[str, tuple[FiniteFloat, ...]] = {}

    @model_validator(mode="after")
    def _names_are_unique(self) -> Manifest:
        names = [i.name for i in self.inputs]
        doubled = sorted(name for name, times in Counter(names).items() if times > 1)
        if doubled:
            raise ValueError(f"inputs named twice: {', '.join(doubled)}")
        strange = sorted(set(self.reference) - set(names))
        if strange:
            raise ValueError(f"reference profile of {', '.join(strange)}, no inputs of the model")
        texts = [str(name) for name in self.classes or ()]
        if len(set(texts)) < len(texts):
            raise ValueError(f"classes are named twice: {', '.join(texts)}")
        if texts and self.positive is not None and str(self.positive) not in texts:
            raise ValueError(f"positive is {self.positive}, which is none of the classes {', '.join(texts)}")
        return self

    @property
    def known_spans(self) -> tuple[tuple[int, int], ...]:
        """Event times (first, last), milliseconds and inclusive, of rows that it, or its threshold, was fitted on."""
        spans = (self.training if self.training.known else None, self.tuned)
        return tuple((span.start, span.end) for span in spans if span is not None)

    def saw(self, times: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which event times, milliseconds, lie within these: of such rows it knows too much."""
        found = np.zeros(len(times), np.bool_)
        for first, last in self.known_spans:
            found |= (times >= first) & (times <= last)
        return found

    @property
    def input_names(self) -> tuple[str, ...]:
        """The feature columns, in the graph's order."""
        return tuple(i.name for i in self.inputs)


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A verified package in memory.

    Attributes:
        manifest: `model.yaml`, parsed.
        graph: the bytes of `model.onnx`.
        text: the bytes of `model.yaml`, as whoever wrote it wrote it: they are part of the identity.
        digest: `sha256:` and 64 hex digits, the package's identity.
        profile: the bytes of `profile.json`, None where there is none.
        judged: the bytes of `sample.bin`, None where there is none.
        card: the bytes of `card.json`, None where there is none.
        continuation: the bytes of `continuation.bin`, None where there is none.
    """

    manifest: Manifest
    graph: bytes
    text: bytes
    digest: str
    profile: bytes | None = None
    judged: bytes | None = None
    card: bytes | None = None
    continuation: bytes | None = None

    @property
    def model_card(self) -> ModelCard | None:
        """What it says of itself beyond the manifest; None where nothing. ContractError where it is no card."""
        return None if self.card is None else parse_card(self.card, f"{self.title}/{CARD}")

    @property
    def reference(self) -> ReferenceProfile | None:
        """What drift is measured against; None where the package does not say. ContractError where it is none."""
        return None if self.profile is None else parse_profile(self.profile, f"{self.title}/{PROFILE}")

    @property
    def held_out(self) -> RowSample | None:
        """Rows that it was judged by, in the bins of `reference`; None where the package has none, ContractError where
        they are no such rows.
        """
        if self.judged is None:
            return None
        return held_out.parse(self.judged, self.reference, f"{self.title}/{SAMPLE}")

    @property
    def title(self) -> str:
        """`name@version`, for people and logs; the digest is the identity."""
        return f"{self.manifest.name}@{self.manifest.version}"

    def sample(self, rows: int, seed: int = 0) -> npt.NDArray[np.float32]:
        """Plausible rows [rows, inputs], column-major: inputs drawn from their reference profiles, one in 50 missing.

        Inputs are drawn independently of each other; inputs without a profile are standard normal, categories any of
        those known, one in 50 none. The same seed gives the same rows.
        """
        rng = np.random.default_rng(seed)
        matrix = np.empty((rows, len(self.manifest.inputs)), dtype=np.float32, order="F")
        for column, given in enumerate(self.manifest.inputs):
            profile = self.manifest.reference.get(given.name)
            if given.codes is not None:
                matrix[:, column] = rng.integers(0, max(given.codes.unseen, 1), rows)
                matrix[rng.random(rows) < 0.02, column] = given.codes.unseen
            elif profile:
                at = rng.random(rows) * (len(profile) - 1)
                with np.errstate(over="ignore"):  # a profile may be of 64 bits
                    matrix[:, column] = np.interp(at, np.arange(len(profile)), profile)
            else:
                matrix[:, column] = rng.standard_normal(rows)
        matrix[rng.random(matrix.shape) < 0.02] = np.nan
        return matrix


def pack(
    manifest: Manifest,
    graph: bytes,
    profile: ReferenceProfile | None = None,
    judged: RowSample | None = None,
    card: ModelCard | None = None,
    continuation: bytes | None = None,
) -> ModelPackage:
    """A package of these parts, with its digest. `judged`: labelled rows in the bins of the profile."""
    text, said = _render(manifest), None if profile is None else profile.dump()
    rows = None if judged is None else row_sample.pack(judged)
    told = None if card is None else card.dump()
    found = ModelPackage(manifest, graph, text, "", said, rows, told, continuation)
    return replace(found, digest=digest_of(files_of(found)))


def digest_of(files: Mapping[str, bytes]) -> str:
    """Identity of a set of files: sha256 over the canonical JSON of their names, sizes and own sha256.

    >>> digest_of({"model.onnx": b"graph", "model.yaml": b"name: m"})[:21]
    'sha256:6c51581a7ec5f1'
    """
    listing = {n: {"sha256": hashlib.sha256(b).hexdigest(), "size": len(b)} for n, b in files.items()}
    canonical = json.dumps(listing, sort_keys=True, separators=(",", ":")).encode()
    return "sha256:" + hashlib.sha256(canonical).hexdigest()


def save(package: ModelPackage, path: Path) -> None:
    """Write the package into a new or empty directory; raises ContractError where another package lies there."""
    path.mkdir(parents=True, exist_ok=True)
    if (path / MANIFEST).exists() and load(path).digest != package.digest:
        raise ContractError(f"{path} holds another model package; choose an empty directory for {package.title}")
    for name, content in files_of(package).items():
        partial = path / f".{name}.{os.getpid()}"
        partial.write_bytes(content)
        partial.replace(path / name)


def files_of(package: ModelPackage) -> dict[str, bytes]:
    """The files that the digest covers, the manifest last: it is what makes a directory a package."""
    parts = (package.profile, package.judged, package.card, package.continuation)
    optional = dict(zip(OPTIONAL, parts, strict=True))
    there = {name: content for name, content in optional.items() if content is not None}
    return {GRAPH: package.graph, **there, MANIFEST: package.text}


def names_in(folder: Path) -> tuple[str, ...]:
    """The files that a package in this directory should have, and those that it may have and does."""
    return (*FILES, *(name for name in OPTIONAL if (folder / name).exists()))


def load(path: Path, digest: str | None = None) -> ModelPackage:
    """Read and verify a package.

    Args:
        path: the directory.
        digest: the identity that somebody named (a plan); None takes what is there.

    Raises:
        ContractError: a file is missing or oversized, `model.yaml` does not hold, or the digest is another one.
    """
    files = {}
    for name in names_in(path):
        try:
            size = (path / name).stat().st_size
            if size > LARGEST:
                raise ContractError(f"{path / name} has {size} bytes; a model package file has {LARGEST} at most")
            files[name] = (path / name).read_bytes()
        except FileNotFoundError:
            raise ContractError(f"{path} is no model package: {name} is missing") from None
    found = digest_of(files)
    if digest is not None and digest != found:
        raise ContractError(f"the package at {path} has digest {found}, but {digest} was named")
    optional = (files.get(name) for name in OPTIONAL)
    package = ModelPackage(parse(files[MANIFEST], path), files[GRAPH], files[MANIFEST], found, *optional)
    reference = package.reference
    if reference is not None:
        joint = reference.joint
        told = {*reference.inputs, *reference.calendar, *(joint.of if joint is not None else ())}
        attributions, names = reference.attributions, package.manifest.input_names
        told |= set() if attributions is None else {*attributions.columns}
        strange = sorted(told - set(names))
        if strange:
            raise ContractError(f"{path / PROFILE} tells of {', '.join(strange)}, no inputs of the model")
        if attributions is not None and attributions.sample.background.shape[1] != len(names):
            raise ContractError(f"{path / PROFILE} has background rows that are not of the model's {len(names)} inputs")
    _ = package.held_out, package.model_card  # refused here, not where they are used
    return package


def parse(text: bytes, path: str | Path) -> Manifest:
    """The manifest that a `model.yaml` holds; ContractError says what is wrong with it, `path` where it lies."""
    where = f"{path}/{MANIFEST}"
    said = plain_yaml.read(text, where)
    try:
        return Manifest.model_validate(said)
    except ValidationError as error:
        # Without what was found there, which may be as long as the file.
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        told = [f"{'.'.join(map(str, f['loc']))[:100] or MANIFEST}: {f['msg'][:300]}" for f in faults[:_TOLD]]
        told += [f"and {len(faults) - _TOLD:,} more faults"] * (len(faults) > _TOLD)
        if any(f["type"] == "string_type" and isinstance(_at(said, f["loc"]), int | float) for f in faults[:_TOLD]):
            told.append("write a text that looks like a number in quotes")
        raise ContractError(f"{where} does not describe a model: {'; '.join(told)}") from None


def _at(said: Any, places: Sequence[str | int]) -> Any:
    for place in places:
        try:
            said = said[place]
        except (KeyError, IndexError, TypeError):
            return None
    return said


def _render(manifest: Manifest) -> bytes:
    said = manifest.model_dump(mode="json")
    # What came later and says nothing is left out: a package that has none of it keeps the identity that it had.
    said = {
        name: value
        for name, value in said.items()
        if name not in ("classes", "positive", "tuned", "interval") or value is not None
    }
    said["inputs"] = [{name: value for name, value in each.items() if value is not None} for each in said["inputs"]]
    return yaml.safe_dump(said, sort_keys=False, allow_unicode=True).encode()
