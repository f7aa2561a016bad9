"""The pictures of a tuning, one function each. What colour says is said by place, shape or words as well."""

import io
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from engine.domain.panel import FloatArray, IntArray
from research.tuning import Tuning
from research.tuning_objectives import BoolArray
from research.tuning_search import Fate, Range, Searched, ranks_of
from scoreboards import report_style as style

BINS = 12
"""Cells a side of the heat map, and stretches of a slice."""

PLATEAU = 0.9
"""A cell belongs to the plateau if its mean rank is at least this share of the best cell's."""

_NAMES_OF_WINDOWS = 40


def equity(tuning: Tuning) -> Figure:
    """Draw what one unit of money became, tuned, untuned and in the pool."""
    played = tuning.played
    figure = style.canvas(4.0)
    axes = figure.subplots()
    places = style.thinned(len(played.timestamps))
    when = style.dates(played.timestamps)[places]
    solid, dashes, dots = "-", (0, (6, 2)), (0, (1, 1.5))
    looks = [
        (played.tuned, "tuned", style.BLUE, 1.9, solid),
        (played.untuned, "untuned", style.ORANGE, 1.4, dashes),
        (played.pool, "equally weighted pool", style.INK, 1.0, dots),
    ]
    for track, name, colour, width, line in looks:
        level = track.equity / track.equity[0]
        label = f"{name}  ×{level[-1]:,.2f}"
        axes.plot(when, level[places], label=label, color=colour, linewidth=width, linestyle=line)
    for window in played.windows:
        start = style.dates(tuning.panel.timestamps[window.start : window.start + 1])[0]
        axes.axvline(start, color=style.LINE, linewidth=0.8, zorder=0)
    axes.set_yscale("log")
    axes.set_yticks(style.nice_multiples(*axes.get_ylim()))
    axes.minorticks_off()
    style.as_multiples(axes)
    style.titled(axes, "Out of sample (upright lines: new parameters)", y="multiple of the start, log scale")
    axes.legend(loc="upper left")
    _calendar(axes)
    return figure


def promised(tuning: Tuning) -> Figure:
    """Draw for each window what the chosen parameters were worth in training, and what came after."""
    figure = style.canvas(3.4)
    axes = figure.subplots()
    known = [
        (place, window.in_sample[0], window.out_of_sample[0])
        for place, window in enumerate(tuning.played.windows)
        if window.in_sample is not None and window.out_of_sample is not None
    ]
    for place, before, after in known:
        colour = style.BLUE if after >= before else style.ORANGE
        axes.plot([place, place], [before, after], color=colour, linewidth=1.0, zorder=2)
    places = [item[0] for item in known]
    axes.scatter(
        places,
        [item[1] for item in known],
        label="chosen set, in training",
        facecolors="none",
        edgecolors=style.MUTED,
        s=26,
        zorder=3,
    )
    axes.scatter(
        places, [item[2] for item in known], label="the same set, after it", color=style.BLUE, s=26, zorder=4
    )
    untuned = [
        (place, window.untuned_out_of_sample[0])
        for place, window in enumerate(tuning.played.windows)
        if window.untuned_out_of_sample is not None
    ]
    axes.scatter(
        [item[0] for item in untuned],
        [item[1] for item in untuned],
        label="untuned, after it",
        marker="x",
        color=style.ORANGE,
        s=22,
        linewidths=1.2,
        zorder=3,
    )
    axes.axhline(0.0, color=style.MUTED, linewidth=0.8)
    _windows(axes, tuning)
    objective = tuning.quest.objectives[0]
    style.titled(axes, "What training promised and what came", x="in force from", y=objective)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def parameters(tuning: Tuning) -> Figure:
    """Draw how each searched parameter moved from window to window."""
    ranges = tuning.quest.ranges
    figure = style.canvas(0.7 + 1.35 * len(ranges))
    grid = figure.subplots(len(ranges), 1, sharex=True, squeeze=False)[:, 0]
    windows = tuning.played.windows
    rows = [*(window.start for window in windows), windows[-1].stop - 1]
    when = style.dates(tuning.panel.timestamps[rows])
    for axes, item in zip(grid, ranges, strict=True):
        values = [float(window.parameters[item.name]) for window in windows]
        axes.step(when, [*values, values[-1]], where="post", color=style.BLUE, linewidth=1.8)
        base = float(tuning.quest.base[item.name])
        axes.axhline(base, color=style.ORANGE, linewidth=1.2, linestyle=(0, (6, 2)))
        room = 0.04 * (item.high - item.low)
        axes.set_ylim(item.low - room, item.high + room)
        style.titled(
            axes, f"{item.name}, searched from {item.low:g} to {item.high:g} (dashed: untuned {base:g})"
        )
    _calendar(grid[-1])
    return figure


