"""Whatever is changed in a journal, somebody finds it: parity, replay, or both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.errors import GauntletError
from engine.journal.kinds import FACTS
from engine.journal.reading import Record, read, verify
from engine.session.parity import prove
from engine.session.replay import replay
from tests.every_order import EveryOrder
from tests.recorded import LISTED, WALK, lively_panel, record
from tests.tampering import tamper

PANEL = lively_panel(100)
STRATEGY = EveryOrder(length=5)
Place = tuple[str | int, ...]
# The hash of the whole set, its sealed end included: nothing that the session did depends on it.
BESIDE_THE_POINT: Place = ("data", "set_hash")


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Path]:
    """Sessions of every kind of order, with weights from listing and from windows."""
    folder = tmp_path_factory.mktemp("sessions")
    return [record(folder / plan.kind, STRATEGY, PANEL, plan=plan) for plan in (LISTED, WALK)]


def leaves(value: Any, path: Place = ()) -> list[Place]:
    """Return where values stand in a body."""
    if isinstance(value, Mapping):
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))]
    if isinstance(value, list):
        return [leaf for place, item in enumerate(value) for leaf in leaves(item, (*path, place))]
    return [path]


def changed_at(value: Any, path: Place, change: Callable[[Any], Any]) -> Any:
    """Return a body with one of its values changed."""
    if not path:
        return change(value)
    copy = dict(value) if isinstance(value, Mapping) else list(value)
    copy[path[0]] = changed_at(value[path[0]], path[1:], change)  # type: ignore[index]  # key or place
    return copy


def another(value: Any) -> Any:
    """Return a value of the same type that is not the same."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if value is None:
        return 0
    if isinstance(value, str) and value and set(value) <= set("0123456789abcdef"):
        # Low bits first: the number stays a number.
        return ("0" if value[0] != "0" else "1") + value[1:]
    return f"{value}x"


@settings(max_examples=150)
@given(data=st.data())
def test_one_value_that_was_changed_anywhere_is_found(
    data: st.DataObject, sessions: Sequence[Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = data.draw(st.sampled_from(sessions))
    facts = [each for each in read(source) if each.kind in FACTS]
    kind = data.draw(st.sampled_from(sorted({each.kind for each in facts})))
    target = data.draw(st.sampled_from([each for each in facts if each.kind is kind]))
    path = data.draw(st.sampled_from([leaf for leaf in leaves(target.body) if leaf != BESIDE_THE_POINT]))
    body = changed_at(target.body, path, another)
    folder = tmp_path_factory.mktemp("tampered") / "s"
    tamper(source, folder, target, lambda each: (replace(each, body=body),))

    assert verify(folder).status.usable
    assert is_found(folder, target), f"{kind.name}: {path}"


@settings(max_examples=60)
@given(data=st.data())
def test_a_record_that_is_gone_or_stands_twice_is_found(
    data: st.DataObject, sessions: Sequence[Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = data.draw(st.sampled_from(sessions))
    target = data.draw(st.sampled_from([each for each in read(source) if each.kind in FACTS]))
    times = data.draw(st.sampled_from([0, 2]))
    folder = tmp_path_factory.mktemp("tampered") / "s"
    tamper(source, folder, target, lambda each: (each,) * times)

    assert is_found(folder, target), f"{target.kind.name} of row {target.body.get('row')} times {times}"


def is_found(folder: Path, target: Record) -> bool:
    """Say whether parity or replay find a change, and neither of them before its bar."""
    try:
        parity = prove(folder, load_panel=lambda _name: PANEL, load=lambda _name, _parameters: STRATEGY)
        work = replay(folder, load=lambda _name, _parameters: STRATEGY)
    except GauntletError:
        # What was told makes no account at all.
        return True
    row = target.body.get("row")
    found = parity.first_difference
    if found is not None and found.row is not None and row is not None:
        assert found.row >= min(row, len(PANEL) - 1), f"{target.kind.name} of row {row}: {found.explanation}"
    return not (parity.parity and work.replay_parity)
