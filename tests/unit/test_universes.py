"""A universe is a versioned file, and never changes."""

import hashlib
from pathlib import Path

import pytest

from engine.data import universes
from engine.domain.errors import ConfigurationError, InputError
from engine.domain.venue import VenueClass

# The 30 symbols of the roadmap, as the issue lists them.
ROADMAP = tuple(
    asset
    for line in (
        "BTC ETH BNB XRP SOL TRX ADA BCH XMR LINK XLM HBAR LTC AVAX ZEC",
        "SUI SHIB TON DOT UNI AAVE TAO NEAR ETC ICP POL KAS ALGO FIL APT",
    )
    for asset in line.split()
)


def write(folder: Path, name: str, text: str) -> tuple[Path, ...]:
    (folder / f"{name}.yaml").write_text(text)
    return (folder,)


def test_the_first_universe_is_the_thirty_of_the_roadmap() -> None:
    universe = universes.read("UNIVERSE_V1")

    assert universe.assets == ROADMAP
    assert len(set(universe.assets)) == 30
    assert universe.instruments[0] == "BTC/USD"
    assert universe.version == 1


def test_its_hash_is_that_of_its_name_and_symbols() -> None:
    text = "\n".join(["universe/1", "UNIVERSE_V1", *(f"{asset}/USD" for asset in ROADMAP)])

    assert universes.read("UNIVERSE_V1").content_hash == hashlib.sha256(text.encode()).hexdigest()


def test_a_universe_that_was_changed_is_refused(tmp_path: Path) -> None:
    assets = "\n".join(f"  - {asset}" for asset in [*ROADMAP[:-1], "DOGE"])
    folders = write(tmp_path, "UNIVERSE_V1", f"name: UNIVERSE_V1\nquote: USD\nassets:\n{assets}\n")

    with pytest.raises(InputError, match=r"a universe never changes.*e\.g\. UNIVERSE_V2"):
        universes.read("UNIVERSE_V1", folders=folders)


def test_a_universe_of_ones_own_stands_beside_it(tmp_path: Path) -> None:
    folders = write(tmp_path, "MINE_V3", "name: MINE_V3\nquote: EUR\nassets: [BTC, ETH]\n")

    assert universes.read("MINE_V3", folders=folders).instruments == ("BTC/EUR", "ETH/EUR")
    assert universes.read("MINE_V3", folders=folders).version == 3
    assert universes.names(folders=(*folders, *universes.FOLDERS)) == ("MINE_V3", "UNIVERSE_V1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: OTHER_V1\nquote: USD\nassets: [BTC]\n", "must be MINE_V1 like the file"),
        ("name: MINE_V1\nquote: USD\nassets: [BTC, ETH, BTC]\n", "BTC stands in assets twice"),
        ("name: MINE_V1\nquote: USD\nassets: [btc/usd]\n", "'btc/usd' is no asset"),
    ],
)
def test_a_file_with_a_problem_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        universes.read("MINE_V1", folders=write(tmp_path, "MINE_V1", text))


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    folders = write(tmp_path, "MINE_V1", "name: MINE_V1\nquote: USD\nassets: [BTC]\nweights: 1\n")

    with pytest.raises(ConfigurationError, match="weights"):
        universes.read("MINE_V1", folders=folders)


@pytest.mark.parametrize("name", ["UNIVERSE_V9", "../limits/x", "universe"])
def test_a_name_that_is_not_known_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="Known: UNIVERSE_V1"):
        universes.read(name)


def test_instruments_of_an_exchange_bear_tickers_and_say_their_class(tmp_path: Path) -> None:
    text = "name: FUNDS_V1\nquote: USD\nvenue_class: etf\nassets: [SPY, BRK-B]\n"
    funds = universes.read("FUNDS_V1", folders=write(tmp_path, "FUNDS_V1", text))

    assert funds.instruments == ("SPY", "BRK-B")
    assert funds.venue_class is VenueClass.ETF
    hashed = hashlib.sha256(b"universe/1\nFUNDS_V1\nclass etf\nSPY\nBRK-B").hexdigest()
    assert funds.content_hash == hashed


def test_currencies_are_pairs_and_no_crypto(tmp_path: Path) -> None:
    text = "name: MAJORS_V1\nquote: USD\nvenue_class: forex\nassets: [EUR, GBP]\n"
    majors = universes.read("MAJORS_V1", folders=write(tmp_path, "MAJORS_V1", text))

    assert majors.instruments == ("EUR/USD", "GBP/USD")
    assert majors.content_hash != hashlib.sha256(b"universe/1\nMAJORS_V1\nEUR/USD\nGBP/USD").hexdigest()