def history(tuning: Tuning) -> Figure:
    """Draw how the best set so far came closer to the one that was found in the end."""
    figure = style.canvas(2.9)
    axes = figure.subplots()
    curves = np.array([_best_so_far(window.searched) for window in tuning.played.windows])
    steps = np.arange(1, curves.shape[1] + 1)
    low, middle, high = (np.nanquantile(curves, share, axis=0) for share in (0.1, 0.5, 0.9))
    axes.fill_between(steps, low, high, color=style.PALE, linewidth=0, label="eight of ten windows")
    axes.plot(steps, middle, color=style.BLUE, linewidth=1.8, label="middle window")
    axes.set_ylim(min(0.0, float(low.min())), 1.02)
    axes.margins(x=0.01)
    style.titled(
        axes, "Progress of the search", x="parameter sets played", y="rank of the best so far in its window"
    )
    axes.legend(loc="lower right")
    return figure


def slices(tuning: Tuning) -> Figure:
    """Draw how the sets of all windows rank along each parameter."""
    ranges = tuning.quest.ranges
    columns = min(3, len(ranges))
    lines = -(-len(ranges) // columns)
    figure = style.canvas(0.5 + 2.5 * lines)
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    points, ranks, chosen = _ranked(tuning)
    for axes, item, place in zip(grid, ranges, range(len(ranges)), strict=False):
        values = points[:, place]
        middles, low, middle, high = _along(values, ranks, item)
        axes.fill_between(middles, low, high, color=style.PALE, linewidth=0, label="half of the sets")
        axes.plot(middles, middle, color=style.BLUE, linewidth=1.8, label="mean of a stretch")
        marks = {"marker": "|", "markersize": 11, "linestyle": "none", "color": style.ORANGE}
        top = np.full(int(chosen.sum()), 1.06)
        axes.plot(values[chosen], top, label="chosen in a window", clip_on=False, **marks)
        axes.set_ylim(0.0, 1.12)
        share = tuning.importance.get(item.name)
        words = f", importance {share:.0%}" if share is not None else ""
        style.titled(axes, f"{item.name}{words}", x=item.name)
    for axes in grid[len(ranges) :]:
        axes.set_visible(False)
    grid[0].set_ylabel("rank in its window (1: best)")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def heat_map(tuning: Tuning) -> Figure | None:
    """Draw how sets rank over the two parameters that matter most; None with a single parameter."""
    ranges = tuning.quest.ranges
    if len(ranges) < 2:
        return None
    order = sorted(range(len(ranges)), key=lambda place: -tuning.importance.get(ranges[place].name, 0.0))
    across, up = order[0], order[1]
    points, ranks, chosen = _ranked(tuning)
    cells = [_cells(points[:, place], ranges[place]) for place in (across, up)]
    counts = np.zeros((BINS, BINS))
    sums = np.zeros((BINS, BINS))
    np.add.at(counts, (cells[1], cells[0]), 1.0)
    np.add.at(sums, (cells[1], cells[0]), ranks)
    with np.errstate(invalid="ignore"):
        means = np.where(counts > 0, sums / counts, np.nan)
    figure = style.canvas(5.0)
    axes = figure.subplots()
    edges = [np.linspace(ranges[place].low, ranges[place].high, BINS + 1) for place in (across, up)]
    middle, best = float(ranks.mean()), float(np.nanmax(means))
    shades = TwoSlopeNorm(middle, 0.0, best) if 0.0 < middle < best else None
    image = axes.pcolormesh(edges[0], edges[1], means, cmap=style.SCALE, norm=shades)
    _mark_plateau(axes, plateau_cells(sums, counts), edges)
    axes.scatter(
        points[chosen, across],
        points[chosen, up],
        marker="D",
        s=26,
        facecolors="white",
        edgecolors=style.ON_LIGHT,
        linewidths=1.0,
        label="chosen in a window",
        zorder=5,
    )
    bar = figure.colorbar(image, ax=axes, pad=0.01)
    bar.set_label(f"mean rank in its window (1: best; all sets: {middle:.2f})")
    bar.outline.set_visible(False)
    if bar.solids is not None:
        # A drawing of lines and areas only: a picture inside would not be sharp on paper.
        bar.solids.set_rasterized(False)
        bar.solids.set_edgecolor("face")
    axes.grid(visible=False)
    names = [ranges[place].name for place in (across, up)]
    style.titled(
        axes, "Where the good sets are (framed: the plateau; empty: never played)", x=names[0], y=names[1]
    )
    figure.legend(loc="outside lower center")
    return figure


def front(tuning: Tuning) -> Figure | None:
    """Draw the first two objectives of the last window's sets, and those that none beats; None with one."""
    objectives = tuning.quest.objectives
    found = tuning.played.windows[-1].searched
    complete = [item for item in found.tried if item.fate is Fate.COMPLETE]
    if len(objectives) < 2 or not complete:
        return None
    figure = style.canvas(3.6)
    axes = figure.subplots()
    values = np.array([item.values for item in complete])
    best = np.array([item.number in found.front for item in complete])
    chosen = np.array([item.number == found.chosen for item in complete])
    axes.scatter(values[~best, 0], values[~best, 1], s=12, color=style.TRAIN, label="beaten by another set")
    axes.scatter(values[best, 0], values[best, 1], s=26, color=style.BLUE, label="on the front")
    axes.scatter(
        values[chosen, 0],
        values[chosen, 1],
        marker="D",
        s=60,
        facecolors="none",
        edgecolors=style.ORANGE,
        linewidths=2.0,
        label="chosen: best where it is worst",
    )
    style.titled(axes, "Front of the last window, in training", x=objectives[0], y=objectives[1])
    axes.legend(loc="best")
    return figure


FIGURES: dict[str, tuple[Callable[[Tuning], Figure | None], str]] = {
    "equity": (equity, "Growth of the tuned account, the untuned one and the pool"),
    "promised": (promised, "The objective in training and after it, window by window"),
    "parameters": (parameters, "Chosen parameters over time"),
    "heat_map": (heat_map, "Rank of parameter sets over the two most important parameters, plateau framed"),
    "slices": (slices, "Rank of parameter sets along each parameter"),
    "front": (front, "Pareto front of the last window"),
    "history": (history, "Progress of the search over parameter sets"),
}
"""By name: how it is drawn, and what it shows in words."""


def draw_all(tuning: Tuning) -> dict[str, str]:
    """Return every figure as the text of an SVG file, by name; equal tunings give equal texts."""
    drawn = {}
    with mpl.rc_context():
        style.look()
        for name, (draw, _) in FIGURES.items():
            figure = draw(tuning)
            if figure is not None:
                text = io.StringIO()
                figure.savefig(text, format="svg", metadata=dict(style.NO_METADATA))
                drawn[name] = text.getvalue()
    return drawn


# ---------------------------------------------------------------------------------------------- the parts


def _ranked(tuning: Tuning) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return the sets of all windows, shape (n, d), their ranks and whether they were chosen, shape (n,)."""
    points, ranks, chosen = [], [], []
    for window in tuning.played.windows:
        found = window.searched
        for number, rank in ranks_of(found.tried).items():
            tried = found.tried[number]
            points.append([float(tried.parameters[item.name]) for item in tuning.quest.ranges])
            ranks.append(rank)
            chosen.append(number == found.chosen)
    return np.array(points), np.array(ranks), np.array(chosen)


def _best_so_far(found: Searched) -> FloatArray:
    return np.maximum.accumulate(np.array(list(ranks_of(found.tried).values())))


def _cells(values: FloatArray, item: Range) -> IntArray:
    share = (values - item.low) / (item.high - item.low)
    return np.minimum((share * BINS).astype(np.int64), BINS - 1)


def _along(
    values: FloatArray, ranks: FloatArray, item: Range
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return the middle of each stretch of a parameter, and lower quartile, mean and upper quartile there."""
    cells = _cells(values, item)
    places = np.unique(cells)
    middles = item.low + (places + 0.5) / BINS * (item.high - item.low)
    parts = [ranks[cells == place] for place in places]
    low, high = (np.array([np.quantile(part, share) for part in parts]) for share in (0.25, 0.75))
    return middles, low, np.array([part.mean() for part in parts]), high


def plateau_cells(sums: FloatArray, counts: FloatArray) -> BoolArray:
    """Say which cells belong to the plateau: around the best cell, nearly as good, side by side.

    A cell is as good as the sets in it and in the eight around it, so that one lucky set makes no plateau.

    Parameters
    ----------
    sums, counts
        Shape (rows, columns), sum of the ranks of the sets in a cell, and how many there are.
    """
    with np.errstate(invalid="ignore"):
        known = np.where(counts > 0, _around(sums) / _around(counts), np.nan)
    part: BoolArray = np.zeros(counts.shape, dtype=np.bool_)
    if np.isnan(known).all():
        return part
    good = np.nan_to_num(known, nan=-1.0) >= PLATEAU * np.nanmax(known)
    part.flat[int(np.nanargmax(known))] = True
    while True:
        wider = part.copy()
        wider[1:] |= part[:-1]
        wider[:-1] |= part[1:]
        wider[:, 1:] |= part[:, :-1]
        wider[:, :-1] |= part[:, 1:]
        wider &= good
        if (wider == part).all():
            return part
        part = wider


def _around(values: FloatArray) -> FloatArray:
    """Return the sum of each cell and the eight around it."""
    rows, columns = values.shape
    wide = np.pad(values, 1)
    parts = [wide[up : up + rows, across : across + columns] for up in range(3) for across in range(3)]
    return np.asarray(np.sum(parts, axis=0), dtype=np.float64)


def _mark_plateau(axes: Axes, part: BoolArray, edges: list[FloatArray]) -> None:
    """Frame every cell of the plateau on the sides that lead out of it."""
    around = np.pad(part, 1)
    for row, column in np.argwhere(part).tolist():
        left, right, low, high = edges[0][column], edges[0][column + 1], edges[1][row], edges[1][row + 1]
        sides = (
            (around[row + 1, column], [left, left], [low, high]),
            (around[row + 1, column + 2], [right, right], [low, high]),
            (around[row, column + 1], [left, right], [low, low]),
            (around[row + 2, column + 1], [left, right], [high, high]),
        )
        for inside, across, up in sides:
            if not inside:
                axes.plot(across, up, color=style.ON_LIGHT, linewidth=2.2, zorder=4)


def _windows(axes: Axes, tuning: Tuning) -> None:
    """Label places by the month from which a window's parameters are in force."""
    starts = [tuning.panel.timestamps[window.start] for window in tuning.played.windows]
    step = max(1, -(-len(starts) // _NAMES_OF_WINDOWS))
    names = [str(start.astype("datetime64[ns]").astype("datetime64[M]")) for start in starts]
    axes.set_xticks(
        range(0, len(starts), step), names[::step], rotation=60, ha="right", rotation_mode="anchor"
    )
    axes.set_xlim(-0.6, len(starts) - 0.4)


def _calendar(axes: Axes) -> None:
    locator = AutoDateLocator(minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]
    axes.margins(x=0.01)
