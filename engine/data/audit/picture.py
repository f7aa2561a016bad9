"""Small pictures of bars as SVG: what stands around a finding, and where bars are missing.

Shape and position say everything; colour repeats it. A picture reads the same on paper and to a colour-
blind eye.
"""

from html import escape

import numpy as np

from engine.data.findings import BoolArray, Kind
from engine.data.quality import Bars
from engine.domain.panel import FloatArray

WIDTH, HEIGHT = 320, 132
_LEFT, _RIGHT, _TOP, _BOTTOM = 4, 66, 10, 16
MAP_WIDTH, MAP_ROW = 720, 20
_EMPTY = 1e-6
_SMALLEST_LACK = 4.0


def price_picture(bars: Bars, at: int, kind: Kind) -> str:
    """Return a picture of bars as `<svg>`: low to high as a line, the close as a tick, the place marked.

    Parameters
    ----------
    at
        Position of the marked bar.
    kind
        Volume spikes are drawn as volumes, gaps as the space before the bar.
    """
    by_volume = kind in (Kind.VOLUME_SPIKE, Kind.NEGATIVE_VOLUME) and bars.volume is not None
    values = bars.volume if by_volume and bars.volume is not None else bars.close
    top = values if by_volume or bars.high is None else bars.high
    bottom = values if by_volume or bars.low is None else bars.low
    shown = np.concatenate([top, bottom, values])
    shown = shown[np.isfinite(shown)]
    if len(shown) == 0:
        return ""
    lowest, highest = float(shown.min()), float(shown.max())
    if by_volume:
        lowest = min(lowest, 0.0)
    x, y = _axes(len(values), lowest, highest)
    parts = [_frame(lowest, highest)]
    if kind is Kind.GAP and at > 0:
        left, right = x[at - 1] + 2, x[at] - 2
        parts.append(
            f'<rect class="hole" x="{left:.1f}" y="{_TOP}" width="{max(right - left, 3):.1f}" '
            f'height="{HEIGHT - _TOP - _BOTTOM}"/>'
        )
    for index in range(len(values)):
        mark = " at" if index == at else ""
        low, high, close = bottom[index], top[index], values[index]
        if not np.isfinite([low, high, close]).all():
            continue
        low = 0.0 if by_volume else low
        parts.append(
            f'<path class="bar{mark}" d="M{x[index]:.1f} {y(high):.1f}V{max(y(low), y(high) + 1):.1f}'
            f'M{x[index]:.1f} {y(close):.1f}h{2.4:.1f}"/>'
        )
    foot = HEIGHT - _BOTTOM + 2
    parts.append(
        f'<path class="point" d="M{x[at]:.1f} {foot}l-4.5 8h9z"/>'
        f'<line class="here" x1="{x[at]:.1f}" x2="{x[at]:.1f}" y1="{_TOP}" y2="{foot}"/>'
    )
    label = escape(f"{bars.symbol}: {len(values)} bars around {bars.file} row {bars.rows[at]}")
    return (
        f'<svg class="price" role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}">{"".join(parts)}</svg>'
    )


def coverage_picture(shares: FloatArray, label: str) -> str:
    """Return a strip of cells as `<svg>`, each filled from below by the share of bars that are there.

    Parameters
    ----------
    shares
        Shape (B,), from 0 to 1; NaN where no bars are expected.
    """
    width = MAP_WIDTH / len(shares)
    cells = []
    # Equal neighbours are one rectangle: seams between them would look like gaps.
    starts = np.flatnonzero(np.concatenate([[True], ~_same(shares[1:], shares[:-1])]))
    for start, stop in zip(starts, [*starts[1:], len(shares)], strict=True):
        share = float(shares[start])
        if np.isnan(share):
            continue
        # The smallest gap can be seen: a part of a cell that lacks anything lacks at least a fifth of its
        # height.
        lack = 0.0 if share > 1 - _EMPTY else max(MAP_ROW * (1 - share), _SMALLEST_LACK)
        place = f'x="{start * width:.2f}" width="{(stop - start) * width:.2f}"'
        if lack < MAP_ROW:
            cells.append(f'<rect class="there" {place} y="{lack:.2f}" height="{MAP_ROW - lack:.2f}"/>')
        if lack:
            cells.append(f'<rect class="lack" {place} y="0" height="{lack:.2f}"/>')
    return (
        f'<svg class="map" role="img" aria-label="{escape(label)}" viewBox="0 0 {MAP_WIDTH} {MAP_ROW}" '
        f'preserveAspectRatio="none" shape-rendering="crispEdges">{"".join(cells)}</svg>'
    )


def _same(these: FloatArray, those: FloatArray) -> BoolArray:
    return np.asarray((these == those) | (np.isnan(these) & np.isnan(those)))


def _frame(lowest: float, highest: float) -> str:
    right, bottom = WIDTH - _RIGHT + 6, HEIGHT - _BOTTOM
    return (
        f'<path class="grid" d="M{_LEFT} {_TOP}H{right - 4}M{_LEFT} {bottom}H{right - 4}"/>'
        f'<text x="{right}" y="{_TOP + 4}">{short(highest)}</text>'
        f'<text x="{right}" y="{bottom + 1}">{short(lowest)}</text>'
    )


class _Height:
    """Where a value stands in a picture."""

    def __init__(self, lowest: float, highest: float) -> None:
        self._lowest = lowest
        self._span = highest - lowest or abs(highest) or 1.0

    def __call__(self, value: float) -> float:
        return HEIGHT - _BOTTOM - (value - self._lowest) / self._span * (HEIGHT - _TOP - _BOTTOM)


def _axes(count: int, lowest: float, highest: float) -> tuple[FloatArray, _Height]:
    room = WIDTH - _LEFT - _RIGHT
    return _LEFT + 3 + np.arange(count) * (room - 6) / max(count - 1, 1), _Height(lowest, highest)


def short(value: float) -> str:
    """Return a number that fits beside a picture.

    >>> short(0.000123456), short(1234.5678), short(27300112.5)
    ('0.0001235', '1,235', '27.3M')
    """
    size = abs(value)
    for limit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if size >= limit:
            return f"{value / limit:.3g}{letter}"
    if size >= 1000:
        return f"{value:,.0f}"
    return np.format_float_positional(float(f"{value:.4g}"), trim="-")
