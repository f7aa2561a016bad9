"""What is written and shown: whole files, one page without network, plain words, 100 columns."""

import base64
import csv
import hashlib
import io
import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from engine.cli.scoreboard import app
from engine.domain.errors import IdentityError, InputError
from engine.domain.gates import Direction, GateResult, GateStatus
from research.cells import CellResult, ControlExpectation, Refusal
from research.control_study import PACKAGED, read
from scoreboards import drawing
from scoreboards.board import Board
from scoreboards.explain import WORDS, reason, short_reasons
from scoreboards.judging import build
from scoreboards.publish import html, markdown, publish, repeat_command, write_whole
from scoreboards.terminal import show
from tests.boards import (
    good_controls,
    market_returns,
    settings,
    skilled,
    three_simulators,
    tournament,
    universe,
    with_baselines,
)

MARKET = market_returns()
STUDY = read(PACKAGED)


def board_of(edges: dict[str, float], *, void: bool = False) -> Board:
    cells: list[CellResult] = []
    for seed, (name, edge) in enumerate(edges.items()):
        for profile in ("equal_weight", "hrp"):
            returns = skilled(MARKET, edge=edge, seed=seed)
            cells += three_simulators(returns, strategy=name, profile=profile, gross=0.6)
    controls = tuple(
        replace(control, refused=False)
        if void and control.expectation is ControlExpectation.REFUSED
        else control
        for control in good_controls(MARKET)
    )
    refusals = [Refusal(strategy="<peeker>", universe="us20", reason="saw & used the future")]
    return build(tournament(with_baselines(cells, MARKET), controls=controls, refusals=refusals), settings())


@pytest.fixture(scope="module")
def passing() -> Board:
    return board_of({"good": 0.0015, "weak": 0.0004, "bad": -0.001})


@pytest.fixture(scope="module")
def empty() -> Board:
    return board_of({"weak": 0.0004, "bad": -0.001})


@pytest.fixture(scope="module")
def void() -> Board:
    return board_of({"good": 0.0015}, void=True)


def screen(board: Board, **console: object) -> str:
    out = io.StringIO()
    show(board, Path("runs/T-1"), Console(file=out, **console))  # type: ignore[arg-type]
    return out.getvalue()


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


# --- files -----------------------------------------------------------------------------------------------


def test_every_form_is_written_and_no_temporary_file_stays(passing: Board, tmp_path: Path) -> None:
    published = publish(passing, tmp_path / "run")

    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "board.json",
        "scoreboard.html",
        "tournament_candidates.csv",
        "tournament_scoreboard.csv",
        "tournament_scoreboard.md",
    ]
    assert len(read_csv(published.scoreboard)) == len(passing.rows)
    assert published.candidates is not None
    assert [row["strategy"] for row in read_csv(published.candidates)] == ["good", "good"]


def test_a_csv_keeps_every_digit(passing: Board, tmp_path: Path) -> None:
    published = publish(passing, tmp_path)

    row = read_csv(published.scoreboard)[0]

    assert float(row["total_return"]) == passing.rows[0].number("total_return")
    assert row["is_candidate"] == "true"
    assert row["beta"] != ""
    assert row["problem"] == ""


def test_the_same_board_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        publish(board_of({"good": 0.0015}), tmp_path / name)

    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_a_void_board_has_no_candidates_file_and_removes_an_old_one(
    passing: Board, void: Board, tmp_path: Path
) -> None:
    publish(passing, tmp_path)
    assert (tmp_path / "tournament_candidates.csv").exists()

    published = publish(void, tmp_path)

    assert published.candidates is None
    assert not (tmp_path / "tournament_candidates.csv").exists()
    assert json.loads(published.board.read_text())["void"] is True


def test_a_row_that_its_account_contradicts_stops_everything(passing: Board, tmp_path: Path) -> None:
    first = passing.rows[0]
    wrong = first.number("total_return") + 1e-8
    forged = replace(first, values={**first.values, "total_return": wrong})

    with pytest.raises(IdentityError, match="nothing was written"):
        publish(replace(passing, rows=(forged, *passing.rows[1:])), tmp_path / "run")

    assert not (tmp_path / "run").exists()


