"""Every difference between two simulators has its rule and its money; one that has none is found."""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from engine.cli.main import app
from engine.cli.parity import coloured
from engine.cli.parity_row import show
from engine.core.settings import UNLIMITED, Costs, Limits, Rules
from engine.domain.errors import InputError, InvalidValueError
from engine.domain.panel import FloatArray
from engine.domain.portfolio import Plan
from engine.pipeline.run import Column, Detail, Outcome, Settings, run_all
from engine.strategy_files import load_strategy
from research.configuration import for_data
from research.dissection import Dissection, dissect_whole
from research.parity_play import Rival, compare, vectorbt_account
from research.parity_report import (
    Account,
    Difference,
    Market,
    ParityReport,
    as_document,
    core_account,
    explain,
    in_words,
    market_told,
    targets_of,
    write_csv,
)
from research.simulators import FillTable, VectorbtWorker
from tests.builders import NAN, panel_of, random_panel

# Tight enough that orders expire, buys find no cash and volumes cut.
RULES = Rules(order_bound_bps=200.0)


@pytest.fixture(scope="module")
def vectorbt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorbtWorker]:
    with VectorbtWorker(tmp_path_factory.mktemp("kernels")) as worker:
        yield worker


class Both:
    """An account of the core and the same decisions in vectorbt."""

    def __init__(
        self, worker: VectorbtWorker, *, holes: float = 0.0, band: float = 0.05, limits: Limits = UNLIMITED
    ) -> None:
        panel = random_panel(400, 6, seed=1, holes=holes)
        rows = np.arange(0, len(panel), 20)
        weights = np.random.default_rng(3).dirichlet(np.ones(6), rows.size)
        self.settings = Settings(costs=Costs(), rules=RULES, limits=limits)
        column = Column(plan=Plan(rows=rows, weights=weights, drift_band=band))
        self.outcome: Outcome = run_all(panel, [column], self.settings, detail=Detail.RECORDS)
        self.market: Market = market_told(panel, self.settings, self.outcome)
        self.ours = core_account(self.outcome, RULES)
        run = targets_of(panel, self.settings, slice(*self.outcome.rows), self.outcome.decided[0])
        self.theirs = vectorbt_account(worker.result(worker.submit(run)))

    def explain(self, theirs: FillTable | None = None) -> ParityReport:
        other = self.theirs if theirs is None else replace(self.theirs, fills=theirs)
        return explain(self.market, self.ours, other)


@pytest.fixture(scope="module")
def both(vectorbt: VectorbtWorker) -> Both:
    return Both(vectorbt)


@pytest.mark.parametrize("holes", [0.0, 0.03])
@pytest.mark.parametrize("band", [np.inf, 0.0])
def test_the_money_of_all_classes_is_the_gap_and_every_class_is_a_rule(
    vectorbt: VectorbtWorker, holes: float, band: float
) -> None:
    played = Both(vectorbt, holes=holes, band=band, limits=Limits())

    report = played.explain()

    assert abs(report.gap) > 10.0
    assert sum(money for _, money in report.classes.values()) == pytest.approx(report.gap, abs=1e-3)
    assert report.unexplained < 1e-9
    assert report.agrees
    assert {Difference.BOUND, Difference.PARTICIPATION, Difference.FEES} < set(report.classes)
    assert (Difference.DELISTED in report.classes) == (holes > 0)


def changed(fills: FillTable, place: int, column: str, value: float) -> FillTable:
    values = getattr(fills, column).copy()
    values[place] = value
    return replace(fills, **{column: values})


@pytest.mark.parametrize(
    ("column", "factor"), [("units", 1.05), ("units", 0.0), ("units", -1.0), ("prices", 1.01), ("fees", 30.0)]
)
def test_one_fill_that_is_wrong_is_found_where_it_is(both: Both, column: str, factor: float) -> None:
    fills = both.theirs.fills
    place = 200
    wrong = changed(fills, place, column, factor * getattr(fills, column)[place])

    report = both.explain(wrong)

    assert not report.agrees
    loose = [finding for finding in report.findings if finding.kind is Difference.UNEXPLAINED]
    loose += [finding for finding in report.findings if finding.kind is Difference.MISSING]
    first = min(loose, key=lambda finding: finding.row)
    assert (first.row, first.instrument) == (fills.rows[place], fills.instruments[place])


def test_a_fill_of_ours_that_is_wrong_is_found_too(both: Both) -> None:
    place = 100
    wrong = changed(both.ours.fills, place, "units", both.ours.fills.units[place] + 1.0)

    report = explain(both.market, replace(both.ours, fills=wrong), both.theirs)

    assert not report.agrees
    first = next(finding for finding in report.findings if finding.kind is Difference.UNEXPLAINED)
    assert (first.row, first.instrument) == (wrong.rows[place], wrong.instruments[place])


def test_equity_that_does_not_follow_from_the_fills_stays_in_the_residue(both: Both) -> None:
    equity = both.theirs.equity.copy()
    equity[-1] += 50.0

    report = explain(both.market, both.ours, replace(both.theirs, equity=equity))

    assert report.residue == pytest.approx(50.0, abs=1e-3)
    assert not report.agrees


def test_a_difference_in_words_names_day_instrument_money_and_rule(both: Both) -> None:
    report = both.explain()
    finding = next(f for f in report.largest(50) if f.kind is Difference.BOUND)

    said = in_words(finding, both.market, report.theirs)

    day = str(both.market.timestamps[finding.row].astype("datetime64[ns]"))[:10]
    assert said.startswith(f"{day} {both.market.symbols[finding.instrument]}: {finding.money:+,.2f}")
    assert said.endswith("the order's price bound had passed; the other side has no bounds")


