"""Small drawings for the page, as SVG text. Shape or place always says what colour says."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

BLOCK_CLIP = 3.0
SPARK_WIDTH, SPARK_HEIGHT = 100, 28
INTERVAL_WIDTH, INTERVAL_HEIGHT = 120, 22
BLOCK_WIDTH, BLOCK_HEIGHT = 170, 30
EQUITY_WIDTH, EQUITY_HEIGHT = 250, 110
BARS_WIDTH, BARS_LINE, BARS_NAME, BARS_VALUE = 240, 17, 78, 50
LINE_WIDTH, LINE_HEIGHT = 190, 78


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values from `low` to `high` on a width in pixels."""

    low: float
    high: float
    width: float

    def at(self, value: float) -> float:
        """Return the place of a value, kept inside the drawing."""
        share = (value - self.low) / (self.high - self.low)
        return round(min(1.0, max(0.0, share)) * self.width, 1)


def interval_scale(values: Sequence[float]) -> Scale:
    """Return one scale for all rows of a table, with zero inside it."""
    known = [value for value in values if value == value and abs(value) != float("inf")]
    low, high = min([0.0, *known]), max([0.0, *known])
    room = 0.08 * (high - low) or 1.0
    return Scale(low - room, high + room, INTERVAL_WIDTH)


def interval(lower: float, point: float, scale: Scale, tone: str) -> Markup:
    """Draw a line from the lower bound to the point estimate, and where zero is."""
    zero = scale.at(0.0)
    left, right = scale.at(lower), scale.at(point)
    return Markup(
        '<svg width="{w}" height="{h}" role="img" aria-label="from {lower:+.2f} to {point:+.2f}">'
        '<line class="zero" x1="{zero}" x2="{zero}" y1="2" y2="20"/>'
        '<line class="{tone} bar" x1="{left}" x2="{right}" y1="11" y2="11"/>'
        '<circle class="{tone} dot" cx="{right}" cy="11" r="4.5"/></svg>'
    ).format(
        w=INTERVAL_WIDTH,
        h=INTERVAL_HEIGHT,
        lower=lower,
        point=point,
        zero=zero,
        left=left,
        right=right,
        tone=tone,
    )


def sparkline(curve: Sequence[float], tone: str) -> Markup:
    """Draw an equity curve on a logarithm-free scale; the faint line is the start."""
    if len(curve) < 2:
        return Markup("")
    low, high = min(curve), max(curve)
    span = (high - low) or 1.0
    inner = SPARK_HEIGHT - 4

    def height(value: float) -> float:
        return round(2 + (high - value) / span * inner, 1)

    step = SPARK_WIDTH / (len(curve) - 1)
    points = " ".join(f"{place * step:.1f},{height(value)}" for place, value in enumerate(curve))
    return Markup(
        '<svg width="{w}" height="{h}" role="img" aria-label="equity from 1 to {end:.2f}">'
        '<line class="start" x1="0" x2="{w}" y1="{start}" y2="{start}"/>'
        '<polyline class="{tone} curve" points="{points}"/></svg>'
    ).format(w=SPARK_WIDTH, h=SPARK_HEIGHT, end=curve[-1], start=height(curve[0]), tone=tone, points=points)


