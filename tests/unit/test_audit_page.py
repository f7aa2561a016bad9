"""The audit page: whole, without scripts, and nothing of a data set is taken for HTML."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from engine.data.audit import page
from engine.data.audit.health import Health, Status
from engine.data.audit.picture import coverage_picture, price_picture
from engine.data.audit.report import Audit, audit
from engine.data.findings import Kind
from engine.domain.time import Calendar, Timeframe
from tests import mutator

MADE = int(np.datetime64("2026-01-31T12:00", "ns").astype(np.int64))
VOID = {"meta", "br", "link", "img", "input", "hr"}
IMPLIED = {"tr", "td", "th", "li", "thead", "tbody"}


class Tags(HTMLParser):
    """Collects tags, and what was opened and not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID | IMPLIED:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in IMPLIED:
            assert self.open.pop() == tag


def parsed(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    return tags


def damaged(symbol: str = "AAA") -> Audit:
    bars = replace(mutator.realistic(np.random.default_rng(1), size=400), symbol=symbol)
    bars = mutator.taken(bars, np.delete(np.arange(400), np.arange(100, 130)))
    bars = mutator.with_value(bars, "low", 200, 0.5 * float(bars.close[200]))
    bars = mutator.with_value(bars, "volume", 250, 1e9)
    bars = mutator.with_value(bars, "close", 300, float("nan"))
    return audit([bars], Timeframe.HOUR_1, Calendar.ALWAYS, name="mine", pictures=True)


def test_a_page_needs_nothing_but_itself() -> None:
    tags = parsed(page.render(damaged(), made=MADE))

    assert "script" not in tags.seen
    assert "link" not in tags.seen
    assert all(address.startswith("#") for address in tags.addresses)


def test_a_page_tells_what_was_found_with_row_value_and_picture() -> None:
    found = damaged()
    text = page.render(found, made=MADE)

    assert set(found.counts) == {Kind.NOT_A_NUMBER, Kind.GAP, Kind.BAD_TICK, Kind.VOLUME_SPIKE}
    for place in found.instruments[0].places:
        assert f"row {place.finding.row:,}" in text
        assert f"value {place.finding.value}" in text
    assert text.count('<svg class="price"') == len(found.instruments[0].places)
    assert "2026-01-31 12:00 UTC" in text
    # Thirty in a row, and the bar whose close is no number.
    assert '<td class="n">30<td>2015-01-09 04:00 UTC<td>2015-01-10 09:00 UTC' in text


def test_names_of_a_stranger_are_text() -> None:
    text = page.render(damaged("\"><script>alert(1)</script>'&"), made=MADE)

    assert "script" not in parsed(text).seen
    assert "&lt;script&gt;" in text


def test_what_is_missing_differs_by_pattern_and_not_by_colour_alone() -> None:
    text = page.render(damaged(), made=MADE)

    assert '<pattern id="lacking"' in text
    assert ".map .lack{fill:url(#lacking)}" in text
    assert 'class="lack"' in text


def test_health_stands_beside_the_scores() -> None:
    health = Health(symbol="AAA", status=Status.STALE, last=MADE, missing_days=7)
    text = page.render(damaged(), made=MADE, health=(health,), notes=("Sealed bars were not read.",))

    assert "! STALE" in text
    assert '<td class="n">7' in text
    assert "<li>Sealed bars were not read." in text
    assert "STALE" not in page.render(damaged(), made=MADE)


def test_invalid_data_is_told_before_anything_else() -> None:
    empty = mutator.taken(mutator.realistic(np.random.default_rng(1), size=100), np.arange(0))
    text = page.render(
        audit([empty], Timeframe.HOUR_1, Calendar.ALWAYS, name="mine", pictures=True), made=MADE
    )

    parsed(text)
    assert '<div class="void">INVALID_DATA: AAA.' in text
    assert "✕ INVALID_DATA" in text


def test_faultless_bars_have_a_page_without_findings() -> None:
    bars = mutator.realistic(np.random.default_rng(1), size=400)
    text = page.render(
        audit([bars], Timeframe.HOUR_1, Calendar.ALWAYS, name="mine", pictures=True), made=MADE
    )

    parsed(text)
    assert "Every bar that the calendar expects is there." in text
    assert "Nothing is wrong, and nothing looks wrong." in text
    assert "✓ usable" in text


def test_equal_audits_give_equal_pages() -> None:
    assert page.render(damaged(), made=MADE) == page.render(damaged(), made=MADE)


def test_the_same_gap_of_two_instruments_is_one_line() -> None:
    bars = mutator.realistic(np.random.default_rng(1), size=100)
    short = mutator.taken(bars, np.delete(np.arange(100), [50, 51, 70]))
    found = audit(
        [replace(short, symbol="A"), replace(short, symbol="B"), replace(bars, symbol="C")],
        Timeframe.HOUR_1,
        Calendar.ALWAYS,
    )

    assert [(row.bars, row.symbols) for row in page.gap_rows(found)] == [(2, ("A", "B")), (1, ("A", "B"))]


def test_coverage_falls_where_bars_are_missing() -> None:
    bars = mutator.realistic(np.random.default_rng(1), size=1201)
    # Buckets are ten bars long: the fifty-first lacks five of them, the sixty-first all.
    changed = mutator.taken(bars, np.delete(np.arange(1201), [*range(502, 507), *range(600, 610)]))
    found = audit([changed], Timeframe.HOUR_1, Calendar.ALWAYS)
    start, end = int(bars.stamps[0]), int(bars.stamps[-1])
    shares = page.coverage_shares(found.instruments[0], start, end)

    assert shares[50] == pytest.approx(0.5)
    assert shares[60] == pytest.approx(0.0)
    assert np.delete(shares, [50, 60]) == pytest.approx(1.0)
    later = page.coverage_shares(found.instruments[0], start - (end - start), end)
    assert np.isnan(later[:60]).all()
    assert not np.isnan(later[60:]).any()


@pytest.mark.parametrize("kind", [Kind.BAD_TICK, Kind.VOLUME_SPIKE, Kind.GAP])
@pytest.mark.parametrize("at", [0, 5, 39])
def test_pictures_are_whole_and_finite(kind: Kind, at: int) -> None:
    bars = mutator.realistic(np.random.default_rng(1), size=40)
    bars = mutator.with_value(bars, "high", 7, float("inf"))
    bars = mutator.with_value(bars, "close", 9, float("nan"))
    svg = price_picture(bars, at, kind)

    ElementTree.fromstring(svg)
    assert "nan" not in svg
    assert "inf" not in svg.replace("polyline", "")
    # A bar with a cell that is no number is not drawn; the volumes of all are known.
    assert len(re.findall(r'class="bar', svg)) == (40 if kind is Kind.VOLUME_SPIKE else 38)


def test_bars_of_one_price_have_a_picture() -> None:
    bars = mutator.realistic(np.random.default_rng(1), size=10)
    same = mutator.with_fields(bars, {name: np.full(10, 5.0) for name in mutator.PRICES})

    ElementTree.fromstring(price_picture(same, 5, Kind.FLAT))


def test_a_map_without_anything_due_is_empty() -> None:
    svg = coverage_picture(np.full(10, np.nan), "nothing")

    assert "rect" not in svg
