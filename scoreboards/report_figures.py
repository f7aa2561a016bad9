"""The pictures of a report, one function each. What colour says is said by place or words as well."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from engine.domain.panel import FloatArray
from research.cells import BaselineRole
from research.dissection import Axis, Dissection, Surface, surface
from research.registers import register_of
from scoreboards import report_style as style
from scoreboards.report import Report
from scoreboards.report_tables import Passage, note

# A year of days, and as many bars of a shorter kind as can be told apart.
FILL_DAYS = 252
FILL_BARS = 500
FILL_PANELS = 6
KINDS_SHOWN = len(style.KINDS)
WEIGHT_STRETCHES = 150
HALF = 0.5
# A fill below this share of the largest position in sight only trims it.
TRIM = 0.10


def equity(report: Report) -> Figure:
    """Draw what one unit of money became, beside what it would have become without the strategy."""
    account = report.account
    figure = style.canvas(4.0)
    axes = figure.subplots()
    places = style.thinned(len(account.equity))
    when = style.dates(account.timestamps)[places]
    for name, curve, look in _curves(report):
        level = curve / curve[0]
        axes.plot(when, level[places], label=f"{name}  ×{level[-1]:,.2f}", **look)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_yticks(style.nice_multiples(low, high))
    axes.minorticks_off()
    style.as_multiples(axes)
    style.titled(axes, "Growth of the account", y="multiple of the start, log scale")
    axes.legend(loc="upper left")
    _calendar(axes)
    return figure


def _curves(report: Report) -> list[tuple[str, FloatArray, dict[str, Any]]]:
    account = report.account
    known = account.baselines
    own = {"color": style.BLUE, "linewidth": 1.8, "zorder": 4}
    pool = {"color": style.ORANGE, "linewidth": 1.4, "zorder": 3}
    curves: list[tuple[str, FloatArray, dict[str, Any]]] = [
        (report.passport.strategy, account.equity, own),
        (f"pool at the same exposure ({account.exposure:.0%})", account.pool_at_exposure, pool),
    ]
    raw = known[BaselineRole.RAW_POOL]
    if BaselineRole.BENCHMARK in known and not np.array_equal(known[BaselineRole.BENCHMARK], raw):
        look = {"color": style.MUTED, "linewidth": 1.0, "linestyle": (0, (1, 1.5)), "zorder": 2}
        curves.append(("benchmark", known[BaselineRole.BENCHMARK], look))
    market = {"color": style.INK, "linewidth": 1.0, "linestyle": (0, (5, 2)), "zorder": 2}
    if BaselineRole.MARKET in known:
        curves.append((f"market ({report.manifest.market})", known[BaselineRole.MARKET], market))
    else:
        # Nothing else stands for the market here.
        curves.append(("market = pool, fully invested", raw, market))
    return curves


def drawdown(report: Report) -> Figure:
    """Draw how far the account was below its best day, and where the limits stand."""
    account = report.account
    figure = style.canvas(2.6)
    axes = figure.subplots()
    places = style.thinned(len(account.equity))
    when = style.dates(account.timestamps)[places]
    own = style.lowest(_below_peak(account.equity), places)
    pool = style.lowest(_below_peak(account.pool_at_exposure), places)
    axes.fill_between(when, own, 0.0, color=style.PALE, linewidth=0)
    axes.plot(when, own, color=style.BLUE, linewidth=1.0, label=report.passport.strategy)
    axes.plot(when, pool, color=style.ORANGE, linewidth=1.0, label="pool at the same exposure")
    limits = account.settings.limits
    for level, words in (
        (limits.tier_1_drawdown, f"{limits.tier_1_scale:.0%} size"),
        (limits.tier_2_drawdown, f"{limits.tier_2_scale:.0%} size"),
        (limits.halt_drawdown, "halt"),
    ):
        if np.isfinite(level):
            axes.axhline(-level, color=style.MUTED, linewidth=0.7, linestyle=(0, (4, 3)))
            axes.annotate(
                words,
                (1.0, -level),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                color=style.MUTED,
                fontsize=7.5,
                annotation_clip=False,
            )
    axes.set_ylim(top=0.0)
    style.as_percent(axes)
    style.titled(axes, "Drawdown, and where the limits cut the account", y="below the best day so far")
    axes.legend(loc="lower left", ncols=2)
    _calendar(axes)
    return figure


def _below_peak(curve: FloatArray) -> FloatArray:
    return np.asarray(curve / np.maximum.accumulate(curve) - 1.0, dtype=np.float64)


def windows(report: Report) -> "Figure | Passage":
    """Draw what each window earned, and how the history was cut."""
    account = report.account
    if not account.windows:
        return note("One account over the whole history: there are no windows, and nothing is out of sample.")
    figure = style.canvas(4.4)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 1.0])
    stamps = style.dates(account.panel.timestamps)
    starts = np.array([window.test_start for window in account.windows])
    ends = np.append(starts[1:], account.outcome.rows[1] - 1)
    left = _days(stamps[starts])
    wide = _days(stamps[ends]) - left
    earned = account.window_returns
    for sign, colour in ((1.0, style.BLUE), (-1.0, style.ORANGE)):
        kept = np.sign(earned) == sign
        top.bar(left[kept], earned[kept], wide[kept] * 0.9, align="edge", color=colour, linewidth=0)
    top.axhline(0.0, color=style.MUTED, linewidth=0.7)
    style.as_percent(top)
    share = float((earned > 0).mean())
    style.titled(
        top,
        f"Return of each window while its fit was in force: {share:.0%} of {len(earned)} earned, "
        f"median {np.median(earned):+.1%}, worst {earned.min():+.1%}",
        y="return",
    )
    _schedule(bottom, report)
    _calendar(bottom)
    return figure


def _schedule(axes: Axes, report: Report) -> None:
    account = report.account
    cuts = account.windows
    stamps = style.dates(account.panel.timestamps)
    shown = sorted({0, len(cuts) // 2, len(cuts) - 1})
    for place, index in enumerate(shown):
        window = cuts[index]
        for start, stop, colour in (
            (window.train_start, window.train_stop, style.TRAIN),
            (window.test_start, window.test_stop, style.BLUE),
        ):
            begin, end = _days(stamps[[start, stop - 1]])
            axes.broken_barh([(begin, end - begin)], (place - 0.36, 0.72), color=colour, linewidth=0)
        end = _days(stamps[[window.test_stop - 1]])[0]
        words = f"window {index + 1}: {window.train_stop - window.train_start} bars to fit on, then "
        words += f"{window.test_stop - window.test_start} to test"
        before = index == len(cuts) - 1
        edge = _days(stamps[[window.train_start]])[0] if before else end
        axes.annotate(
            words,
            (edge, place),
            xytext=(-4 if before else 4, 0),
            textcoords="offset points",
            ha="right" if before else "left",
            va="center",
            color=style.MUTED,
            fontsize=7.5,
        )
    first, last = _days(stamps[[0, len(account.panel) - 1]])
    sealed = report.manifest.holdout_rows
    if sealed:
        # What is sealed is not loaded, not even its dates: it is drawn as long as that many bars are here.
        length = (last - first) / (len(account.panel) - 1) * sealed
        axes.add_patch(
            Rectangle(
                (last, -0.5),
                length,
                len(shown),
                fill=False,
                edgecolor=style.ORANGE,
                linestyle=(0, (4, 3)),
                linewidth=1.0,
            )
        )
        axes.text(
            last + length / 2,
            (len(shown) - 1) / 2,
            f"hold-out\n{sealed} bars\nsealed",
            ha="center",
            va="center",
            color=style.ORANGE,
            fontsize=7.5,
        )
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    style.titled(axes, "How the history was cut (first, middle and last window)")


def _days(when: "np.ndarray[tuple[int], np.dtype[np.datetime64]]") -> FloatArray:
    """Return dates as matplotlib counts them: days since 1970."""
    return when.astype("datetime64[s]").astype(np.float64) / 86_400.0


def parameters(report: Report) -> "Figure | Passage":
    """Draw how much the result hangs on the exact parameters; every set that is shown counts as tried."""
    found = surface(report.account)
    register_of(report.account.panel).add_all(found.trials)
    match len(found.axes):
        case 0:
            return note(
                f"{report.passport.strategy} has no parameters: nobody can have chosen them to fit the past."
            )
        case 1:
            return _parameter_line(found)
        case _:
            return _parameter_map(found)


def _parameter_line(found: Surface) -> Figure:
    figure = style.canvas(2.8)
    axes = figure.subplots()
    (axis,) = found.axes
    ratios = found.excess_sharpe
    axes.plot(axis.values, ratios, color=style.BLUE, marker="o", markersize=4)
    axes.plot(
        axis.values[axis.chosen],
        ratios[axis.chosen],
        marker="o",
        markersize=11,
        markerfacecolor="none",
        markeredgecolor=style.INK,
        linestyle="none",
        label=f"chosen: {axis.values[axis.chosen]:g}",
    )
    axes.axhline(0.0, color=style.MUTED, linewidth=0.7)
    style.titled(axes, f"Excess Sharpe around the chosen {axis.name}", x=axis.name, y="excess Sharpe, net")
    axes.legend(loc="best")
    return figure


def _parameter_map(found: Surface) -> Figure:
    figure = style.canvas(3.9)
    axes, beside = figure.subplots(1, 2, width_ratios=[1.6, 1.0])
    first, second = found.axes
    ratios = found.excess_sharpe
    largest = max(0.5, float(np.nanmax(np.abs(ratios))))
    image = axes.pcolormesh(ratios, cmap=style.SCALE, vmin=-largest, vmax=largest, edgecolors="none")
    for (row, column), value in np.ndenumerate(ratios):
        if np.isnan(value):
            axes.text(column + 0.5, row + 0.5, "–", ha="center", va="center", color=style.MUTED)
            continue
        colour = style.text_on(image.cmap(image.norm(value)))
        # Adding zero takes the sign off a rounded zero.
        words = f"{round(value, 2) + 0.0:+.2f}"
        axes.text(column + 0.5, row + 0.5, words, ha="center", va="center", color=colour, fontsize=8)
    axes.add_patch(
        Rectangle(
            (second.chosen, first.chosen), 1, 1, fill=False, edgecolor=style.INK, linewidth=2.4, zorder=5
        )
    )
    _labelled(axes.set_xticks, second)
    _labelled(axes.set_yticks, first)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    style.titled(axes, "Excess Sharpe, net (framed: as chosen)", x=second.name, y=first.name)
    known = np.sort(ratios[np.isfinite(ratios)])
    chosen = ratios[first.chosen, second.chosen]
    beside.plot(
        np.arange(1, len(known) + 1), known, color=style.BLUE, marker="o", markersize=3, linewidth=0.8
    )
    place = int(np.searchsorted(known, chosen)) + 1
    beside.plot(
        place,
        chosen,
        marker="o",
        markersize=11,
        markerfacecolor="none",
        markeredgecolor=style.INK,
        linestyle="none",
    )
    beside.set_ylim(min(0.0, float(known[0])) - 0.05 * largest, max(0.0, float(known[-1])) + 0.12 * largest)
    beside.axhline(0.0, color=style.MUTED, linewidth=0.7)
    style.titled(
        beside,
        f"The choice is number {len(known) - place + 1} of {len(known)}",
        x="neighbours, worst to best",
        y="excess Sharpe, net",
    )
    return figure


def _labelled(set_ticks: Callable[..., Any], axis: Axis) -> None:
    places = [place + 0.5 for place in range(len(axis.values))]
    set_ticks(places, [f"{value:g}" for value in axis.values])


def sensitivity(report: Report) -> Figure:
    """Draw what is left of the edge when costs rise or fills come later."""
    found = report.what_if
    figure = style.canvas(0.5 + 0.34 * len(found))
    axes = figure.subplots()
    names = list(found)[::-1]
    ratios = np.array([found[name].excess_sharpe for name in names])
    colours = [style.BLUE if ratio > 0 else style.ORANGE for ratio in ratios]
    axes.barh(names, ratios, color=colours, height=0.62, linewidth=0)
    for place, ratio in enumerate(ratios):
        axes.annotate(
            f"{ratio:+.2f}",
            (ratio, place),
            xytext=(4 if ratio >= 0 else -4, 0),
            textcoords="offset points",
            ha="left" if ratio >= 0 else "right",
            va="center",
        )
    axes.axvline(0.0, color=style.MUTED, linewidth=0.7)
    axes.margins(x=0.10)
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0, labelcolor=style.INK)
    style.titled(axes, "", x="excess Sharpe, net")
    return figure


def weights(report: Report) -> Figure:
    """Draw what the account really held: the mean of each stretch of its history, the rest is cash."""
    account = report.account
    figure = style.canvas(3.6)
    axes = figure.subplots()
    edges = np.unique(np.linspace(0, len(account.equity), WEIGHT_STRETCHES + 1).round().astype(np.int64))
    starts = edges[:-1]
    lengths = np.diff(edges)
    means = np.add.reduceat(account.weights, starts, axis=0) / lengths[:, None]
    size = np.abs(account.weights)
    order = np.argsort(-size.mean(axis=0), kind="stable")
    order = order[size[:, order].max(axis=0) > 0]
    kept, rest = order[:KINDS_SHOWN], order[KINDS_SHOWN:]
    names = [account.panel.symbols[n] for n in kept]
    colours = list(style.KINDS[: len(kept)])
    groups = [[n] for n in kept]
    if rest.size:
        names.append(f"{rest.size} others")
        colours.append(style.REST)
        groups.append(list(rest))
    middle = style.dates(account.timestamps)[starts + lengths // 2]
    # Shorts hang below the line: a stack that mixed signs would hide both.
    for part, labels in ((np.maximum(means, 0.0), names), (np.minimum(means, 0.0), ())):
        if part.any():
            stack = [part[:, group].sum(axis=1) for group in groups]
            axes.stackplot(middle, stack, labels=labels, colors=colours, linewidth=0)
    highest = float(np.maximum(means, 0.0).sum(axis=1).max())
    # The whole account, unless most of it was cash all the time.
    top = max(1.0, highest) if highest > HALF else np.ceil(highest * 10.5) / 10
    axes.set_ylim(float(np.minimum(means, 0.0).sum(axis=1).min()), top)
    style.as_percent(axes)
    bars = round(float(lengths.mean()))
    style.titled(axes, f"Mean of each {bars} bars; blank is cash", y="share of the account")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside right center", handlelength=1.0)
    _calendar(axes)
    return figure


def fills(report: Report) -> "Figure | Passage":
    """Draw the last year of the instruments that were traded most, and where it bought and sold."""
    account = report.account
    first, last = _sight(account)
    inside = (account.fills.row >= first) & (account.fills.row < last)
    traded = np.zeros(len(account.panel.symbols))
    notional = np.abs(account.fills.lots) * account.fills.price
    np.add.at(traded, account.fills.instrument[inside], notional[inside])
    chosen = np.argsort(-traded, kind="stable")[:FILL_PANELS]
    chosen = chosen[traded[chosen] > 0]
    if not chosen.size:
        return note("Nothing was traded in the last year of the account.")
    lines = (len(chosen) + 1) // 2
    figure = style.canvas(0.5 + 1.75 * lines)
    grid = figure.subplots(lines, 2, sharex=True, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place < len(chosen):
            _fills_of(axes, account, int(chosen[place]), first, last)
            _calendar(axes)
        else:
            axes.set_axis_off()
    grid.flat[0].legend(loc="best", fontsize=7.5, ncols=2, columnspacing=1.0, handletextpad=0.4)
    return figure


def _sight(account: Dissection) -> tuple[int, int]:
    start, stop = account.outcome.rows
    bars = FILL_DAYS if account.panel.bars_a_day == 1 else FILL_BARS
    return max(start, stop - bars), stop


def _fills_of(axes: Axes, account: Dissection, instrument: int, first: int, last: int) -> None:
    """Draw one instrument: its closes, drawn thick while it was held, and its fills."""
    quote = account.panel.instruments[instrument].quote
    offset = account.outcome.rows[0]
    rows = np.arange(first, last)
    when = style.dates(account.panel.timestamps)
    marks = account.marks[rows - offset, instrument]
    units = account.units[rows - offset, instrument]
    axes.plot(when[rows], marks, color=style.MUTED, linewidth=0.7)
    held = np.where(units > 0, marks, np.nan)
    axes.plot(
        when[rows], held, color=style.PALE, linewidth=3.2, solid_capstyle="butt", zorder=1, label="held"
    )
    own = account.fills
    here = (own.instrument == instrument) & (own.row >= first) & (own.row < last)
    largest = max(np.abs(units).max() / account.settings.rules.lot_size, np.abs(own.lots[here]).max())
    is_trim = np.abs(own.lots) < TRIM * largest
    for name, side, marker, colour in (("buy", 1, "^", style.BLUE), ("sell", -1, "v", style.ORANGE)):
        of_side = here & (np.sign(own.lots) == side)
        for chosen, size, label in ((of_side & ~is_trim, 34.0, name), (of_side & is_trim, 5.0, None)):
            axes.scatter(
                when[own.row[chosen]],
                own.price[chosen],
                s=size,
                marker=marker if label else ".",
                color=colour,
                linewidths=0,
                zorder=3,
                label=label,
            )
    count = int(here.sum())
    trims = int((here & is_trim).sum())
    words = f"{count} fill{'s' if count != 1 else ''}" + (f", {trims} of them trims" if trims else "")
    style.titled(axes, f"{account.panel.symbols[instrument]}: {words}", y=f"price ({quote})")


def _calendar(axes: Axes) -> None:
    locator = AutoDateLocator(minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator, show_offset=False)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(formatter)
    axes.margins(x=0.01)
