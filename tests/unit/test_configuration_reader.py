"""Reading YAML: every problem at once, each at its place, each with the way to mend it."""

import json
from enum import StrEnum
from pathlib import Path

import pytest
from pydantic import Field, model_validator

from engine.cli.errors import report
from engine.configuration import Section, load
from engine.domain.errors import AllocationError, ConfigurationError, InputError, Problem


class Mode(StrEnum):
    RESEARCH = "research"
    PAPER = "paper"


class Risk(Section):
    max_drawdown: float = Field(default=0.2, ge=0, le=1, examples=[0.2])
    bars: int = Field(ge=1, examples=[20])


class Example(Section):
    seed: int = 1
    mode: Mode = Mode.RESEARCH
    fees_bps: float = 8.0
    names: tuple[str, ...] = ()
    risk: Risk = Risk(bars=20)
    values: dict[str, int | float | str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _seed_is_not_thirteen(self) -> "Example":
        if self.seed == 13:
            raise ValueError("seed must not be 13")
        return self


def problems_of(folder: Path, text: str) -> tuple[Problem, ...]:
    path = folder / "example.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(path, Example)
    return caught.value.problems


def test_a_valid_file_becomes_a_model(tmp_path: Path) -> None:
    path = tmp_path / "example.yaml"
    path.write_text("seed: 7\nmode: paper\nnames: [a, b]\nrisk:\n  bars: 3\nvalues: {x: 1, y: 0.5}\n")

    example = load(path, Example)

    assert example.seed == 7
    assert example.mode is Mode.PAPER
    assert example.names == ("a", "b")
    assert example.risk.bars == 3
    assert example.values == {"x": 1, "y": 0.5}


def test_three_errors_are_three_problems_with_line_and_column(tmp_path: Path) -> None:
    text = "risk:\n  bars: 3\n  max_drawdown: '20%'  # a fifth\nfeees_bps: 8\nmode: papper\n"

    first, second, third = problems_of(tmp_path, text)

    assert (first.line, first.column, first.width) == (3, 17, 5)
    assert first.message == "risk.max_drawdown must be a number from 0 to 1, e.g. 0.2"
    assert (second.line, second.column, second.width) == (4, 1, 9)
    assert second.message == "feees_bps is not known. Did you mean  fees_bps ?"
    assert (third.line, third.column, third.width) == (5, 7, 6)
    assert third.message == "mode must be one of research, paper. Did you mean  paper ?"


def test_a_key_that_resembles_none_names_all_that_are_known(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "zzz: 1\n")

    assert problem.message == "zzz is not known. Known here: seed, mode, fees_bps, names, risk, values"


def test_two_missing_keys_of_one_section_are_two_problems(tmp_path: Path) -> None:
    class Two(Section):
        a: int = Field(examples=[1])
        b: float = Field(examples=[0.5])

    class Outer(Section):
        inner: Two

    path = tmp_path / "two.yaml"
    path.write_text("inner: {}\n")
    with pytest.raises(ConfigurationError) as caught:
        load(path, Outer)

    assert [problem.message for problem in caught.value.problems] == [
        "inner.a is missing: it must be a whole number, e.g. 1",
        "inner.b is missing: it must be a number, e.g. 0.5",
    ]


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("seed: '180'\n", 1, 7, "seed must be a whole number, e.g. 1"),
        ("seed: true\n", 1, 7, "seed must be a whole number, e.g. 1"),
        ("names: [a, 3]\n", 1, 12, "names.1 must be text"),
        ("names:\n  - a\n  - [b]\n", 3, 5, "names.1 must be text"),
        ("risk: 5\n", 1, 7, "risk must be a section with the keys max_drawdown, bars"),
        ("risk:\n  bars: 0\n", 2, 9, "risk.bars must be a whole number at least 1, e.g. 20"),
        ("values:\n  x: [1]\n", 2, 6, "values.x must be a whole number or a number or text"),
    ],
)
def test_a_wrong_value_says_what_is_expected(
    tmp_path: Path, text: str, line: int, column: int, words: str
) -> None:
    (problem,) = problems_of(tmp_path, text)

    assert (problem.line, problem.column, problem.message) == (line, column, words)


def test_a_rule_over_the_whole_file_is_a_problem_of_its_own_words(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "seed: 13\n")

    assert problem.message == "seed must not be 13"


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("seed: 1\nseed: 2\n", 2, 1, "seed stands twice here; keep one of the two"),
        ("seed: [1\nmode: paper\n", 2, 5, "is not YAML: expected ',' or ']', but got ':'"),
        ("risk:\n\tbars: 1\n", 2, 1, "is indented with a tab; YAML wants spaces"),
        ("- seed\n", 1, 1, "must hold keys and values, such as  seed: 1 ; this is a list"),
        (
            "# nothing\njust words\n",
            2,
            1,
            "must hold keys and values, such as  seed: 1 ; this is a single value",
        ),
    ],
)
def test_what_is_no_mapping_is_one_problem_at_its_place(
    tmp_path: Path, text: str, line: int, column: int, words: str
) -> None:
    (problem,) = problems_of(tmp_path, text)

    assert (problem.line, problem.column, problem.message) == (line, column, words)


@pytest.mark.parametrize("text", ["", "# only a comment\n"])
def test_an_empty_file_is_one_clear_error(tmp_path: Path, text: str) -> None:
    (problem,) = problems_of(tmp_path, text)

    assert problem.message == "is empty; it must hold keys and values, such as  seed: 1"


def test_a_file_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.yaml: 1 problem, nothing was run"):
        load(tmp_path / "absent.yaml", Example)


def test_a_file_in_another_encoding_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"mode: \xe9\n")

    with pytest.raises(ConfigurationError, match="is not UTF-8 text: byte 6 cannot be read"):
        load(path, Example)


def test_the_screen_shows_each_line_with_carets_under_the_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    problems = problems_of(tmp_path, "feees_bps: 8\nrisk:\n  bars: 3\n  max_drawdown: '20%'\n")

    code = report(ConfigurationError("example.yaml", problems), [])

    assert code == 2
    assert capsys.readouterr().err.splitlines() == [
        "  ✕ example.yaml  2 problems, nothing was run",
        "",
        "    1 │ feees_bps: 8",
        "      │ ^^^^^^^^^  feees_bps is not known. Did you mean  fees_bps ?",
        "    4 │   max_drawdown: '20%'",
        "      │                 ^^^^^  risk.max_drawdown must be a number from 0 to 1, e.g. 0.2",
        "  exit 2",
    ]


def test_with_json_an_error_is_one_document_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    problems = problems_of(tmp_path, "mode: papper\n")

    code = report(ConfigurationError("example.yaml", problems), ["tournament", "--json"])

    captured = capsys.readouterr()
    document = json.loads(captured.err)
    assert captured.out == ""
    assert code == document["exit"] == 2
    assert document["error"] == "ConfigurationError"
    assert document["problems"][0]["line"] == 1
    assert document["problems"][0]["column"] == 7


@pytest.mark.parametrize(("error", "code"), [(InputError("no such file"), 2), (AllocationError("none"), 1)])
def test_bad_input_exits_with_2_and_a_check_that_says_no_with_1(
    error: InputError | AllocationError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(error, []) == code
    assert str(error) in capsys.readouterr().err
