"""The record of what every window chose, as a table beside the board."""

import csv
import io
from collections.abc import Sequence

import numpy as np

from research.cells import WindowChoice

CHOICES_FILE = "selections.csv"
_COLUMNS = (
    "universe",
    "selection",
    "window",
    "train_first",
    "train_last",
    "test_first",
    "test_last",
    "eligible",
    "selected",
    "symbols",
    "fallback",
    "without_data",
)


def choices_csv(choices: Sequence[WindowChoice]) -> str:
    """Return one line a window and selection. Stamps are those of the bars' opens, UTC."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for choice in choices:
        writer.writerow(
            [
                choice.universe,
                choice.selection,
                choice.window,
                *(_stamp(value) for value in (choice.train_first, choice.train_last)),
                *(_stamp(value) for value in (choice.test_first, choice.test_last)),
                choice.eligible,
                len(choice.selected),
                ";".join(choice.selected),
                "true" if choice.fallback else "false",
                ";".join(choice.without_data),
            ]
        )
    return out.getvalue()


def _stamp(value: int) -> str:
    return str(np.datetime_as_string(np.datetime64(value, "ns"), unit="s", timezone="UTC"))