def test_a_write_that_fails_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.txt"
    write_whole(path, "old")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "no space left on device", descriptor)

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_whole(path, "new")

    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["report.txt"]


def test_markdown_has_the_sections_of_the_specification(empty: Board) -> None:
    text = markdown(empty, STUDY)

    sections = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert sections == [
        "Controls",
        "Luck",
        "Thresholds",
        "Candidate summary",
        "Top candidates, non-baseline (50)",
        "Baseline reference rows",
        f"Full table ({min(200, len(empty.rows))} of {len(empty.rows)} rows)",
        "Repeat this",
    ]
    assert "### Nearest misses" in text
    assert text.startswith("# Nothing passed")
    assert f"Study of the gates: {STUDY.headline()}" in text
    assert "| us20 | tries on record | 48 |" in text
    assert re.search(r"\| us20 \| overfitting \| \d+% \| of the ways to halve history", text)


# --- the page --------------------------------------------------------------------------------------------


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.policy = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = dict(attrs)
        self.links += [named[name] or "" for name in ("src", "href", "xlink:href", "action") if name in named]
        if named.get("id"):
            assert named["id"] not in self.ids
            self.ids.add(named["id"] or "")
        if named.get("http-equiv") == "Content-Security-Policy":
            self.policy = named["content"] or ""


def tags(page: str) -> _Tags:
    parser = _Tags()
    parser.feed(page)
    return parser


def test_the_page_loads_nothing_and_runs_its_own_script_alone(passing: Board) -> None:
    page = html(passing, STUDY)
    found = tags(page)

    # Links stay inside the page, and lead somewhere.
    assert {link[0] for link in found.links} == {"#"}
    assert {link[1:] for link in found.links} <= found.ids
    assert not {"link", "img", "iframe", "form", "object"} & set(found.tags)
    assert found.tags.count("script") == 1
    assert "url(" not in page
    assert "@import" not in page
    assert "://" not in page
    script = page[page.index("<script>") + len("<script>") : page.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert found.policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert len(page.encode()) < 300_000


def test_the_page_says_the_verdict_first_and_all_reasons_in_plain_words(empty: Board) -> None:
    page = html(empty, STUDY)

    assert page.index("Nothing passed: none of 3 strategies") < page.index("<table")
    assert "not enough better than the best of all tries on this data" in page
    assert "all 20 survived, the index has no dividends" in page
    assert "sealed hold-out, 504 bars, opened 0 times" in page
    assert empty.content_hash in page


def test_names_from_outside_cannot_write_into_the_page(passing: Board) -> None:
    page = html(passing, STUDY)

    assert "<peeker>" not in page
    assert "&lt;peeker&gt;" in page
    assert "saw &amp; used the future" in page


def test_a_void_page_says_so_on_top_and_gives_no_leave(void: Board) -> None:
    page = html(void, STUDY)

    assert page.index("VOID. A check of the checker misbehaved") < page.index("<h1>")
    assert "all gates met, which counts for nothing on a void board" in page
    assert "may move to paper trading." not in page[: page.index('<h2 id="gates">')]


def test_every_gate_is_explained_on_the_page(passing: Board) -> None:
    page = html(passing, STUDY)

    for gate, words in WORDS.items():
        assert f"<code>{gate}</code>" in page
        assert words.asks.split(".")[0].replace("'", "&#39;") in page


@pytest.mark.parametrize(
    ("source", "command"),
    [
        ("configs/port-test.yaml", "make port-test"),
        ("configs/mine.yaml", "engine tournament --config configs/mine.yaml"),
        ("configs/port-test.yaml --data us5", "engine tournament --config configs/port-test.yaml --data us5"),
        ("the standard configuration", "engine tournament --data us20"),
    ],
)
def test_the_page_names_the_command_that_repeats_it(passing: Board, source: str, command: str) -> None:
    board = replace(passing, settings={**passing.settings, "source": source})

    assert repeat_command(board) == command
    assert command in html(board, STUDY)


def test_bars_above_and_below_the_line_say_what_colour_says() -> None:
    picture = str(drawing.blocks([1.5, -3.0]))

    ups = re.findall(r'class="up" x="0" y="([\d.]+)" width="\d+" height="([\d.]+)"', picture)
    downs = re.findall(r'class="down" x="20" y="([\d.]+)" width="\d+" height="([\d.]+)"', picture)
    # The middle is at 15, full height 14 is a ratio of 3.
    assert ups == [("8.0", "7.0")]
    assert downs == [("15.0", "14.0")]


def test_an_interval_is_drawn_between_its_bound_and_its_point() -> None:
    scale = drawing.Scale(-1.0, 1.0, 100.0)

    picture = str(drawing.interval(-0.5, 0.5, scale, "hold"))

    assert 'x1="25.0" x2="75.0"' in picture
    assert 'x1="50.0" x2="50.0"' in picture
    assert scale.at(9.0) == 100.0


# --- the terminal ----------------------------------------------------------------------------------------


def test_the_screen_is_at_most_100_columns_wide(passing: Board, empty: Board, void: Board) -> None:
    for board in (passing, empty, void):
        for line in screen(board).splitlines():
            assert len(line) <= 100, line


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_narrow_screen_drops_figures_and_cuts_no_name(width: int) -> None:
    name = "a_strategy_of_thirty_letters_x"
    text = screen(board_of({name: 0.0004}), force_terminal=True, no_color=True, width=width)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)

    heads = next(line for line in plain.splitlines() if line.split()[:1] == ["strategy"])
    row = next(line for line in plain.splitlines() if re.match(rf" +(HOLD|FAIL) +{name} ", line))
    assert max(map(len, plain.splitlines())) <= width
    assert heads.split()[1] == ("excess" if width == 60 else "Sharpe")
    assert ("P/H/F" in heads) == ("P/H/F: cells" in plain) == (width == 100)
    assert re.search(r"[+-]\d\.\d\d", row)


