"""The files that `engine strategy new` writes: an idea that works, and its test."""

import keyword
import re
from dataclasses import dataclass
from pathlib import Path

from engine.domain.errors import InputError
from engine.strategy_files import class_name, project_folder, strategy_names

_STRATEGY = '''"""{title}: say in one sentence what this strategy does."""

from dataclasses import dataclass
from typing import ClassVar

from engine.domain.portfolio import Invest
from engine.features.expression import Expression
from engine.features.operators import close, ema, where
from engine.features.strategy import Strategy, parameter


@dataclass(frozen=True)
class {class_name}(Strategy):
    """Long while the close is above its average (replace this by your idea and its source)."""

    # SCALED: hold base weight x signal. FULL: share the whole account among the signals that are not zero.
    invest: ClassVar[Invest] = Invest.SCALED
    reference: ClassVar[str] = "the paper or book that the idea comes from"

    length: int = parameter(50, low=2, high=400)

    def signal(self) -> Expression:
        """1 above the average, 0 below; from -1 to 1 is allowed, NaN keeps the signal before."""
        return where(close > ema(close, self.length), 1.0, 0.0)
'''

_TEST = '''"""What is true of the strategy {name}; run with pytest in the folder of the project."""

import numpy as np

from engine.data.catalogue import load
from engine.features.evaluate import Stream
from engine.strategy_files import load_strategy
from research.strategy_check import CheckOutcome, check_strategy


def test_{name}_passes_every_check() -> None:
    results = check_strategy(load_strategy("{name}"), load("us5"))

    assert [result for result in results if result.outcome is CheckOutcome.FAIL] == []


def test_{name}_is_long_above_its_average_and_out_below() -> None:
    stream = Stream([load_strategy("{name}", {{"length": 3}}).signal()], ("A",))

    signals = [stream.push({{"close": np.array([price])}})[0, 0] for price in (1.0, 2.0, 3.0, 1.0)]

    assert signals[2:] == [1.0, 0.0]
'''


@dataclass(frozen=True, kw_only=True)
class NewFiles:
    """What was written."""

    strategy: Path
    test: Path


def write_strategy(name: str) -> NewFiles:
    """Write `strategies/NAME.py` and `tests/test_NAME.py` under the current folder.

    Raises
    ------
    InputError
        If the name cannot be the name of a strategy, is taken, or a file of that name exists. Nothing is
        written then.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z][a-z0-9]*)*", name) or keyword.iskeyword(name):
        raise InputError(
            f"{name!r} cannot be the name of a strategy: use small letters, digits and single underscores, "
            "each word beginning with a letter, such as dip_buyer"
        )
    strategy = project_folder() / f"{name}.py"
    test = project_folder().parent / "tests" / f"test_{name}.py"
    for file in (strategy, test):
        if file.exists():
            raise InputError(
                f"{file.parent.name}/{file.name} exists already, nothing was written; choose another name"
            )
    if name in strategy_names():
        raise InputError(f"Gauntlet comes with a strategy {name}, nothing was written; choose another name")
    for file, text in ((strategy, _STRATEGY), (test, _TEST)):
        file.parent.mkdir(parents=True, exist_ok=True)
        title = name.replace("_", " ").capitalize()
        file.write_text(text.format(name=name, title=title, class_name=class_name(name)), encoding="utf-8")
    return NewFiles(strategy=strategy, test=test)
