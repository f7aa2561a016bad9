"""The data sets that every installation has, and the facts about them that need no loading."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from engine.data import planted, samples
from engine.domain.panel import Panel
from engine.domain.time import Calendar, Timeframe


@dataclass(frozen=True, kw_only=True)
class PackagedSet:
    """One packaged data set.

    Attributes
    ----------
    rows, instruments, first_bar, last_bar, content_hash
        Of the whole panel. Written down so that a list is instant; a test holds them to the bars.
    market
        What `Panel.fields["market"]` is, None where there is none.
    """

    make: Callable[[], Panel]
    description: str
    source: str
    timeframe: Timeframe
    calendar: Calendar
    synthetic: bool
    rows: int
    instruments: int
    first_bar: str
    last_bar: str
    content_hash: str
    market: str | None = None
    notes: tuple[str, ...] = ()


def _planted_daily() -> Panel:
    return planted.generate(planted.PACKAGED_SEED, Timeframe.DAY_1)


def _planted_hourly() -> Panel:
    return planted.generate(planted.PACKAGED_SEED, Timeframe.HOUR_1)


_PLANTED_NOTES = ("Synthetic: a known edge that a tournament must find. Never reaches a real venue.",)

PACKAGED: Mapping[str, PackagedSet] = MappingProxyType(
    {
        "us20": PackagedSet(
            make=samples.us20,
            description="20 US stocks, adjusted daily closes, with the S&P 500",
            source="skfolio: sp500_dataset.csv.gz, sp500_index.csv.gz",
            timeframe=Timeframe.DAY_1,
            calendar=Calendar.XNYS,
            synthetic=False,
            rows=8313,
            instruments=20,
            first_bar="1990-01-02",
            last_bar="2022-12-28",
            content_hash="997cc5cb0c41e8a64ec1ad21869e677c6a0111f770193823d16ef07253fafdf4",
            market="S&P 500, price index without dividends",
            notes=(
                "Survivors: all 20 stocks still trade at the end, so holding them looks better than it was.",
                "The market is an index without dividends, the stocks are with dividends.",
                "Closes only: no opens, no ranges, no volume.",
            ),
        ),
        "us5": PackagedSet(
            make=samples.us5,
            description="AAPL, FB, GOOG, IBM, MSFT, adjusted daily bars",
            source="bokeh-sampledata: stocks.csv.gz",
            timeframe=Timeframe.DAY_1,
            calendar=Calendar.XNYS,
            synthetic=False,
            rows=3270,
            instruments=5,
            first_bar="2000-03-01",
            last_bar="2013-03-01",
            content_hash="50612085df48006414d5e30a28494044cfc92836611e34b82fc4046a3b9bcd4e",
            notes=(
                "Every price is multiplied by adjusted close / close of its row, volume is divided by it.",
                "GOOG is listed on 2004-08-19 and FB on 2012-05-18; before that they are NaN.",
                "Survivors, chosen with hindsight.",
            ),
        ),
        "indices": PackagedSet(
            make=samples.indices,
            description="S&P 500 and Nasdaq Composite, daily bars",
            source="arch: sp500.csv.gz, nasdaq.csv.gz",
            timeframe=Timeframe.DAY_1,
            calendar=Calendar.XNYS,
            synthetic=False,
            rows=5031,
            instruments=2,
            first_bar="1999-01-04",
            last_bar="2018-12-31",
            content_hash="5a801a60d038d7bf21f759a2a24167f124f263cbee65703fd5c1f9611842fb94",
            notes=(
                "Index levels without dividends: they cannot be traded as they stand.",
                "The Nasdaq has no volume on two days.",
            ),
        ),
        "planted": PackagedSet(
            make=_planted_daily,
            description="generated daily bars with a known edge",
            source=f"generated, seed {planted.PACKAGED_SEED}",
            timeframe=Timeframe.DAY_1,
            calendar=Calendar.XNYS,
            synthetic=True,
            rows=planted.DAYS,
            instruments=planted.INSTRUMENTS,
            first_bar="2008-01-02",
            last_bar="2023-01-05",
            content_hash="38373093b9a20eb323db036c97b45de52f396be7dee934231af074e4d2b18efb",
            notes=_PLANTED_NOTES,
        ),
        "planted-1h": PackagedSet(
            make=_planted_hourly,
            description="the hourly twin of planted, round the clock",
            source=f"generated, seed {planted.PACKAGED_SEED}",
            timeframe=Timeframe.HOUR_1,
            calendar=Calendar.ALWAYS,
            synthetic=True,
            rows=planted.DAYS * 24,
            instruments=planted.INSTRUMENTS,
            first_bar="2008-01-02",
            last_bar="2018-05-08T23:00",
            content_hash="2c3afe7b99479884f77dc39966c59d2df4ef3e6aac0f7932fc3b7b223021a7cf",
            notes=_PLANTED_NOTES,
        ),
    }
)
