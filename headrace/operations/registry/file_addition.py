"""`headrace models add` of a model in a file: read apart, fed by a pipeline's features, proven, checked, stored."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.domain.models.card import ModelCard
from headrace.domain.models.package import Manifest, ModelPackage, pack
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.registry.spec import ModelRegistry
from headrace.domain.pipeline.spec import expand
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.registry.model_files.columns import FeatureKind, Mapped
from headrace.domain.registry.model_files.kind import Kind, kind_of
from headrace.domain.registry.model_files.reader import FileOrder, Proof, ReadModel, read_apart
from headrace.errors import ConfigurationError, ContractError
from headrace.operations.models.verification import put_package
from headrace.operations.progress import ProgressView
from headrace.operations.registry.intake import UNKNOWN, check_package
from headrace.operations.registry.mlflow_door import LARGEST_MODEL
from headrace.operations.registry.sample_file import read_sample

PICKLES: tuple[Kind, ...] = ("pickle", "torch-pickle")
TYPES: Mapping[FeatureKind, pa.DataType] = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "text": pa.string(),
}


@dataclass(frozen=True, slots=True)
class FileWishes:
    """What a person says of a model in a file.

    Attributes:
        name, version: of its package; None: as the pipeline's model, and one that follows from the file.
        names: a column or input of the model -> the feature, or features, that feed it.
        classes: of the graph's output, in its order; None: as the file says.
        positive: the class whose probability is the score; None: as its names say.
        output: of the graph; None: the one that holds probabilities.
        sample: rows to compare on; None: made-up ones.
        expected: the sample's column with the library's answers; of several classes one for each, commas between.
        unpickle: whether a pickle may be read, which runs it.
    """

    name: str | None = None
    version: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    classes: Sequence[str] | None = None
    positive: str | None = None
    output: str | None = None
    sample: Path | None = None
    expected: str | None = None
    unpickle: bool = False


@dataclass(frozen=True, slots=True)
class AddedFile:
    """A model in a file that is stored now.

    Attributes:
        source: the file.
        model: `name@version` of its package.
        digest, uri: of the package.
        read: what was understood.
        notes: what people should know, a sentence each.
    """

    source: str
    model: str
    digest: str
    uri: str
    read: ReadModel
    notes: Sequence[str]


def add_file(
    path: Path, wishes: FileWishes, contracts: Contracts, store: ModelStore, progress: ProgressView
) -> AddedFile:
    """Read a model in a file, have a pipeline's features feed it, hold it against what it was made of, store it.

    It plays no part then. The version of its package follows from the file and the wishes, unless they name one.

    Raises:
        ContractError: it does not fit, differs from what it was made of, or fails a check, with the remedy; nothing is
            stored.
        ConfigurationError: it may not be read without being asked for, the sample is none, or another package has its
            name and version.
        Transient: the model store does not answer.
    """
    if (size := path.stat().st_size) > LARGEST_MODEL:
        raise ContractError(f"{path} has {size:,} bytes; {LARGEST_MODEL:,} are allowed")
    if wishes.expected is not None and wishes.sample is None:
        raise ConfigurationError(f"--expected {wishes.expected} is a column of the sample: name it by --sample FILE")
    kind = kind_of(path)
    if kind in PICKLES and not wishes.unpickle:
        raise ConfigurationError(
            f"{path} is a pickle, and reading it runs whatever its author put into it: say --unpickle where you trust "
            "that, or save the model as ONNX or by skops; docs/models.md says what it cannot do then"
        )
    rules = contracts.pipeline.registry or ModelRegistry()
    mapped = _mapped(wishes, contracts, rules)
    with tempfile.TemporaryDirectory() as folder:
        own, place = Path(folder) / "own", Path(folder) / "model"
        own.mkdir()
        place.mkdir()
        copy = _copied(path, place)
        order = FileOrder(
            copy,
            kind,
            mapped,
            contracts.pipeline.model.output == "value",
            contracts.pipeline.model.classes,
            wishes.output,
            wishes.classes,
            wishes.positive if wishes.positive is not None else rules.positive,
            _sampled(wishes, mapped, place),
            _expected(wishes),
        )
        with progress.stage(f"reading and converting {path}"):
            graph, read = read_apart(order, own)
        package = _package(contracts, wishes, read, graph, path.name, _digest(copy, wishes, rules, contracts))
    with progress.stage(f"checking {package.title}"):
        check_package(package, contracts)
    uri = put_package(package, store)
    return AddedFile(str(path), package.title, package.digest, uri, read, _notes(read, mapped))


def _mapped(wishes: FileWishes, contracts: Contracts, rules: ModelRegistry) -> Mapped:
    pipeline = contracts.pipeline
    views = (column.path for view in pipeline.views.values() for column in view.columns)
    names = list(dict.fromkeys([*expand(pipeline), *views]))
    schema = contracts.channel("features").codec.reader.arrow
    known = {name: kind_in(schema, name) for name in names}
    return Mapped(wishes.names, rules.order, tuple(expand(pipeline)), known, rules.names)


def kind_in(schema: pa.Schema, feature: str) -> FeatureKind:
    """What a feature is in the schema of the features topic."""
    struct, _, name = feature.rpartition(".")
    kind = schema.field(struct or "event").type.field(name).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind):
        return "number"
    return "text" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else "other"


def _copied(path: Path, into: Path) -> Path:
    """A copy that nobody changes while it is read, with the tensors that ONNX keeps beside a graph."""
    if (beside := path.with_name(path.name + ".data")).is_file():
        shutil.copyfile(beside, into / beside.name)
    return Path(shutil.copyfile(path, into / path.name))


def _expected(wishes: FileWishes) -> list[str]:
    """The sample's columns with the library's answers."""
    return [] if wishes.expected is None else [each.strip() for each in wishes.expected.split(",")]


def _sampled(wishes: FileWishes, mapped: Mapped, into: Path) -> Path | None:
    """The sample as Parquet that the process reads."""
    if wishes.sample is None:
        return None
    kinds = {name: TYPES[kind] for name, kind in mapped.known.items() if kind in TYPES}
    named = {**mapped.usual, **mapped.names}
    kinds |= {column: kinds[feature] for column, feature in named.items() if feature in kinds}
    kinds |= dict.fromkeys(_expected(wishes), pa.float64())
    place = into / "sample.parquet"
    pq.write_table(read_sample(wishes.sample, kinds), place)
    return place


def _digest(copy: Path, wishes: FileWishes, rules: ModelRegistry, contracts: Contracts) -> dict[str, str]:
    """(of the file, of all that decides what becomes of it)."""
    whole = sha256()
    for each in (copy, copy.with_name(copy.name + ".data")):
        if each.is_file():
            whole.update(each.read_bytes())
    said = [
        dict(wishes.names),
        dict(rules.names),
        list(rules.order),
        wishes.classes,
        wishes.positive,
        rules.positive,
        wishes.output,
        *contracts.pipeline.model.classes,
    ]
    file = whole.hexdigest()
    return {"file": file, "all": sha256(f"{file}{json.dumps(said, sort_keys=True)}".encode()).hexdigest()}


def _package(
    contracts: Contracts, wishes: FileWishes, read: ReadModel, graph: bytes, name: str, digest: Mapping[str, str]
) -> ModelPackage:
    model = contracts.pipeline.model
    columns = {column.feature: column.column for column in read.columns if column.column not in ("", column.feature)}
    said: dict[str, Any] = {"name": name, "sha256": digest["file"], "read_as": read.what, "columns": columns}
    manifest = Manifest(
        name=wishes.name or model.name,
        version=wishes.version or f"file-{digest['all'][:8]}",
        inputs=read.inputs,
        output=read.output,
        classes=read.classes,
        positive=read.positive,
        threshold=model.threshold,
        parameters={"file": {key: value for key, value in said.items() if value}},
        libraries=dict(read.libraries),
    )
    return pack(manifest, graph, card=ModelCard(limits=UNKNOWN))


def _notes(read: ReadModel, mapped: Mapped) -> list[str]:
    fed = {column.feature for column in read.columns}
    unread = [name for name in mapped.inputs if name not in fed]
    left = [f"it does not read {', '.join(unread)}, which the pipeline's model names"] if unread else []
    strict = (
        [f"categories of {', '.join(read.strict)} that it does not know, and null, get no answer"]
        if read.strict
        else []
    )
    return [*read.notes, *left, *strict, *UNKNOWN]


def proof_text(proof: Proof) -> str:
    """A proof as a sentence."""
    rows = f"{proof.rows:,} {'rows of the sample' if proof.sample else 'made-up rows'}"
    beside = f"; {proof.unanswered:,} rows get no answer" if proof.unanswered else ""
    return f"it differs from {proof.against} by {proof.worst:.1g} at most on {rows}{beside}"
