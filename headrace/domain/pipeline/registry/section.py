"""Reads the `registry` section."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from headrace.domain.pipeline import form as forms
from headrace.domain.pipeline.document import Node, Problems, closest
from headrace.domain.pipeline.form import Form
from headrace.domain.pipeline.registry.spec import ModelRegistry

REGISTRY_KEYS = ("mlflow", "model", "alias", "champion", "inputs", "positive")
REGISTRY_EXAMPLE = "{mlflow: http://mlflow:5000, model: fraud, alias: challenger, champion: champion}"
INPUTS_EXAMPLE = "{amount_eur: amount} where names differ, or a list of features where columns have no names"
_ALIAS = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_VERSION = re.compile(r"v[0-9]+", re.ASCII)
_SECRET = re.compile(r"//[^/@]*@")


def read_registry(form: Form, features: Sequence[str], problems: Problems) -> ModelRegistry:
    """The `registry` section; `features`: what the pipeline's model reads, in its order."""
    default = ModelRegistry()
    mlflow = form.text("mlflow")
    if mlflow is not None and _SECRET.search(mlflow):
        problems.add(
            form.node_of("mlflow"),
            "an address with a user or password in it, and this file is no place for secrets",
            "take it out, and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
        )
    model = form.text("model")
    if model is not None and (not model or any(letter in model for letter in "/:@")):
        problems.add(form.node_of("model"), "no registered model is called so", "write its name, such as model: fraud")
    alias = _alias(form, "alias", problems) or default.alias
    champion = _alias(form, "champion", problems) or default.champion
    if alias == champion and form.node.entries is not None:
        problems.add(
            form.node_of("champion" if "champion" in form else "alias"),
            f"the alias {alias} is followed and moved, so every promotion would be followed",
            "name two aliases, such as alias: challenger, champion: champion",
        )
    names, order = _inputs(form, features, problems)
    positive = forms.scalar(form.entries["positive"], problems) if "positive" in form else None
    return ModelRegistry(mlflow, model, alias, champion, names, order, positive)


def _alias(form: Form, key: str, problems: Problems) -> str | None:
    found = form.text(key)
    if found is None:
        return None
    if not _ALIAS.fullmatch(found) or _VERSION.fullmatch(found) or found == "latest":
        problems.add(
            form.node_of(key),
            f"{found} can be no alias in MLflow",
            "write letters, digits, - and _, and neither latest nor v1",
        )
    return found


def _inputs(form: Form, features: Sequence[str], problems: Problems) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """(names, order), of which the file says one at most."""
    node = form.entries.get("inputs")
    if node is None:
        return {}, ()
    if node.entries is None and node.items is None:
        problems.add(node, f"should be a mapping or a list, not {node.kind}", f"write {INPUTS_EXAMPLE}")
        return {}, ()
    named = {name: _feature(each, features, problems) for name, each in (node.entries or {}).items()}
    listed = [_feature(each, features, problems) for each in node.items or ()]
    seen: set[str] = set()
    for found, place in zip(
        [*named.values(), *listed], [*(node.entries or {}).values(), *(node.items or ())], strict=True
    ):
        if found is not None and found in seen:
            problems.add(place, f"{found} feeds two columns", "name each feature once")
        seen |= {found} if found is not None else set()
    return {name: found for name, found in named.items() if found}, tuple(found for found in listed if found)


def _feature(node: Node, features: Sequence[str], problems: Problems) -> str | None:
    found = forms.text(node, problems)
    if found is not None and features and found not in features:
        problems.add(node, f"{found} is no input of the pipeline's model", closest(found, features))
        return None
    return found