def test_the_screen_says_what_luck_does_on_each_data_set(empty: Board) -> None:
    assert re.search(r"luck: overfitting \d+%, \d+% of other paths lose, shuffled bars give", screen(empty))


def test_nothing_passed_says_so_shows_the_nearest_and_promotes_nothing(empty: Board) -> None:
    text = screen(empty)

    assert "Nothing passed: none of 3 strategies may move to paper trading." in text
    assert "Nothing is promoted. Nearest misses:" in text
    assert "HOLD  weak-" in text
    assert re.search(r"next +engine strategy new NAME", text)
    assert text.rstrip().splitlines()[-1].split() == [
        "scoreboard",
        "runs/T-1/scoreboard.html",
        "(also",
        ".csv,",
        ".md,",
        "board.json)",
    ]


def test_a_pass_names_the_next_command(passing: Board) -> None:
    text = screen(passing)

    assert "1 of 4 strategies may move to paper trading." in text
    assert "engine promote good" in text


def test_a_void_run_says_so_before_anything_else(void: Board) -> None:
    text = screen(void)

    assert "VOID" in text[: text.index("SCOREBOARD")]
    assert "peek on us20 must be refused, seen: not refused" in " ".join(text.split())


def test_colour_is_never_the_only_sign(passing: Board) -> None:
    plain = screen(passing, no_color=True, force_terminal=True, width=100)

    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", plain)
    for word in ("PASS", "HOLD", "FAIL", "ref", "▲", "✓"):
        assert word in plain


# --- words -----------------------------------------------------------------------------------------------


