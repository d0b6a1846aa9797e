"""Logarithm and exponential whose bits are the same on every machine.

Those of a C library, and NumPy's, differ in the last bit between processors and versions; a feature must not. Here
they are sums and products of float64 in a fixed order, which IEEE 754 gives one answer to; errors are below one unit
in the last place for the logarithm, and below two for the exponential.

References:
    Tang, P. T. P. Table-driven and polynomial methods as in fdlibm (`e_log.c`, `e_exp.c`), Sun Microsystems 1993,
    from where the coefficients of the two polynomials are.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from headrace.columnar.jit import frozen, kernel

Floats = npt.NDArray[np.float64]

_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_INVERSE_LN2 = 1.44269504088896338700
_L1, _L2, _L3, _L4 = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
)
_L5, _L6, _L7 = 1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01
_P1, _P2, _P3 = 1.66666666666666019037e-01, -2.77777777770155933842e-03, 6.61375632143793436117e-05
_P4, _P5 = -1.65339022054652515390e-06, 4.13813679705723846039e-08
_MOST, _LEAST = 709.782712893384, -745.133219101941


@kernel
def log_of(value: float) -> float:
    """Natural logarithm; NaN unless the value is above 0."""
    if not value > 0.0:
        return np.nan
    if value == np.inf:
        return value
    fraction, exponent = math.frexp(value)
    if fraction < 0.70710678118654752440:
        fraction *= 2.0
        exponent -= 1
    rest = fraction - 1.0
    half = 0.5 * rest * rest
    ratio = rest / (2.0 + rest)
    square = ratio * ratio
    fourth = square * square
    even = fourth * (_L2 + fourth * (_L4 + fourth * _L6))
    odd = square * (_L1 + fourth * (_L3 + fourth * (_L5 + fourth * _L7)))
    times = float(exponent)
    return times * _LN2_HIGH - ((half - (ratio * (half + (even + odd)) + times * _LN2_LOW)) - rest)


@kernel
def exp_of(value: float) -> float:
    """E to the power of the value; infinite where float64 ends."""
    if value != value:
        return value
    if value > _MOST:
        return np.inf
    if value < _LEAST:
        return 0.0
    times = math.floor(value * _INVERSE_LN2 + 0.5)
    high, low = value - times * _LN2_HIGH, times * _LN2_LOW
    rest = high - low
    square = rest * rest
    part = rest - square * (_P1 + square * (_P2 + square * (_P3 + square * (_P4 + square * _P5))))
    found = 1.0 - ((low - (rest * part) / (2.0 - part)) - high)
    return math.ldexp(found, int(times))


@kernel("~f8[::1] f8[::1]")
def _logs(values: Floats, found: Floats) -> None:
    for at in range(len(values)):
        found[at] = log_of(values[at])


@kernel("~f8[::1] f8[::1]")
def _exps(values: Floats, found: Floats) -> None:
    for at in range(len(values)):
        found[at] = exp_of(values[at])


def log(values: Floats) -> Floats:
    """Natural logarithms of a column, NaN unless above 0.

    >>> log(np.array([1.0, 10.0, 0.0])).tolist()
    [0.0, 2.302585092994046, nan]
    """
    values = np.ascontiguousarray(values)
    found = np.empty(len(values))
    _logs(frozen(values), found)
    return found


def exp(values: Floats) -> Floats:
    """E to the power of each.

    >>> exp(np.array([0.0, 1.0, -1000.0])).tolist()
    [1.0, 2.7182818284590455, 0.0]
    """
    values = np.ascontiguousarray(values)
    found = np.empty(len(values))
    _exps(frozen(values), found)
    return found