def equity(curve: Sequence[float], reference: Sequence[float], tone: str, name: str) -> Markup:
    """Draw an account over the one that it is compared with, on one logarithmic scale from the same start.

    The account is a whole line, the reference a dashed one; what each became stands at its end.
    """
    if len(curve) < 2:
        return Markup("")
    known = [value for value in (*curve, *reference) if value > 0]
    low, high = math.log(min(known)), math.log(max(known))
    span = (high - low) or 1.0
    wide, inner = EQUITY_WIDTH - 52, EQUITY_HEIGHT - 16

    def height(value: float) -> float:
        # An account that lost everything has no logarithm: it lies on the ground.
        share = (math.log(value) - low) / span if value > 0 else 0.0
        return round(8 + (1.0 - share) * inner, 1)

    def points(values: Sequence[float]) -> str:
        step = wide / (len(values) - 1)
        return " ".join(f"{place * step:.0f},{height(value)}" for place, value in enumerate(values))

    has_reference = len(reference) > 1
    ends = [height(curve[-1]), height(reference[-1]) if has_reference else 0.0]
    if has_reference and abs(ends[0] - ends[1]) < 11:
        # Two numbers on one another are none.
        middle, up = (ends[0] + ends[1]) / 2, 5.5 if ends[0] <= ends[1] else -5.5
        ends = [middle - up, middle + up]
    label = f"{name}: equity from 1 to {curve[-1]:.2f}"
    label += f", the pool to {reference[-1]:.2f}" if has_reference else ""
    return Markup(
        '<svg class="fig" width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img" aria-label="{label}">'
        '<line class="start" x1="0" x2="{wide}" y1="{start}" y2="{start}"/>{reference}'
        '<polyline class="{tone} curve" points="{points}"/>'
        '<text class="end" x="{x}" y="{end}">{value}</text></svg>'
    ).format(
        w=EQUITY_WIDTH,
        h=EQUITY_HEIGHT,
        label=label,
        wide=wide,
        start=height(curve[0]),
        reference=Markup(
            '<polyline class="pool" points="{points}"/><text x="{x}" y="{end}">{value}</text>'
        ).format(
            points=points(reference), x=wide + 4, end=round(ends[1] + 4, 1), value=_multiple(reference[-1])
        )
        if has_reference
        else "",
        tone=tone,
        points=points(curve),
        x=wide + 4,
        end=round(ends[0] + 4, 1),
        value=_multiple(curve[-1]),
    )


def _multiple(value: float) -> str:
    """Write what one unit became, short enough for the margin.

    Examples
    --------
    >>> _multiple(2.414), _multiple(103.94), _multiple(23456.0)
    ('×2.41', '×104', '×23k')
    """
    if value >= 10_000:
        return f"×{value / 1000:.0f}k"
    return f"×{value:.0f}" if value >= 100 else f"×{value:.2f}"


def bars(parts: Sequence[tuple[str, float]], limit: float, label: str) -> Markup:
    """Draw named shares as bars from a line: to the right earns, to the left loses. `limit` fills a side."""
    if not parts:
        return Markup("")
    side = (BARS_WIDTH - BARS_NAME - BARS_VALUE) / 2
    middle = BARS_NAME + side
    height = BARS_LINE * len(parts)
    drawn = []
    for place, (name, value) in enumerate(parts):
        size = round(min(abs(value) / limit, 1.0) * side, 1) if limit > 0 else 0.0
        top = place * BARS_LINE
        drawn.append(
            Markup(
                '<text x="0" y="{base}">{name}</text>'
                '<rect class="{tone}" x="{x}" y="{y}" width="{w}" height="10"/>'
                '<text class="end" x="{right}" y="{base}" text-anchor="end">{value:+.1%}</text>'
            ).format(
                base=top + 12,
                name=name,
                tone="up" if value >= 0 else "down",
                x=round(middle if value >= 0 else middle - size, 1),
                y=top + 3,
                w=size,
                right=BARS_WIDTH,
                value=value,
            )
        )
    told = ", ".join(f"{name} {value:+.1%}" for name, value in parts)
    return Markup(
        '<svg class="fig" width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img" '
        'aria-label="{label}: {told}">{drawn}<line class="axis" x1="{m}" x2="{m}" y1="0" y2="{h}"/></svg>'
    ).format(w=BARS_WIDTH, h=height, label=label, told=told, drawn=Markup("").join(drawn), m=middle)


