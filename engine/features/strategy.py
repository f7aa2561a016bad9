"""What a strategy is: typed, bounded parameters and a signal."""

import dataclasses
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

from engine.domain.errors import InvalidValueError
from engine.domain.identity import content_hash
from engine.domain.portfolio import Invest
from engine.features.expression import Expression
from engine.features.orders import Orders

Number = int | float


def parameter(default: Number, *, low: Number, high: Number) -> Any:
    """Declare a parameter with its default and its bounds, both allowed.

    A default of type int makes a parameter of whole numbers.
    """
    if not low <= default <= high:
        raise InvalidValueError(f"parameter: default {default} is not from {low} to {high}")
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True)
class Strategy:
    """An idea: what to hold and how strongly. How much of the account that is, the allocation says.

    A subclass is a frozen dataclass whose fields are made by `parameter`, with a docstring that says the idea
    in one sentence, in a file of its name under `strategies/`: `MeanReversion` stands in `mean_reversion.py`.

    Attributes
    ----------
    invest
        `SCALED`: hold base weight x signal, the rest is cash. `FULL`: share the whole account among the
        instruments whose signal is not zero.
    reference
        The paper or book that the idea comes from.
    """

    invest: ClassVar[Invest] = Invest.SCALED
    reference: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for declared in dataclasses.fields(self):
            value = getattr(self, declared.name)
            low, high = declared.metadata["low"], declared.metadata["high"]
            whole = isinstance(declared.default, int)
            kind = int if whole else int | float
            if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
                number = "a whole number" if whole else "a number"
                raise InvalidValueError(
                    f"{self.name}: {declared.name} must be {number} from {low} to {high}, was {value!r}"
                )
            if not whole:
                object.__setattr__(self, declared.name, float(value))

    def signal(self) -> Expression:
        """Return the signal: from -1 to 1 per instrument and bar, 0 is cash, NaN keeps the signal before."""
        raise NotImplementedError(f"{type(self).__name__} must define signal()")

    def orders(self) -> Orders | None:
        """Return how entries are sent and positions protected; None leaves it to the rules of the run."""
        return None

    @property
    def order_roots(self) -> tuple[Expression, ...]:
        """The expressions of `orders`, none where it leaves them to the rules."""
        style = self.orders()
        return () if style is None else style.roots

    @classmethod
    def strategy_name(cls) -> str:
        """Return the name of a strategy: its class in small letters, which is also the name of its file."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    @property
    def name(self) -> str:
        """Name of the strategy, as in files, reports and ids."""
        return self.strategy_name()

    @property
    def parameters(self) -> dict[str, Number]:
        """All parameters by name."""
        return {declared.name: getattr(self, declared.name) for declared in dataclasses.fields(self)}

    @cached_property
    def hash(self) -> str:
        """SHA-256 of name, parameters, way of investing, graph and orders."""
        return content_hash(
            {
                "name": self.name,
                "parameters": self.parameters,
                "invest": self.invest,
                "signal": self.signal().hash,
                "orders": [root.hash for root in self.order_roots],
            }
        )

    @classmethod
    def of(cls, parameters: Mapping[str, object]) -> Self:
        """Make the strategy with some parameters changed. Texts, as from a command line, are read as numbers.

        Raises
        ------
        InvalidValueError
            For an unknown parameter, naming the nearest one, or for a value out of its bounds.
        """
        declared = {field.name: field for field in dataclasses.fields(cls)}
        values: dict[str, Any] = {}
        for name, value in parameters.items():
            if name not in declared:
                raise InvalidValueError(
                    f"{cls.strategy_name()}: no parameter {name!r}{_nearest(name, declared)}"
                )
            whole = isinstance(declared[name].default, int)
            values[name] = _number(value, whole) if isinstance(value, str) else value
        return cls(**values)


def _nearest(name: str, known: Mapping[str, object]) -> str:
    if not known:
        return ", it has none"
    close = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {close[0]!r}?" if close else f", it has {', '.join(known)}"


def _number(text: str, whole: bool) -> object:
    try:
        return int(text) if whole else float(text)
    except ValueError:
        return text  # refused with the bounds in the message when the strategy is made
