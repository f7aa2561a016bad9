"""A scan is made of layers, and the last one that says something has said it."""

import shutil
from pathlib import Path

import pytest

from engine.discovery.configuration import Layer, read
from engine.domain.errors import ConfigurationError, InputError
from engine.domain.time import Calendar
from engine.domain.venue import VenueClass

CONFIGS = Path(__file__).parents[2] / "configs" / "discovery"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CONFIGS, tmp_path / "discovery"))


def entry(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIGS.glob("*.yaml")))
def test_every_entry_that_gauntlet_comes_with_can_be_run(name: str) -> None:
    text = (CONFIGS / name).read_text()
    if "layer: L4" in text:
        assert read(CONFIGS / name).name == name.removesuffix(".yaml")


def test_the_majors_of_crypto_are_what_their_layers_say() -> None:
    majors = read(CONFIGS / "crypto_majors.yaml")

    assert [layer for layer, _ in majors.layers] == list(Layer)
    assert majors.universe.name == "UNIVERSE_V1"
    assert (majors.venue_class, majors.calendar) == (VenueClass.CRYPTO, Calendar.ALWAYS)
    # Of the hygiene and of the template: both stand in one section.
    assert (majors.asset.history_bars_min, majors.asset.dollar_volume_min) == (250, 1e6)
    assert majors.signal.strategy == "trend"


def test_a_later_layer_replaces_what_it_states_and_nothing_else(folder: Path) -> None:
    path = entry(
        folder,
        "layer: L4\nlayers: [hygiene.yaml, asset_crypto.yaml]\n"
        "asset:\n  history_bars_min: 30\n  dollar_volume_min: null\nvenue:\n  venues: []\n",
    )

    scanner = read(path)

    assert scanner.asset.history_bars_min == 30
    assert scanner.asset.dollar_volume_min is None
    assert scanner.asset.quality_min == 0.6
    assert (scanner.venue.venues, scanner.venue.quotes) == ((), ("USD",))
    assert scanner.name == "mine"


def test_the_hash_is_of_what_is_looked_for_and_not_of_the_files_that_say_so(folder: Path) -> None:
    layered = read(entry(folder, "layer: L4\nname: it\nlayers: [asset_equity.yaml]\n", "a.yaml"))
    flat = "layer: L4\nname: it\nvenue: {venue_class: equity, quotes: [USD]}\n"
    stated = read(entry(folder, flat, "b.yaml"))
    other = read(entry(folder, flat.replace("USD", "EUR"), "c.yaml"))

    assert layered.content_hash == stated.content_hash
    assert other.content_hash != stated.content_hash


def test_a_word_that_is_not_known_is_told_with_its_place_and_the_nearest_one(folder: Path) -> None:
    entry(folder, "layer: L1\nasset:\n  histroy_bars_min: 5\n", "hygiene.yaml")

    with pytest.raises(ConfigurationError) as refused:
        read(folder / "crypto_majors.yaml")

    (problem,) = refused.value.problems
    assert refused.value.path == str(folder / "hygiene.yaml")
    assert (problem.line, problem.column) == (3, 3)
    assert "Did you mean  history_bars_min ?" in problem.message


def test_a_floor_below_zero_is_refused(folder: Path) -> None:
    path = entry(folder, "layer: L4\nlayers: [asset_crypto.yaml]\nasset:\n  price_min: -1\n")

    with pytest.raises(ConfigurationError, match=r"asset\.price_min must be a number above 0"):
        read(path)


def test_layers_go_from_the_lowest_up_each_once(folder: Path) -> None:
    path = entry(folder, "layer: L4\nlayers: [asset_crypto.yaml, hygiene.yaml]\n")

    with pytest.raises(InputError, match=r"hygiene\.yaml is layer L1 and stands after asset_crypto\.yaml"):
        read(path)


def test_a_layer_alone_cannot_be_run(folder: Path) -> None:
    with pytest.raises(InputError, match=r"is layer L1; an entry that can be run is L4"):
        read(folder / "hygiene.yaml")


def test_only_an_entry_names_layers(folder: Path) -> None:
    entry(folder, "layer: L1\nlayers: [foundation_crypto.yaml]\n", "hygiene.yaml")

    with pytest.raises(InputError, match="only an entry names layers"):
        read(folder / "crypto_majors.yaml")


def test_a_scan_says_for_which_class_it_is(folder: Path) -> None:
    path = entry(folder, "layer: L4\nlayers: [hygiene.yaml]\n")

    with pytest.raises(
        InputError, match=r"no layer says venue\.venue_class; state one of equity, etf, forex"
    ):
        read(path)


def test_a_layer_that_is_not_there_is_named(folder: Path) -> None:
    path = entry(folder, "layer: L4\nlayers: [nothing.yaml]\n")

    with pytest.raises(ConfigurationError, match=r"nothing\.yaml"):
        read(path)
