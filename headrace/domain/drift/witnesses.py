"""Detectors of the literature beside our own: what each would have said, for people who know them. They decide nothing.

They are river's. An object of river is never stored (its release 0.25 broke its own pickles): a witness is its class,
its parameters and how many values it has taken, and is folded again from the values from the start on.

A false alarm of theirs is as likely as it is: few of them keep to a number that can be asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headrace.domain.drift.reference_bins import Floats, Ints
from headrace.errors import ConfigurationError, ContractError

Parameters = Mapping[str, float | int | bool | str]


@dataclass(frozen=True, slots=True)
class Method:
    """A detector of the literature.

    Attributes:
        module: where river has it.
        takes: `numbers`; `shares`, between 0 and 1; or `errors`, 0 or 1.
        every: it is shown each so many-th value, because an update is dear.
        parameters: what it gets where nothing else is said; river's own values for all others.
    """

    module: str
    takes: str = "numbers"
    every: int = 1
    parameters: Parameters = field(default_factory=dict)


METHODS: Mapping[str, Method] = {
    "ADWIN": Method("river.drift"),
    "PageHinkley": Method("river.drift"),
    "KSWIN": Method("river.drift", every=10, parameters={"seed": 1}),
    "DDM": Method("river.drift.binary", "errors"),
    "EDDM": Method("river.drift.binary", "errors"),
    "HDDMA": Method("river.drift.binary", "shares"),
    "HDDMW": Method("river.drift.binary", "shares"),
}
"""By river's name: Bifet and Gavalda 2007 (ADWIN), Page 1954, Raab et al. 2020 (KSWIN), Gama et al. 2004 (DDM),
Baena-Garcia et al. 2006 (EDDM), Frias-Blanco et al. 2015 (both HDDM)."""


class Witness:
    """One detector that listens to one stream of values.

    Args:
        name: one of `METHODS`.
        parameters: over those of the method.

    Raises:
        ConfigurationError: river is not installed, has no such method, or the method no such parameter.

    Attributes:
        position: values taken, those that are missing too.
    """

    def __init__(self, name: str, parameters: Parameters | None = None) -> None:
        if name not in METHODS:
            raise ConfigurationError(f"no witness is called {name!r}; there are {', '.join(METHODS)}")
        self.name, self.method = name, METHODS[name]
        self.parameters: Parameters = {**self.method.parameters, **(parameters or {})}
        self.position = 0
        self._detector = _made(self.method.module, name, self.parameters)

    def listen(self, values: Floats) -> Ints:
        """Take values in, in their order: the positions, counted from the start, at which it says that they changed.

        Args:
            values: float64; NaN where missing, which it is not shown.

        Raises:
            ContractError: values that the method cannot take. Nothing was taken in.
        """
        _hold(self.name, self.method.takes, values)
        first = self.position
        skipped = -first % self.method.every
        found = []
        detector = self._detector
        for at, value in enumerate(values[skipped :: self.method.every].tolist()):
            if value == value:
                detector.update(value)
                if detector.drift_detected:
                    found.append(first + skipped + at * self.method.every)
        self.position += len(values)
        return np.array(found, np.int64)

    def save(self) -> dict[str, Any]:
        """What it is folded again from, together with the values: plain values, as JSON has them."""
        return {"name": self.name, "parameters": dict(self.parameters), "position": self.position}


def folded_again(saved: Mapping[str, Any], values: Iterable[Floats]) -> Witness:
    """A witness as it was when it was saved.

    Args:
        saved: what `Witness.save` told.
        values: those that it had taken, from the start, in pieces of any length; what comes after them is left alone.

    Raises:
        ContractError: there are fewer values than it had taken.
    """
    witness, position = Witness(saved["name"], saved["parameters"]), int(saved["position"])
    for piece in values:
        witness.listen(piece[: position - witness.position])
        if witness.position == position:
            break
    if witness.position < position:
        raise ContractError(f"{witness.name} had taken {position} values, and {witness.position} are here")
    return witness


def _made(module: str, name: str, parameters: Parameters) -> Any:
    try:
        known = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigurationError("river is not installed: pip install headrace[drift]") from error
    try:
        return getattr(known, name)(**parameters)
    except TypeError as error:
        raise ConfigurationError(f"{name} does not take {dict(parameters)}: {error}") from error


def _hold(name: str, takes: str, values: Floats) -> None:
    there = values[~np.isnan(values)]
    if takes == "errors" and not np.all((there == 0) | (there == 1)):
        raise ContractError(f"{name} takes errors, 0 or 1, and was given other values")
    if takes == "shares" and len(there) and not (there.min() >= 0 and there.max() <= 1):
        raise ContractError(f"{name} takes values from 0 to 1, and was given {there.min():g} to {there.max():g}")
