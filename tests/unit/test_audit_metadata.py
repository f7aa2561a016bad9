"""The guardrail of tick, lot and precision."""

from engine.data.audit.metadata import Metadata, Records, coverage, guard

WHOLE = Metadata(tick_size=0.01, lot_size=1.0, price_precision=2)


def records(count: int, **holes: Metadata | None) -> dict[str, Metadata | None]:
    return {f"S{at:02}": WHOLE for at in range(count)} | holes


def test_nineteen_of_twenty_are_enough_and_eighteen_are_not() -> None:
    one = records(20, S00=Metadata(lot_size=1.0, price_precision=2))
    two = one | {"S01": Metadata(lot_size=1.0, price_precision=2)}

    assert coverage(one).shares == {"tick_size": 0.95, "lot_size": 1.0, "price_precision": 1.0}
    assert coverage(one).is_enough
    assert not coverage(two).is_enough
    assert coverage(two).lacking["tick_size"] == ("S00", "S01")
    assert "tick_size 90.0% (not of S00, S01)" in str(coverage(two))


def test_a_tick_of_zero_is_none_and_a_precision_of_zero_is_one() -> None:
    found = coverage({"A": Metadata(tick_size=0.0, lot_size=1.0, price_precision=0)})

    assert found.shares == {"tick_size": 0.0, "lot_size": 1.0, "price_precision": 1.0}


def test_no_instruments_cover_nothing() -> None:
    assert not coverage({}).is_enough


def test_metadata_is_enriched_once_and_only_where_it_lacks() -> None:
    asked: list[list[str]] = []

    def enrich(lacking: Records) -> Records:
        asked.append(list(lacking))
        return {"S00": WHOLE, "S05": Metadata()}

    completed, found = guard(records(10, S00=None), enrich)

    assert asked == [["S00"]]
    assert completed["S00"] == completed["S05"] == WHOLE
    assert found.is_enough


def test_what_enrichment_does_not_know_stays_lacking() -> None:
    asked = []

    def enrich(lacking: Records) -> Records:
        asked.append(lacking)
        return {}

    _, found = guard({"A": None}, enrich)

    assert len(asked) == 1
    assert not found.is_enough


def test_nobody_is_asked_when_enough_is_known() -> None:
    def enrich(lacking: Records) -> Records:
        raise AssertionError(lacking)

    assert guard(records(20, S00=None), enrich)[1].is_enough
