"""How much is known of what venues take in orders for the instruments of a data set."""

from collections.abc import Iterable

from engine.data.actions import Fact, market_rules
from engine.data.audit.metadata import Coverage, Metadata, Records, guard
from engine.data.ingestion.venues import provider_of
from engine.data.lake.lake import Lake
from engine.data.lake.versions import DataSetVersion
from engine.data.providers.matrix import capability
from engine.data.series import SANDBOX, SeriesKey


def rules_coverage(lake: Lake, version: DataSetVersion) -> Coverage | None:
    """Return how much of tick, lot and precision is known; None where no venue of the data set tells them.

    What the data set was frozen with counts; where that is not enough, what the lake has learned since.

    Raises
    ------
    InputError
        If a fact of the lake is not what was written.
    """
    keys = {key.instrument: key for key in version.definition.keys if _tells_rules(key.venue)}
    if not keys:
        return None

    def learned(records: Records) -> Records:
        since = {symbol: lake.actions(keys[symbol].venue, symbol) for symbol in records}
        return {symbol: _metadata(since[symbol], keys[symbol]) for symbol in records}

    records = {symbol: _metadata(version.facts, key) for symbol, key in keys.items()}
    return guard(records, learned)[1]


def _tells_rules(venue: str) -> bool:
    provider = provider_of(venue, is_sandbox=venue.endswith(SANDBOX))
    return provider is not None and capability(provider).tells_rules


def _metadata(facts: Iterable[Fact], key: SeriesKey) -> Metadata | None:
    rules = market_rules(facts, key.venue, key.instrument)
    if rules is None:
        return None
    return Metadata(
        tick_size=None if rules.tick_size is None else float(rules.tick_size),
        lot_size=None if rules.lot_size is None else float(rules.lot_size),
        price_precision=rules.price_decimals,
    )
