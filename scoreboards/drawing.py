"""Small drawings for the page, as SVG text. Shape or place always says what colour says."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

BLOCK_CLIP = 3.0
SPARK_WIDTH, SPARK_HEIGHT = 100, 28
INTERVAL_WIDTH, INTERVAL_HEIGHT = 120, 22
BLOCK_WIDTH, BLOCK_HEIGHT = 170, 30


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
