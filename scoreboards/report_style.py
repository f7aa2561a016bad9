"""How the pictures of a report look: one palette, blue and orange, readable on white, on black and on paper.

A colour here is a role. The page gives every role a second colour for dark screens, so the hexadecimal
texts below are also the names by which `report_page` finds them in a drawing.
"""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from engine.domain.panel import FloatArray, IntArray

INK = "#1b1f24"
MUTED = "#5b6470"
LINE = "#e3e6ea"
BLUE = "#1f5fbf"
ORANGE = "#d0650a"
PALE = "#c3d8f4"
TRAIN = "#c9ced5"

# Role -> name of the page's variable.
ROLES = {
    INK: "fg",
    MUTED: "mut",
    LINE: "line",
    BLUE: "blue",
    ORANGE: "orange",
    PALE: "pale",
    TRAIN: "train",
}

# Okabe and Ito (2008): told apart by the colour-blind. Fixed, on light and dark.
KINDS = ("#0072b2", "#e69f00", "#56b4e9", "#d55e00", "#009e73", "#cc79a7", "#8c6bb1")
REST = "#9aa3ad"

# Text on a coloured field, which has the same colour on light and dark.
ON_LIGHT, ON_DARK = "#10151b", "#ffffff"
SCALE = LinearSegmentedColormap.from_list("edge", ["#b5540d", "#f1f2f4", "#1e5ebe"])

WIDTH = 10.4
POINTS = 1_200
_SALT = "gauntlet"
# A drawing says nothing of the clock or of the library that drew it.
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def look() -> None:
    """Set matplotlib to this style, whatever the user's own settings are."""
    mpl.rcdefaults()
    mpl.rcParams.update(
        {
            "axes.axisbelow": True,
            "axes.edgecolor": MUTED,
            "axes.facecolor": "none",
            "axes.grid": True,
            "axes.grid.axis": "y",
            "axes.labelcolor": MUTED,
            "axes.labelsize": 8.5,
            "axes.linewidth": 0.6,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlecolor": INK,
            "axes.titlelocation": "left",
            "axes.titlesize": 9.5,
            "axes.titleweight": "bold",
            "figure.facecolor": "none",
            "font.size": 8.5,
            "grid.color": LINE,
            "grid.linewidth": 0.8,
            "legend.fontsize": 8.5,
            "legend.frameon": False,
            "legend.labelcolor": INK,
            "lines.linewidth": 1.2,
            "lines.solid_capstyle": "round",
            "savefig.facecolor": "none",
            "svg.fonttype": "path",
            "svg.hashsalt": _SALT,
            "text.color": INK,
            "timezone": "UTC",
            "xtick.color": MUTED,
            "ytick.color": MUTED,
        }
    )


def apply() -> None:
    """Set matplotlib, pandas and the notebook's display to this style, whatever the user's own settings are.

    Drawings are vectors without a date and without random names, so equal reports have equal bytes.
    """
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    look()
    set_matplotlib_formats(  # type: ignore[no-untyped-call]  # ships no types
        "svg", bbox_inches=None, metadata=dict(NO_METADATA)
    )
    pd.set_option("display.max_colwidth", None)
    pd.set_option("display.max_rows", None)


def canvas(height: float) -> Figure:
    """Return an empty figure as wide as the page.

    Parameters
    ----------
    height
        In inches; the width is `WIDTH`.
    """
    return Figure(figsize=(WIDTH, height), layout="constrained")


def dates(timestamps: IntArray) -> "np.ndarray[tuple[int], np.dtype[np.datetime64]]":
    """Return bar opens as matplotlib takes them."""
    return timestamps.astype("datetime64[ns]").astype("datetime64[s]")


def thinned(count: int, most: int = POINTS) -> IntArray:
    """Return at most so many places of a long series, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def lowest(values: FloatArray, places: IntArray) -> FloatArray:
    """Return the lowest value up to each place since the one before, so that thinning hides no trough."""
    starts = np.concatenate(([0], places[:-1] + 1))
    return np.asarray(np.minimum.reduceat(values, starts), dtype=np.float64)


def as_percent(axis_of: Axes, *, decimals: int = 0) -> None:
    """Label the values of a y axis as percent."""
    axis_of.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=decimals))


def as_multiples(axis_of: Axes) -> None:
    """Label the values of a y axis as multiples of the start."""
    axis_of.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"×{value:g}"))
    axis_of.yaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))


def nice_multiples(low: float, high: float) -> list[float]:
    """Return round multiples for a logarithmic axis, at least three where the range allows it."""
    decades = range(int(np.floor(np.log10(low))) - 1, int(np.ceil(np.log10(high))) + 1)
    for digits in ((1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)):
        ticks = [digit * 10.0**decade for decade in decades for digit in digits]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= 3:  # two marks are no scale
            return inside
    return inside


def titled(axes: Axes, title: str, *, x: str = "", y: str = "") -> None:
    """Write title and axis labels; a unit belongs into the label."""
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def text_on(colour: Sequence[float]) -> str:
    """Return the colour of text that is read on a field."""
    red, green, blue = colour[:3]
    return ON_LIGHT if 0.3 * red + 0.59 * green + 0.11 * blue > 0.55 else ON_DARK
