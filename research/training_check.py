"""Proof that what is learnt from training rows hangs on nothing after them, whatever the function tries.

An answer is computed here, where the whole history is at hand, and again in a fresh process in which the rows
after each training stop never were what they are: there they are scrambled, no data can be opened, and
nothing later was seen before. Equal answers mean that no way leads to those rows: not the panel, nor a
global, nor the frames of the caller, nor what an earlier call remembered, nor a file.
"""

import importlib
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from engine.domain.errors import InvalidValueError, LookAheadError
from engine.domain.identity import content_hash
from engine.domain.panel import PRICE_FIELDS, FloatArray, Panel
from engine.home import cache_folder
from engine.schedule.windows import Window
from engine.strategy_files import PACKAGE, add_folder
from research.fresh_signals import panel_parts
from research.strategy_check import CheckOutcome, CheckResult
from research.training import refuse_memory, training_panel

CHECK = "training rows"

Answer = Callable[[Panel, Window], object]
"""Of a whole panel and a window: an array, a number, a text, or a mapping, tuple or dataclass of them."""

# Spread of the factors by which scrambled prices are changed, and the share of bars that vanish in each world
# of a window: several worlds, because a choice of few may be the same by chance, or where all is unknown.
_SCRAMBLE = 0.5
_VANISH = (0.0, 0.0, 0.1)
_CODE = (".py", ".pyc", ".so", ".pyd", ".dll", ".dylib")
_DATA = (".csv", ".gz", ".zip", ".parquet", ".arrow", ".feather", ".npy", ".npz", ".pkl", ".h5", ".db")
_FORBIDDEN = (
    "socket.connect",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "sqlite3.connect",
)


def fit_check(
    fit: Callable[[Panel], object], panel: Panel, windows: Sequence[Window], *, rng: np.random.Generator
) -> CheckResult:
    """Say whether a function for `fit_windows` learns from its training panel and nothing else.

    Parameters and errors are those of `reads_beyond`; `fit` is as in `fit_windows`, and answers with what can
    be compared: a model with its parameters, or with what it predicts for its training rows.
    """
    return reads_beyond(_OnTraining(fit), panel, windows, rng=rng)


def reads_beyond(
    answer: Answer, panel: Panel, windows: Sequence[Window], *, rng: np.random.Generator
) -> CheckResult:
    """Say whether an answer stays the same when the rows after a window's training stop are others.

    Parameters
    ----------
    answer
        A function at the top of a module (or a `functools.partial` of one with constants) that is given the
        whole panel and cuts it by itself: a selection, an allocation, a tuner. What it keeps on disk, it
        keeps in a `tempfile.TemporaryDirectory`.
    windows
        Each is answered twice, so a few do.
    rng
        For the rows that take the place of the later ones.

    Raises
    ------
    InvalidValueError
        If answers have no canonical form (`engine.domain.identity`), so they cannot be compared.
    """
    try:
        name = _name_of(answer)
    except InvalidValueError as error:
        return _failed(str(error))
    oldest_first = sorted(windows, key=lambda window: (window.train_stop, window.index))
    # The newest first here and the oldest first there: an answer that remembers others' rows differs.
    known = {window.index: content_hash(answer(panel, window)) for window in reversed(oldest_first)}
    worlds = [
        (pickle.dumps(panel_parts(scrambled(panel, window.train_stop, rng, vanish=vanish))), window)
        for window in oldest_first
        for vanish in _VANISH
    ]
    try:
        with tempfile.TemporaryDirectory() as scratch:
            found = _asked(
                _Request(
                    answer=pickle.dumps(answer),
                    folder=_strategies_folder(name),
                    worlds=worlds,
                    scratch=scratch,
                )
            )
    except LookAheadError as error:
        return _failed(f"{name} {error}")
    for (_, window), there in zip(worlds, found, strict=True):
        if known[window.index] != there:
            return _failed(
                f"{name}: what window {window.index} learns changes with the rows after its training stop, "
                f"row {window.train_stop}: it reads the future"
            )
    return CheckResult(
        check=CHECK,
        outcome=CheckOutcome.PASS,
        explanation=f"{name}: {len(known)} windows learn the same where the rows after them are others",
    )


