"""Openings of sealed bars: written down before the bars are read, once a candidate, tamper-evident."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.data import holdout, store
from engine.data.holdout import Request, first_opening, open_holdout, openings, openings_of, seal
from engine.data.manifest import Origin, describe
from engine.domain.errors import InputError, RefusedError
from engine.domain.panel import Instrument, Panel
from engine.domain.time import NANOSECONDS_PER_DAY, Calendar, Timeframe

pytestmark = pytest.mark.usefixtures("home")

REPOSITORY = Path(__file__).parents[2]
MORNING = 1_800_000_000 * 10**9


def stored(name: str = "mine", first: float = 1.0) -> Panel:
    close = np.linspace(first, 2.0, 100)[:, None]
    panel = Panel(
        name=name,
        timestamps=np.arange(100, dtype=np.int64) * NANOSECONDS_PER_DAY,
        open=close,
        high=close,
        low=close,
        close=close,
        volume=np.ones_like(close),
        instruments=(Instrument(symbol="AAA"),),
        timeframe=Timeframe.DAY_1,
        calendar=Calendar.ALWAYS,
    )
    store.write(panel, describe(panel, origin=Origin.IMPORTED, source="test"))
    return panel


def ask(number: int = 1, **changes: object) -> Request:
    fields: dict[str, object] = {
        "strategy_id": f"trend-{number}",
        "identity_hash": f"{number}" * 64,
        "coordinates": {"strategy": "trend", "fast": str(number)},
        "operator": "ada",
        "reason": "promotion",
        "result": f"runs/holdout-trend-{number}",
    }
    return Request(**(fields | changes))  # type: ignore[arg-type]


def opened(*numbers: int, name: str = "mine") -> None:
    for number in numbers:
        open_holdout(name, ask(number), clock=lambda: MORNING)


def edit(line: int, old: str, new: str) -> None:
    lines = holdout.journal().read_text().splitlines()
    assert old in lines[line]
    lines[line] = lines[line].replace(old, new)
    holdout.journal().write_text("\n".join(lines) + "\n")


# --- what is written -------------------------------------------------------------------------------------


def test_an_opening_says_who_when_why_and_for_which_candidate() -> None:
    panel = stored()

    whole = open_holdout("mine", ask(run_id="t-1", is_candidate=False), clock=lambda: 2**62)

    assert len(whole) == 100
    [opening] = openings_of("mine")
    assert opening.request == ask(run_id="t-1", is_candidate=False)
    assert (opening.content_hash, opening.sealed_rows) == (panel.content_hash, 20)
    assert (opening.opened_at_ns, opening.opened_at) == (2**62, "2116-02-20T23:53:38Z")
    # Beyond 2^53, so it is text.
    assert json.loads(holdout.journal().read_text())["opened_at_ns"] == str(2**62)


def test_bars_that_cannot_be_read_were_opened_all_the_same() -> None:
    stored()
    [bars] = store.folder("mine").glob("panel-*.npz")
    bars.write_bytes(b"not bars")

    with pytest.raises(InputError, match="cannot be read"):
        opened(1)

    assert openings("mine") == 1


def test_whoever_is_killed_before_the_bars_are_read_has_opened_them() -> None:
    stored()
    killed_at_the_bars = (
        "import os, signal, sys\n"
        "def hook(event, arguments):\n"
        "    if event == 'open' and str(arguments[0]).endswith('.npz'):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "from engine.data.holdout import Request, open_holdout\n"
        "sys.addaudithook(hook)\n"
        "who = {'strategy_id': 'trend-1', 'identity_hash': '1' * 64, 'operator': 'ada', 'reason': 'x'}\n"
        "open_holdout('mine', Request(**who))"
    )

    done = subprocess.run(
        [sys.executable, "-c", killed_at_the_bars], cwd=REPOSITORY, env=os.environ, timeout=60, check=False
    )

    assert done.returncode == -signal.SIGKILL
    assert openings("mine") == 1
    with pytest.raises(RefusedError, match="was opened for trend-1 at"):
        opened(1)


@pytest.mark.parametrize("missing", ["strategy_id", "operator", "reason"])
def test_an_opening_without_a_name_or_a_reason_is_refused(missing: str) -> None:
    with pytest.raises(InputError, match=f"{missing} must not be empty"):
        ask(1, **{missing: " "})


def test_openings_are_counted_for_each_set() -> None:
    stored()
    assert openings("mine") == 0

    opened(1, 2)
    opened(1, name="us5")

    assert (openings("mine"), openings("us5"), openings("us20")) == (2, 1, 0)


def test_the_same_bars_under_another_name_were_opened_too() -> None:
    stored()
    stored("other")

    opened(1)

    assert openings("other") == 1


def test_the_seal_says_which_days_it_covers() -> None:
    stored()

    sealed = seal("mine")

    assert sealed is not None
    assert (sealed.rows, sealed.first, sealed.last) == (
        20,
        80 * NANOSECONDS_PER_DAY,
        99 * NANOSECONDS_PER_DAY,
    )


# --- once ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "again",
    [
        ask(1, reason="once more"),
        ask(1, strategy_id="renamed-1", coordinates={}),
        # Another version of the core gives another identity to the same choice.
        ask(1, identity_hash="9" * 64, strategy_id="trend-9"),
    ],
    ids=["same", "renamed", "other core"],
)
def test_a_candidate_sees_the_sealed_bars_once(again: Request) -> None:
    stored()
    opened(1)

    with pytest.raises(
        RefusedError, match=r"at 2027-01-15T08:00:00Z by ada, and its result is in runs/holdout-"
    ):
        open_holdout("mine", again)

    assert openings("mine") == 1


def test_another_name_for_the_same_bars_opens_nothing_again() -> None:
    stored()
    stored("other")
    opened(1)

    with pytest.raises(RefusedError, match="the hold-out of mine was opened"):
        opened(1, name="other")


def test_the_same_candidate_may_see_other_bars() -> None:
    stored()
    stored("other", first=1.5)

    opened(1)
    opened(1, name="other")

    assert (openings("mine"), openings("other")) == (1, 1)


def test_a_line_of_an_earlier_version_counts_and_keeps_its_candidate_out() -> None:
    panel = stored()
    old = {
        "data": "mine",
        "content_hash": panel.content_hash,
        "strategy_id": "trend-1",
        "operator": "ada",
        "reason": "promotion",
        "sealed_rows": 20,
        "opened_at_ns": str(MORNING),
    }
    holdout.journal().write_text(json.dumps(old, sort_keys=True) + "\n")

    with pytest.raises(RefusedError, match="its result was kept nowhere"):
        opened(1)
    opened(2)

    assert openings("mine") == 2
    assert holdout.damage() == ""


# --- tampering -------------------------------------------------------------------------------------------


def test_a_torn_line_counts_and_does_not_swallow_the_next() -> None:
    stored()
    holdout.journal().write_text('{"data": "us')

    opened(1)

    assert (openings("mine"), openings("us20")) == (2, 1)
    assert holdout.damage() == ""


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_changed_line_is_seen_counts_and_nothing_is_opened_on_top(line: int) -> None:
    stored()
    opened(1, 2, 3)

    edit(line, '"data": "mine"', '"data": "us20"')

    assert holdout.damage() != ""
    assert openings("us5") == 1
    with pytest.raises(InputError, match="Nothing is opened on top of it"):
        opened(4)


def test_a_line_changed_together_with_the_mark_breaks_the_chain() -> None:
    stored()
    opened(1, 2)
    edit(0, '"operator": "ada"', '"operator": "bob"')

    chain = ""
    for line in holdout.journal().read_bytes().splitlines():
        chain = hashlib.sha256(chain.encode() + line).hexdigest()
    holdout.journal().with_name("holdout.jsonl.mark").write_text(json.dumps({"lines": 2, "chain": chain}))

    assert holdout.damage() == "line 2 does not continue the lines before it"


def test_a_line_taken_away_still_counts_for_every_set() -> None:
    stored()
    opened(1, 2)

    holdout.journal().write_text(holdout.journal().read_text().splitlines()[0] + "\n")

    assert (openings("mine"), openings("us20")) == (2, 1)
    assert holdout.damage() == "it holds 1 lines, but 2 were written"
    with pytest.raises(InputError, match="it holds 1 lines, but 2 were written"):
        first_opening("mine", ask(2))


def test_a_journal_that_was_deleted_counts() -> None:
    stored()
    opened(1, 2)

    holdout.journal().unlink()

    assert openings("mine") == 2


@pytest.mark.parametrize("change", ["gone", "unreadable"])
def test_a_mark_that_says_nothing_is_damage(change: str) -> None:
    stored()
    opened(1)
    mark = holdout.journal().with_name("holdout.jsonl.mark")

    if change == "gone":
        mark.unlink()
    else:
        mark.write_text("?")

    assert "mark" in holdout.damage()
    assert (openings("mine"), openings("us20")) == (1, 1)


def test_what_is_refused_leaves_nothing_behind() -> None:
    with pytest.raises(InputError, match="is not known"):
        opened(1, name="nothing")

    assert not holdout.journal().exists()


def test_some_bars_more_do_not_make_seen_bars_unseen() -> None:
    stored()
    opened(1)
    # The same name, another content: a bar was appended, say.
    stored(first=1.5)

    with pytest.raises(RefusedError, match="bars that were seen are sealed no more"):
        opened(1)
    opened(2)