def gate(name: str, value: float, threshold: float, status: GateStatus) -> GateResult:
    return GateResult(
        gate=name,
        value=value,
        threshold=threshold,
        direction=Direction.AT_MOST,
        status=status,
        evidence_hash="",
    )


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (
            gate("turnover", 0.613, 0.5, GateStatus.FAIL),
            "trades too much: 61.3% of the account in 20 bars, allowed 50.0%",
        ),
        (
            gate("stress_alpha", -0.00042, 0.0, GateStatus.FAIL),
            "hurts in bad markets: -4.20 bps a day beyond its exposure on the worst, needed +0.00 bps",
        ),
        (
            gate("temporal_fragility", np.inf, 1.5, GateStatus.FAIL),
            "comes and goes: yearly Sharpe ratios scatter beyond measure times their mean, allowed 1.50",
        ),
        (
            gate("deflated_sharpe", 0.9499, 0.95, GateStatus.FAIL),
            "not enough better than the best of all tries on this data: 0.9499, needed 0.95",
        ),
        (
            gate("excess_lower_bound", -0.00483, 0.0, GateStatus.FAIL),
            "could be luck: the lower bound of its excess Sharpe is -0.0048, it must be above 0",
        ),
        (
            gate("sim_parity", np.nan, 0.015, GateStatus.MISSING),
            "the second simulator gave nothing; one that works limits and stops is nautilus: make peers",
        ),
        (gate("beta", np.nan, 0.5, GateStatus.NOT_APPLICABLE), ""),
        (gate("trades", 30, 30, GateStatus.PASS), ""),
    ],
)
def test_a_gate_says_value_and_threshold_in_plain_words(result: GateResult, words: str) -> None:
    assert reason(result) == words


def test_a_table_shows_the_first_reasons_and_counts_the_rest() -> None:
    results = [gate(name, 2.0, 1.0, GateStatus.FAIL) for name in ("turnover", "beta", "cvar_mult")]

    assert short_reasons(results) == "trades too much, market risk in it +1"


# --- the command -----------------------------------------------------------------------------------------


def test_the_command_prints_the_contract(passing: Board, home: Path) -> None:
    publish(passing, home / "runs" / passing.run_id)

    done = CliRunner().invoke(app, ["--json"])

    assert done.exit_code == 0
    assert json.loads(done.stdout) == json.loads(json.dumps(passing.document()))


def test_the_command_takes_the_latest_run_or_the_one_named(passing: Board, empty: Board, home: Path) -> None:
    publish(replace(passing, run_id="T-old"), home / "runs" / "T-old")
    publish(replace(empty, run_id="T-new"), home / "runs" / "T-new")
    os.utime(home / "runs" / "T-old" / "board.json", ns=(1, 1))

    latest = json.loads(CliRunner().invoke(app, ["--json"]).stdout)
    named = json.loads(CliRunner().invoke(app, ["--run", "T-old", "--json"]).stdout)

    assert (latest["run_id"], named["run_id"]) == ("T-new", "T-old")


@pytest.mark.parametrize(("flags", "code"), [([], 0), (["--require-pass"], 4)])
def test_nothing_passed_exits_4_when_asked(empty: Board, home: Path, flags: list[str], code: int) -> None:
    publish(empty, home / "runs" / "T-1")

    assert CliRunner().invoke(app, flags).exit_code == code


def test_a_void_run_exits_3(void: Board, home: Path) -> None:
    publish(void, home / "runs" / "T-1")

    assert CliRunner().invoke(app, ["--json", "--require-pass"]).exit_code == 3


@pytest.mark.usefixtures("home")
def test_without_a_run_the_command_says_what_to_do_first() -> None:
    done = CliRunner().invoke(app, [])

    assert isinstance(done.exception, InputError)
    assert "engine tournament --data us20" in str(done.exception)


def test_a_run_that_is_not_there_names_those_that_are(passing: Board, home: Path) -> None:
    publish(passing, home / "runs" / "T-1")

    done = CliRunner().invoke(app, ["--run", "T-2"])

    assert isinstance(done.exception, InputError)
    assert "no run T-2" in str(done.exception)
    assert "there are T-1" in str(done.exception)


def test_two_data_sets_have_a_table_each() -> None:
    cells: list[CellResult] = []
    for data in ("us20", "us5"):
        played = three_simulators(skilled(MARKET, edge=0.0002), data=data)
        cells += with_baselines(played, MARKET, data)
    both = build(tournament(cells, universes=(universe(), universe("us5", instruments=5))), settings())

    page = html(both, STUDY)

    assert page.count('<table class="board">') == 2
    assert re.findall(r"<h2 id=[^>]*>(us\d+)</h2>", page) == ["us20", "us5"]
