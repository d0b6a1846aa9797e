"""The model package: a directory whose digest is the model's identity.

```
model.onnx    the graph, a single file
model.yaml    what it is: inputs in order, output, threshold, where it came from, what it was like
signature     optional; says who vouches for the digest, so it is no part of it
```

Nothing in a package is executed on load but the ONNX graph; there is no pickle anywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, ValidationError, model_validator

from services.kit.errors import ContractError

GRAPH, MANIFEST = "model.onnx", "model.yaml"
FILES = (GRAPH, MANIFEST)
LARGEST = 256 << 20  # bytes of one file: a package is fetched into memory by every member

Dtype = Literal["float32", "float64"]
Class = StrictBool | StrictInt | StrictStr
"""Name of a class, as labels have it."""


class Input(BaseModel):
    """One input: the feature column that feeds it (`customer.avg_amount_7d`) and the dtype it is fed as."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(min_length=1)
    dtype: Dtype = "float32"


class Training(BaseModel):
    """What the model was trained on: half-open offset ranges per topic and partition, and the event times in between.

    Attributes:
        start, end: event time in milliseconds since the epoch of the first and last training row, inclusive.
        rows, positives: counts of the rows that were fitted.
        offsets: topic name -> partition -> [from, to).
    """

    model_config = ConfigDict(frozen=True)

    start: int = 0
    end: int = 0
    rows: int = 0
    positives: int = 0
    offsets: dict[str, dict[int, tuple[int, int]]] = {}


class Manifest(BaseModel):
    """`model.yaml`. Fields added later have a default, so that older packages stay readable; unknown ones are ignored.

    Attributes:
        inputs: in the order in which the graph takes them.
        output: name of the graph output that holds the probability of the positive class, or of every class.
        classes: names of the output's columns, in their order; None where the graph says them, or there is one column.
        positive: the class whose probability is the score; None where the graph's own names leave no doubt.
        threshold: a score at or above it is a positive decision.
        reference: per input, its values at `QUANTILES` over the training rows; NaN-free; the profile that drift is
            measured against, and the material of trial rows.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    inputs: tuple[Input, ...] = Field(min_length=1)
    output: str = "probability"
    classes: tuple[Class, ...] | None = Field(default=None, min_length=1)
    positive: Class | None = None
    threshold: float = Field(default=0.5, allow_inf_nan=False)
    training: Training = Training()
    parameters: dict[str, Any] = {}
    libraries: dict[str, str] = {}
    revision: str | None = None
    metrics: dict[str, float] = {}
    reference: dict[str, tuple[float, ...]] = {}

    @model_validator(mode="after")
    def _names_are_unique(self) -> Manifest:
        names = [i.name for i in self.inputs]
        doubled = sorted({n for n in names if names.count(n) > 1})
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
    def input_names(self) -> tuple[str, ...]:
        """The feature columns, in the graph's order."""
        return tuple(i.name for i in self.inputs)


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A verified package in memory.

    Attributes:
        manifest: `model.yaml`, parsed.
        graph: the bytes of `model.onnx`.
        digest: `sha256:` and 64 hex digits, the package's identity.
    """

    manifest: Manifest
    graph: bytes
    digest: str

    @property
    def title(self) -> str:
        """`name@version`, for people and logs; the digest is the identity."""
        return f"{self.manifest.name}@{self.manifest.version}"

    def sample(self, rows: int, seed: int = 0) -> npt.NDArray[np.float32]:
        """Plausible rows [rows, inputs], column-major: inputs drawn from their reference profiles, one in 50 missing.

        Inputs are drawn independently of each other; inputs without a profile are standard normal. The same seed gives
        the same rows.
        """
        rng = np.random.default_rng(seed)
        matrix = np.empty((rows, len(self.manifest.inputs)), dtype=np.float32, order="F")
        for column, given in enumerate(self.manifest.inputs):
            profile = self.manifest.reference.get(given.name)
            if profile:
                at = rng.random(rows) * (len(profile) - 1)
                matrix[:, column] = np.interp(at, np.arange(len(profile)), profile)
            else:
                matrix[:, column] = rng.standard_normal(rows)
        matrix[rng.random(matrix.shape) < 0.02] = np.nan
        return matrix


def pack(manifest: Manifest, graph: bytes) -> ModelPackage:
    """A package of these two parts, with its digest."""
    return ModelPackage(manifest, graph, digest_of({GRAPH: graph, MANIFEST: _render(manifest)}))


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
    return {GRAPH: package.graph, MANIFEST: _render(package.manifest)}


def load(path: Path, digest: str | None = None) -> ModelPackage:
    """Read and verify a package.

    Args:
        path: the directory.
        digest: the identity that somebody named (a plan); None takes what is there.

    Raises:
        ContractError: a file is missing or oversized, `model.yaml` does not hold, or the digest is another one.
    """
    files = {}
    for name in FILES:
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
    return ModelPackage(parse(files[MANIFEST], path), files[GRAPH], found)


def parse(text: bytes, path: str | Path) -> Manifest:
    """The manifest that a `model.yaml` holds; ContractError says what is wrong with it, `path` where it lies."""
    try:
        return Manifest.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ContractError(f"{path}/{MANIFEST} is not YAML: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'model.yaml'}: {e['msg']}" for e in error.errors())
        raise ContractError(f"{path}/{MANIFEST} does not describe a model: {faults}") from error


def _render(manifest: Manifest) -> bytes:
    said = manifest.model_dump(mode="json")
    # What came later and says nothing is left out: a package that has none of it keeps the identity that it had.
    said = {name: value for name, value in said.items() if name not in ("classes", "positive") or value is not None}
    return yaml.safe_dump(said, sort_keys=False, allow_unicode=True).encode()
