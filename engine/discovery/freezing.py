"""A pool as a data set of the lake: bars that the choice did not see, to play a tournament on."""

from engine.data import catalogue
from engine.data.actions import in_force, lives
from engine.data.lake.versions import DataSetVersion
from engine.data.quality import moment
from engine.data.series import SeriesKey
from engine.discovery.pool import Pool
from engine.domain.errors import InputError


def freeze(pool: Pool, name: str, *, seen_bars: int = 0) -> DataSetVersion:
    """Freeze the series of a pool's candidates from the moment of the scan on, and return the data set.

    An instrument that was chosen for its past does well in that past: bars before the scan would make every
    strategy look better than it is.

    Parameters
    ----------
    seen_bars
        How many bars before the scan are taken in all the same: to warm up, or to train on, never to test.

    Raises
    ------
    InputError
        If the pool is empty or was not found in the lake, if the name is taken, or if no bar that is not
        sealed came after the scan.
    """
    sight = pool.sight
    base, number = catalogue.parsed(sight.data)
    if base not in catalogue.lake_names():
        raise InputError(
            f"--freeze: {sight.data} is not in the lake, and only its series can be frozen again; pull "
            "them into the lake first"
        )
    catalogue.require_free(name)
    if name == base:
        raise InputError(f"--freeze: {name} is the data set that was scanned; choose another name")
    lake = catalogue.lake()
    source = lake.version(base, number)
    stamps = sight.panel.timestamps
    first = len(stamps) - seen_bars
    if first < 0:
        raise InputError(
            f"--seen-bars: the scan saw {len(stamps):,} bars, of which {seen_bars:,} were wanted"
        )
    return lake.freeze(
        name,
        _keys(source, pool.symbols),
        timeframe=source.definition.timeframe,
        calendar=source.definition.calendar,
        as_of=source.as_of,
        market=source.definition.market,
        universe=f"{pool.scanner.name}, {len(pool.symbols)} chosen at {moment(sight.at)} by {pool.scan_id}"
        + (f"; the first {seen_bars:,} bars were seen by the choice" if seen_bars else ""),
        start=int(stamps[first]) if seen_bars else sight.at,
        stop=source.definition.stop,
        adjustment=source.definition.adjustment,
        calendar_policy=source.definition.calendar_policy,
    )


def _keys(source: DataSetVersion, symbols: tuple[str, ...]) -> list[SeriesKey]:
    """Return the series that tell of some symbols; the symbol of an instrument is the last of its tickers."""
    keys = source.definition.keys
    tickers = set()
    for venue in {key.venue for key in keys}:
        of_venue = [key.instrument for key in keys if key.venue == venue]
        for life in lives(of_venue, in_force(fact for fact in source.facts if fact.venue == venue)):
            if life.symbol in symbols:
                tickers |= {(venue, stretch.ticker) for stretch in life.stretches}
    return [key for key in keys if (key.venue, key.instrument) in tickers]