# --- by hand ---------------------------------------------------------------------------------------------


def account(name: str, equity: FloatArray, *fills: tuple[int, int, float, float, float]) -> Account:
    columns = np.array(fills, dtype=np.float64).reshape(-1, 5).T
    return Account(
        name=name,
        fills=FillTable(
            rows=columns[0].astype(np.int64),
            instruments=columns[1].astype(np.int64),
            units=columns[2],
            prices=columns[3],
            fees=columns[4],
        ),
        equity=equity,
    )


def market(prices: list[float], decided: list[float]) -> Market:
    panel = panel_of({"A": prices})
    column = np.array(decided)[:, None]
    return Market(
        symbols=("A",), timestamps=panel.timestamps, opens=panel.close, highs=panel.close, lows=panel.close,
        marks=panel.close, volumes=np.full((len(prices), 1), NAN), decided=column,
        rules=Rules(lot_size=1.0, cash_buffer=0.0), cash=1000.0, slippage_rate=0.0, fee_rate=0.0,
        impact_coefficient=0.0,
    )  # fmt: skip


def test_a_lot_by_hand() -> None:
    # Half of 1000 at 30 is 16.67 units: one side buys 16, the other all of it; the price rises by 10.
    told = market([30.0, 30.0, 40.0], [0.5, NAN, NAN])
    exact = 500 / 30

    report = explain(
        told,
        account("core", np.array([1000.0, 1000.0, 1160.0]), (1, 0, 16.0, 30.0, 0.0)),
        replace(
            account("other", np.array([1000.0, 1000.0, 1000 + 10 * exact]), (1, 0, exact, 30.0, 0.0)),
            floors_lots=False,
        ),
    )

    (finding,) = report.findings
    assert finding.kind is Difference.LOT
    assert (finding.row, finding.closed) == (1, 2)
    assert finding.money == pytest.approx((exact - 16) * 10) == pytest.approx(report.gap)
    assert report.agrees


def test_a_fill_one_bar_late_is_the_same_fill_at_another_time() -> None:
    told = market([50.0, 50.0, 60.0, 60.0], [0.5, NAN, NAN, NAN])

    report = explain(
        told,
        account("core", np.array([1000.0, 1000.0, 1100.0, 1100.0]), (1, 0, 10.0, 50.0, 0.0)),
        account("other", np.array([1000.0, 1000.0, 1000.0, 1000.0]), (2, 0, 10.0, 60.0, 0.0)),
    )

    (finding,) = report.findings
    assert finding.kind is Difference.TIMING
    assert finding.money == pytest.approx(-100.0) == pytest.approx(report.gap)
    assert not report.agrees


def test_nothing_differs_between_an_account_and_itself(both: Both) -> None:
    report = explain(both.market, both.ours, both.ours)

    assert report.findings == ()
    assert report.gap == 0.0
    assert report.equal == len(both.ours.fills)


def test_fills_outside_the_market_are_refused() -> None:
    told = market([50.0, 50.0], [NAN, NAN])
    flat = np.full(2, 1000.0)

    with pytest.raises(InvalidValueError, match="other has 2 rows of equity and fills on rows up to 7"):
        explain(told, account("core", flat), account("other", flat, (7, 0, 1.0, 50.0, 0.0)))


# --- an account of a strategy ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trend() -> Dissection:
    strategy = load_strategy("trend", {"fast": 5, "slow": 20})
    return dissect_whole(strategy, random_panel(300, 5, seed=3, holes=0.02), for_data("us5"))


def test_an_account_of_a_strategy_is_compared_shown_and_written(
    trend: Dissection, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report, told = compare(trend, Rival.VECTORBT)
    largest = report.largest(10)

    show("trend-1", report, told, largest, coloured)
    write_csv(tmp_path / "all.csv", report, told)
    document = json.loads(json.dumps(as_document(report, told, largest), allow_nan=False))

    assert report.agrees
    assert report.final_equity[0] == trend.equity[-1]
    shown = capsys.readouterr().out
    assert "EXPLAINED" in shown
    assert all(kind.name in shown for kind in report.classes)
    assert shown.count("\n  20") + shown.count("\n  19") == len(largest) == len(document["largest"]) == 10
    with (tmp_path / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(report.findings)
    assert sum(float(row["money"]) for row in rows) == pytest.approx(document["gap"], abs=1e-3)


def test_what_the_rival_cannot_play_is_refused(trend: Dissection) -> None:
    late = replace(trend.settings, rules=trend.settings.rules._replace(latency_bars=1))

    with pytest.raises(InputError, match="this account has a delay, shorts or borrowed cash"):
        compare(replace(trend, settings=late), Rival.VECTORBT)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "name one thing to compare"),
        (("--session", "a", "--row", "b"), "name one thing to compare"),
        (("--row", "b", "--against", "nobody"), "--against must be one of vectorbt, nautilus"),
        (("--row", "b"), "no run has a scoreboard"),
    ],
)
@pytest.mark.usefixtures("home")
def test_the_command_says_what_it_needs(options: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(app, ["parity", *options])

    assert isinstance(result.exception, InputError) or result.exit_code == 2
    assert said in result.output + result.stderr + str(result.exception)