def steps(points: Sequence[tuple[float, float]], name_of: Callable[[float], str], label: str) -> Markup:
    """Draw a value over a few settings, evenly spaced, with the line of zero; every value is written."""
    if len(points) < 2:
        return Markup("")
    values = [value for _, value in points]
    low, high = min(0.0, *values), max(0.0, *values)
    span = (high - low) or 1.0
    left, wide, top, inner = 20.0, LINE_WIDTH - 40.0, 16.0, LINE_HEIGHT - 38.0

    def height(value: float) -> float:
        return round(top + (high - value) / span * inner, 1)

    xs = [round(left + place * wide / (len(points) - 1), 1) for place in range(len(points))]
    drawn = [
        Markup(
            '<circle class="{tone}" cx="{x}" cy="{y}" r="3"/>'
            '<text class="end" x="{x}" y="{above}" text-anchor="middle">{value:+.2f}</text>'
            '<text x="{x}" y="{foot}" text-anchor="middle">{name}</text>'
        ).format(
            tone="up" if value > 0 else "down",
            x=x,
            y=height(value),
            above=round(height(value) - 6, 1),
            value=value,
            foot=LINE_HEIGHT - 3,
            name=name_of(setting),
        )
        for x, (setting, value) in zip(xs, points, strict=True)
    ]
    told = ", ".join(f"{name_of(setting)} {value:+.2f}" for setting, value in points)
    return Markup(
        '<svg class="fig" width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img" '
        'aria-label="{label}: {told}"><line class="axis" x1="0" x2="{w}" y1="{zero}" y2="{zero}"/>'
        '<polyline class="ref curve" points="{points}"/>{drawn}</svg>'
    ).format(
        w=LINE_WIDTH,
        h=LINE_HEIGHT,
        label=label,
        told=told,
        zero=height(0.0),
        points=" ".join(f"{x},{height(value)}" for x, value in zip(xs, values, strict=True)),
        drawn=Markup("").join(drawn),
    )


def blocks(ratios: Sequence[float]) -> Markup:
    """Draw a Sharpe ratio a year of 252 days: bars above the line earned, bars below it lost."""
    if not ratios:
        return Markup("")
    wide = max(3, min(20, BLOCK_WIDTH // len(ratios)))
    middle = BLOCK_HEIGHT / 2
    bars = []
    for place, ratio in enumerate(ratios):
        size = max(1.0, min(abs(ratio), BLOCK_CLIP) / BLOCK_CLIP * (middle - 1))
        top = middle - size if ratio >= 0 else middle
        bars.append(
            Markup(
                '<rect class="{tone}" x="{x}" y="{y}" width="{w}" height="{h}"><title>{t}</title></rect>'
            ).format(
                tone="up" if ratio >= 0 else "down",
                x=place * wide,
                y=round(top, 1),
                w=wide - 1,
                h=round(size, 1),
                t=f"year {place + 1}: {ratio:+.1f}",
            )
        )
    positive = sum(ratio > 0 for ratio in ratios)
    return Markup(
        '<svg width="{w}" height="{h}" role="img" aria-label="{p} of {n} years positive">{bars}'
        '<line class="start" x1="0" x2="{w}" y1="{m}" y2="{m}"/></svg>'
    ).format(
        w=wide * len(ratios),
        h=BLOCK_HEIGHT,
        p=positive,
        n=len(ratios),
        bars=Markup("").join(bars),
        m=middle,
    )


def windows(*, rows: int, train: int, test: int, step: int, count: int, sealed: int) -> Markup:
    """Draw how the history was cut: the first and the last windows, true to scale, and the seal."""
    width, line = 1000, 16
    shown = list(range(count)) if count <= 8 else [0, 1, 2, *range(count - 3, count)]
    scale = Scale(0.0, float(rows + sealed), float(width))
    parts = []
    for place, index in enumerate(shown):
        top = 6 + place * line + (line if count > 8 and place >= 3 else 0)
        begin = index * step
        for tone, start, stop in (
            ("train", begin, begin + train),
            ("test", begin + train, begin + train + test),
        ):
            parts.append(
                Markup('<rect class="{tone}" x="{x}" y="{y}" width="{w}" height="10"/>').format(
                    tone=tone,
                    x=scale.at(start),
                    y=top,
                    w=max(2.0, round(scale.at(stop) - scale.at(start), 1)),
                )
            )
    skipped = len(shown) < count
    height = 6 + (len(shown) + skipped) * line
    if skipped:
        parts.append(
            Markup(
                '<text class="mut" x="{x}" y="{y}" text-anchor="middle">'
                "… {n} more windows, {s} bars apart …</text>"
            ).format(x=width / 2, y=6 + 3 * line + 10, n=count - len(shown), s=step)
        )
    if sealed:
        parts.append(
            Markup('<rect class="seal" x="{x}" y="3" width="{w}" height="{h}"/>').format(
                x=scale.at(rows), w=round(width - scale.at(rows) - 1, 1), h=height - 4
            )
        )
    return Markup(
        '<svg class="windows" viewBox="0 0 {w} {h}" role="img" aria-label="walk-forward windows">{p}</svg>'
    ).format(w=width, h=height + 2, p=Markup("").join(parts))
