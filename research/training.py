"""The one place where history is cut for those who learn from it: they get rows that end, and nothing else.

A function that selects, tunes, scales or fits is handed a panel in which the rows after its training stop do
not exist. It need not be trusted to leave them alone, and `training_check.reads_beyond` proves that it found
no way round.
"""

import types
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from engine.domain.errors import InvalidValueError
from engine.domain.panel import PRICE_FIELDS, Instrument, Panel
from engine.features.window import _is_constant, _names
from engine.schedule.windows import Window

Fitted = TypeVar("Fitted")
Number = TypeVar("Number", bound=np.generic)

_FRAMEWORK = ("engine", "research", "scoreboards")
_HAIRCUT_UNKNOWN = Instrument(symbol="unknown").delisting_haircut


def training_rows(values: npt.NDArray[Number], window: Window, *, first_row: int = 0) -> npt.NDArray[Number]:
    """Return the training rows of an array as an array of its own, read-only.

    A slice would carry all later rows in its `base`; a copy leads nowhere.

    Parameters
    ----------
    values
        Shape (T, ...), history from `first_row` of the panel on, oldest first.

    Returns
    -------
    npt.NDArray
        Shape (train_stop - train_start, ...), C-contiguous.

    Raises
    ------
    InvalidValueError
        If the history does not hold all training rows.

    Examples
    --------
    >>> window = Window(index=0, train_start=1, train_stop=3, test_start=3, test_stop=4)
    >>> rows = training_rows(np.arange(5), window)
    >>> rows, rows.base is None
    (array([1, 2]), True)
    """
    start, stop = window.train_start - first_row, window.train_stop - first_row
    if start < 0 or len(values) < stop:
        raise InvalidValueError(
            f"training: window {window.index} learns from rows [{window.train_start}, {window.train_stop}), "
            f"there are [{first_row}, {first_row + len(values)}); make the windows from this panel"
        )
    rows = np.array(values[start:stop], order="C")
    rows.flags.writeable = False
    return rows


def training_panel(panel: Panel, window: Window) -> Panel:
    """Return a panel that ends at the training stop of a window: prices, fields, what is known of listings.

    It shares no memory with the whole panel. That an instrument will be delisted, and what of its price will
    be lost then, is not known before the last bar: both are as they are for one that goes on trading.
    """
    prices: dict[str, Any] = {name: training_rows(getattr(panel, name), window) for name in PRICE_FIELDS}
    timestamps = training_rows(panel.timestamps, window)
    return replace(
        panel,
        timestamps=timestamps,
        instruments=tuple(_as_known(instrument, int(timestamps[-1])) for instrument in panel.instruments),
        fields={name: training_rows(values, window) for name, values in panel.fields.items()},
        **prices,
    )


def _as_known(instrument: Instrument, now: int) -> Instrument:
    if instrument.delisted_at is None or instrument.delisted_at <= now:
        return instrument
    return replace(instrument, delisted_at=None, delisting_haircut=_HAIRCUT_UNKNOWN)


def fit_windows(
    fit: Callable[[Panel], Fitted], panel: Panel, windows: Sequence[Window]
) -> tuple[Fitted, ...]:
    """Fit every window on a panel that ends at its training stop.

    Parameters
    ----------
    fit
        Of a training panel: chooses, tunes, scales or fits. A function at the top of a module, or a
        `functools.partial` of one with constants, that keeps and finds nothing outside its panel.

    Returns
    -------
    tuple
        What `fit` returned, one for each window.

    Raises
    ------
    InvalidValueError
        If the function could hold more than it is handed (`refuse_memory`), or a window does not fit.
    """
    refuse_memory(fit)
    return tuple(fit(training_panel(panel, window)) for window in windows)


def refuse_memory(fit: Callable[..., object]) -> str:
    """Refuse a function that could know more than its arguments; return its name (RULINGS C8).

    Raises
    ------
    InvalidValueError
        For a closure, a lambda, a nested function or an object; for a function that reads a module's global
        that is not a constant, itself or in a function of its own that it calls; for a default value
        or an argument of a `partial` that is not a constant.
    """
    if isinstance(fit, partial):
        name = refuse_memory(fit.func)
        _refuse_variable(name, "is given", (*fit.args, *fit.keywords.values()))
        return name
    if not isinstance(fit, types.FunctionType):
        raise InvalidValueError(
            f"training: expected a function written with def, or a partial of one, was {type(fit).__name__}"
        )
    name = f"{fit.__module__}.{fit.__qualname__}"
    if fit.__closure__ or "<" in fit.__qualname__:
        raise InvalidValueError(
            f"training: {name} is a closure, a lambda or a nested function; define it at the top of a module "
            "and pass what it needs with functools.partial"
        )
    _refuse_variable_globals(fit, name, set())
    return name


def _refuse_variable_globals(function: types.FunctionType, name: str, seen: set[object]) -> None:
    seen.add(function)
    defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    _refuse_variable(name, "has the default", defaults)
    for key in sorted(_names(function.__code__) & function.__globals__.keys()):
        value = function.__globals__[key]
        if isinstance(value, types.FunctionType):
            if _is_own(value, function) and value not in seen:
                _refuse_variable_globals(value, f"{name} -> {key}", seen)
        elif not _is_fixed(value):
            raise InvalidValueError(
                f"training: {name} reads the global {key}, a {type(value).__name__}; only constants, "
                "functions, classes and modules may be read, pass data in the panel"
            )


def _refuse_variable(name: str, words: str, values: Sequence[object]) -> None:
    for value in values:
        if isinstance(value, types.FunctionType):
            refuse_memory(value)
        elif not _is_fixed(value):
            raise InvalidValueError(
                f"training: {name} {words} {type(value).__name__}, which is not a constant; pass numbers, "
                "texts, tuples or frozen dataclasses of them"
            )


def _is_fixed(value: object) -> bool:
    """Whether nothing can be written into a value after the fact: a constant, or made of constants only."""
    if isinstance(value, tuple | frozenset):
        return all(map(_is_fixed, value))
    if is_dataclass(value) and not isinstance(value, type):
        frozen = value.__dataclass_params__.frozen  # type: ignore[attr-defined]  # of every dataclass
        return bool(frozen) and all(_is_fixed(getattr(value, field.name)) for field in fields(value))
    return isinstance(value, Enum | types.GenericAlias) or _is_constant(value)


def _is_own(called: types.FunctionType, caller: types.FunctionType) -> bool:
    """Whether a function that another calls is held to its rule; libraries and the framework are pinned."""
    package = caller.__module__.partition(".")[0]
    if package in _FRAMEWORK:
        return called.__module__ == caller.__module__
    return called.__module__.partition(".")[0] == package
