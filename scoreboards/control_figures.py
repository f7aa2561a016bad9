"""The pictures of the control study: power, false promotion, and the frontier between the two.

Colours are those of Okabe and Ito; lines differ by marker and dash as well, so that they can be told apart
on paper.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from research.control_study import (
    FALSE_PROMOTION_MOST,
    POWER_LEAST,
    UNCLAIMED,
    WORDS,
    Family,
    FrontierPoint,
    Point,
    Rate,
    Study,
)
from scoreboards import report_style as style

POWER_FAMILIES = (Family.NOISE_25, Family.LINE, Family.GRID_TREND, Family.NOISE_1000)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "-",
    (0, (5, 2)),
    (0, (1, 1.2)),
    (0, (6, 2, 1, 2)),
)
# In percent; what is rarer stands on the axis.
_RAREST = 0.05


def figures(study: Study) -> dict[str, Figure]:
    """Return every picture by its name."""
    with _styled():
        return {"power": power(study), "false-promotion": false_promotion(study), "frontier": frontier(study)}


def write_figures(study: Study, folder: Path) -> tuple[Path, ...]:
    """Write every picture as an SVG; equal studies give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with _styled():
        for name, figure in figures(study).items():
            path = folder / f"{name}.svg"
            figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None}, facecolor="white")
            written.append(path)
    return tuple(written)


def power(study: Study) -> Figure:
    """Draw how often a planted edge is found, over its Sharpe ratio, a line a length of record."""
    shown = [family for family in POWER_FAMILIES if _points(study, family)]
    figure = style.canvas(3.1 * math.ceil(max(1, len(shown)) / 2))
    grid = figure.subplots(math.ceil(max(1, len(shown)) / 2), 2, squeeze=False, sharey=True)
    for axes, family in zip(grid.flat, shown, strict=False):
        _power_lines(axes, _points(study, family))
        n_effective = np.mean([point.n_effective for point in _points(study, family)])
        style.titled(
            axes, f"{WORDS[family]} (N_eff {n_effective:.0f})", x="planted excess Sharpe ratio", y="found"
        )
    for axes in list(grid.flat)[len(shown) :]:
        axes.set_visible(False)
    return figure


def _points(study: Study, family: Family) -> list[Point]:
    return [point for point in study.points if point.family is family and point.edge > 0]