def scrambled(panel: Panel, stop: int, rng: np.random.Generator, *, vanish: float = 0.0) -> Panel:
    """Return a panel in which nothing from row `stop` on is what it was, and everything before it is.

    Later rows are drawn from one another and multiplied by random factors; who is delisted later goes on
    trading.

    Parameters
    ----------
    vanish
        Share of later bars that are not traded any more.
    """
    rows = len(panel) - stop
    source = stop + rng.integers(0, rows, rows) if rows else np.empty(0, dtype=np.int64)
    shape = (rows, len(panel.instruments))
    factors = np.exp(rng.normal(0.0, _SCRAMBLE, shape))
    factors[rng.random(shape) < vanish] = np.nan

    def change(values: FloatArray) -> FloatArray:
        later = values[source] * (factors if values.ndim == 2 else np.exp(rng.normal(0.0, _SCRAMBLE, rows)))
        return np.concatenate((values[:stop], later))

    prices: dict[str, Any] = {name: change(getattr(panel, name)) for name in PRICE_FIELDS}
    known = training_panel(
        panel, Window(index=0, train_start=0, train_stop=stop, test_start=stop, test_stop=stop + 1)
    )
    fields = {name: change(values) for name, values in panel.fields.items()}
    return replace(panel, instruments=known.instruments, fields=fields, **prices)


@dataclass(frozen=True)
class _OnTraining:
    """A fit, as an answer."""

    fit: Callable[[Panel], object]

    def __call__(self, panel: Panel, window: Window) -> object:
        return self.fit(training_panel(panel, window))


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What the fresh process is told.

    Attributes
    ----------
    answer
        Pickled, so that its module is imported after files are out of bounds.
    folder
        Of its strategies file; empty for a module that is found without.
    worlds
        Pickled arguments of a panel, and the window asked about; the oldest first.
    scratch
        The only folder in which files may be written and read.
    """

    answer: bytes
    folder: str
    worlds: Sequence[tuple[bytes, Window]]
    scratch: str


def _name_of(answer: Answer) -> str:
    return refuse_memory(answer.fit if isinstance(answer, _OnTraining) else answer)


def _strategies_folder(name: str) -> str:
    module = name.rpartition(".")[0]
    file = getattr(sys.modules.get(module), "__file__", None)
    return str(Path(file).parent) if file and module.startswith(f"{PACKAGE}.") else ""


def _asked(request: _Request) -> list[str]:
    """Return the hashes of all answers from a fresh process: a worker of a pool would run our main again."""
    answer = subprocess.run(
        [sys.executable, "-m", "research.training_check"],
        input=pickle.dumps(request),
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    if answer.returncode != 0:
        lines = answer.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"the process ended with {answer.returncode}"
        raise LookAheadError(f"does not work in a fresh process: {reason}")
    hashes: list[str] = pickle.loads(answer.stdout)
    return hashes


def _answers(request: _Request) -> list[str]:
    if request.folder:
        add_folder(Path(request.folder))
    tempfile.tempdir = request.scratch
    libraries = (sys.prefix, sys.base_prefix, "/proc", "/sys", "/dev", str(Path.home() / ".cache"))
    kernels = str((cache_folder() / "kernels").resolve())
    sys.addaudithook(partial(_refuse_data, libraries, (request.scratch, kernels)))
    answer: Answer = pickle.loads(request.answer)
    # One world after the other: what is in the next one is not in memory yet.
    return [content_hash(answer(Panel(**pickle.loads(parts)), window)) for parts, window in request.worlds]


def _refuse_data(
    of_libraries: tuple[str, ...], own: tuple[str, ...], event: str, arguments: tuple[Any, ...]
) -> None:
    """Stop what opens anything but code, what libraries need, and its own scratch files."""
    if event in _FORBIDDEN:
        raise LookAheadError(f"what is trained may only compute, this asks for {event}")
    if event != "open" or not isinstance(arguments[0], str | bytes | os.PathLike):
        return
    path = os.fsdecode(arguments[0])
    whole = os.path.realpath(path)
    # What is not here is a name inside an open folder, which had to be one of its own.
    is_inside = not Path(path).is_absolute() and not Path(path).exists()
    if is_inside or path.endswith(_CODE) or whole.startswith(own):
        return
    if path.endswith(_DATA) or not whole.startswith(of_libraries):
        raise LookAheadError(f"what is trained may not open files, this opens {Path(path).name}")


def _failed(explanation: str) -> CheckResult:
    return CheckResult(check=CHECK, outcome=CheckOutcome.FAIL, explanation=explanation)


def main() -> None:
    """Answer the request on standard input."""
    request = pickle.load(sys.stdin.buffer)
    # Whatever a function prints must not end up in the answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    answers.write(pickle.dumps(_answers(request)))
    answers.close()


if __name__ == "__main__":
    # The same classes as in the parent, which knows this module by its name.
    importlib.import_module("research.training_check").main()