def _power_lines(axes: Axes, points: Sequence[Point]) -> None:
    for place, years in enumerate(sorted({point.years for point in points})):
        line = [point for point in points if point.years == years and point.promoted is not None]
        rates = [point.promoted for point in line if point.promoted is not None]
        edges = [point.edge for point in line]
        colour = style.KINDS[place]
        axes.fill_between(
            edges, [r.low for r in rates], [r.high for r in rates], color=colour, alpha=0.15, linewidth=0
        )
        axes.plot(
            edges,
            [r.rate for r in rates],
            color=colour,
            marker=_MARKERS[place],
            linestyle=_DASHES[place % len(_DASHES)],
            markersize=4,
            label=f"{years} years",
        )
    axes.axhline(POWER_LEAST, color=style.MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlim(0.0, 2.05)
    style.as_percent(axes)
    axes.legend(loc="upper left")


def false_promotion(study: Study) -> Figure:
    """Draw how often a world without an edge is promoted, by family and length, with 95% intervals."""
    points = [point for point in study.points if point.edge == 0 and _shown(point) is not None]
    figure = style.canvas(0.8 + 0.24 * max(1, len(points)))
    axes = figure.subplots()
    labels = []
    for row, point in enumerate(reversed(points)):
        rate = _shown(point)
        assert rate is not None, "left out above"
        colour = style.REST if point.family in UNCLAIMED else style.BLUE
        axes.plot([100 * rate.low, 100 * rate.high], [row, row], color=colour, linewidth=2.4, alpha=0.55)
        axes.plot([100 * rate.rate], [row], color=colour, marker="o", markersize=5)
        for gate, marker, mark in (("spa", "s", style.KINDS[3]), ("deflated_sharpe", "^", style.KINDS[4])):
            if gate in point.gates:
                axes.plot(
                    [100 * point.gates[gate].rate], [row], marker=marker, markersize=4, color=mark, alpha=0.9
                )
        length = f", {point.years} years" if point.years else ""
        labels.append(f"{WORDS[point.family]}{length}  n = {rate.n:,}")
    axes.set_yticks(range(len(points)), labels)
    axes.axvline(100 * FALSE_PROMOTION_MOST, color=style.ORANGE, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.plot([], [], color=style.BLUE, marker="o", linewidth=2.4, label="promoted, 95% interval")
    axes.plot([], [], marker="s", linestyle="", color=style.KINDS[3], label="passes step-down SPA alone")
    axes.plot([], [], marker="^", linestyle="", color=style.KINDS[4], label="passes deflated Sharpe alone")
    axes.plot([], [], color=style.ORANGE, linestyle=(0, (4, 3)), label="promise: at most 1%")
    claimed = [point for point in points if point.family not in UNCLAIMED]
    ends = [rate.high for point in claimed if (rate := _shown(point)) is not None]
    axes.set_xlim(-0.15, 110 * max(FALSE_PROMOTION_MOST, *ends, *(r.rate for p in points for r in _luck(p))))
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    axes.legend(loc="lower right")
    style.titled(axes, "Worlds without an edge: who is promoted", x="% of worlds")
    return figure


def _luck(point: Point) -> list[Rate]:
    return [point.gates[gate] for gate in ("spa", "deflated_sharpe") if gate in point.gates]


def _shown(point: Point) -> Rate | None:
    return point.battery or point.promoted


def frontier(study: Study) -> Figure:
    """Draw false promotion against power while one level moves, and where the standard stands."""
    figure = style.canvas(4.2)
    for axes, many in zip(figure.subplots(1, 2, sharey=True), (False, True), strict=True):
        _frontier_lines(axes, study, many=many)
        words = "1,000 trials, excess Sharpe 1.3" if many else "at most 25 trials, excess Sharpe 1.0"
        style.titled(
            axes, f"{words}, 20 years", x="% of no-edge worlds promoted, worst family (log scale)", y="found"
        )
    return figure


# Levels that are written beside their points; all of them would hide the line.
_NAMED = {
    "step_down": {0.002, 0.05},
    "deflated_sharpe": {0.8, 0.99},
    "fewest_trials": {100.0},
}
_MOVED = {
    "step_down": "step-down SPA level",
    "deflated_sharpe": "deflated Sharpe threshold",
    "fewest_trials": "independent trials counted at least",
}


def _frontier_lines(axes: Axes, study: Study, *, many: bool) -> None:
    axes.axvspan(_RAREST, 100 * FALSE_PROMOTION_MOST, ymin=0.0, color=style.PALE, alpha=0.35, linewidth=0)
    axes.axhline(POWER_LEAST, color=style.MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    for place, (moved, words) in enumerate(_MOVED.items()):
        line = [point for point in study.frontier if point.moved == moved]
        places = [_place(point, many=many) for point in line]
        axes.plot(
            [x for x, _ in places],
            [y for _, y in places],
            color=style.KINDS[(0, 3, 4)[place]],
            marker=_MARKERS[place],
            linestyle=_DASHES[place],
            markersize=4,
            label=words,
        )
        for point, (x, y) in zip(line, places, strict=True):
            if getattr(point.levels, moved) not in _NAMED[moved]:
                continue
            axes.annotate(
                f"{getattr(point.levels, moved):g}",
                (x, y),
                xytext=(3, (4, -9, -9)[place]),
                textcoords="offset points",
                fontsize=6.5,
                color=style.KINDS[(0, 3, 4)[place]],
            )
    for x, y in (_place(point, many=many) for point in study.frontier if not point.moved):
        axes.plot([x], [y], marker="*", markersize=13, color=style.INK, linestyle="", zorder=5,
                  label="the standard: the operating point")  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(_RAREST * 0.9, 100.0)
    axes.set_ylim(-0.02, 1.04)
    axes.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    style.as_percent(axes)
    axes.legend(loc="lower right")


def _place(point: FrontierPoint, *, many: bool) -> tuple[float, float]:
    false = point.false_promotion_many if many else point.false_promotion
    found = point.power_many if many else point.power
    return max(_RAREST, 100 * false.rate), found.rate


@contextmanager
def _styled() -> Iterator[None]:
    """Draw in the style of the report, without changing that of anybody else."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "axes.axisbelow": True,
                "axes.edgecolor": style.MUTED,
                "axes.grid": True,
                "axes.grid.axis": "y",
                "axes.labelcolor": style.MUTED,
                "axes.linewidth": 0.6,
                "axes.spines.right": False,
                "axes.spines.top": False,
                "axes.titlecolor": style.INK,
                "axes.titlelocation": "left",
                "axes.titlesize": 9.0,
                "axes.titleweight": "bold",
                "font.size": 8.5,
                "grid.color": style.LINE,
                "legend.fontsize": 7.5,
                "legend.frameon": False,
                "lines.linewidth": 1.3,
                "svg.fonttype": "path",
                "svg.hashsalt": "gauntlet",
                "text.color": style.INK,
                "xtick.color": style.MUTED,
                "ytick.color": style.MUTED,
            }
        )
        yield
