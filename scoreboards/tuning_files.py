"""Writing a tuning for people and programs: JSON, CSV, figures and one page of HTML."""

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from engine.compiled import CORE_VERSION
from engine.domain.identity import content_hash
from engine.features.strategy import Number
from research.tuning import Tuning
from research.tuning_account import Track, TunedWindow
from research.tuning_objectives import MEANINGS as OBJECTIVE_MEANINGS
from research.tuning_search import Fate
from scoreboards import tuning_words as words
from scoreboards.publish import write_whole

JSON_FILE = "tuning.json"
TRIALS_FILE = "trials.csv"
PARAMETERS_FILE = "parameters.csv"
HTML_FILE = "tuning.html"
FIGURES_FOLDER = "figures"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Where a tuning was written, and what its file says."""

    document: Mapping[str, Any]
    page: Path


def publish(tuning: Tuning, folder: Path) -> Published:
    """Write every form of a tuning, each whole or not at all; `tuning.json` last."""
    from scoreboards.tuning_figures import draw_all

    drawn = draw_all(tuning)
    trials, parameters = trials_csv(tuning), parameters_csv(tuning)
    found = document(tuning, {TRIALS_FILE: trials, PARAMETERS_FILE: parameters})
    page = html(tuning, drawn, str(found["content_hash"]))
    (folder / FIGURES_FOLDER).mkdir(parents=True, exist_ok=True)
    for name, text in drawn.items():
        write_whole(folder / FIGURES_FOLDER / f"{name}.svg", text)
    write_whole(folder / TRIALS_FILE, trials)
    write_whole(folder / PARAMETERS_FILE, parameters)
    write_whole(folder / HTML_FILE, page)
    write_whole(folder / JSON_FILE, json.dumps(found, indent=1, sort_keys=True, allow_nan=False) + "\n")
    return Published(document=found, page=folder / HTML_FILE)


# --- JSON ------------------------------------------------------------------------------------------------


def document(tuning: Tuning, files: Mapping[str, str]) -> dict[str, Any]:
    """Return what `tuning.json` says: a contract, stable from here on.

    Parameters
    ----------
    files
        Text of the files beside it, by name, whose hashes it carries.
    """
    quest, played = tuning.quest, tuning.played
    verdict = words.verdict_of(tuning)
    tracks = {"tuned": played.tuned, "untuned": played.untuned, "pool": played.pool, "market": played.market}
    found: dict[str, Any] = {
        "kind": "tuning/1",
        "run_id": tuning.run_id,
        "inputs_hash": tuning.inputs_hash,
        "strategy": quest.kind.strategy_name(),
        "data": tuning.panel.name,
        "panel": tuning.panel.content_hash,
        "core": CORE_VERSION,
        "settings": quest.settings.document,
        "objectives": list(quest.objectives),
        "untuned_parameters": dict(quest.base),
        "ranges": {item.name: [item.low, item.high] for item in quest.ranges},
        "sets_a_window": quest.trials,
        "seed": quest.seed,
        "pruning": quest.pruning,
        "train": tuning.lengths.train,
        "retune": tuning.lengths.retune,
        "verdict": str(verdict.outcome),
        "headline": verdict.headline,
        "reason": verdict.reason,
        "gain": _number(played.gain),
        "gain_lower_bound": _number(played.gain_bound),
        "accounts": {name: _account(track) for name, track in tracks.items() if track is not None},
        "importance": dict(tuning.importance),
        "fates": {fate.value: tuning.count(fate) for fate in Fate},
        "parameters": dict(played.windows[-1].parameters),
        "windows": [_window(tuning, item) for item in played.windows],
        "trials": {
            "count": played.trials.count,
            "head": played.trials.head,
            "n_effective": played.trials.n_effective,
        },
        "files": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()},
        "repeat": words.repeat_command(tuning),
    }
    return found | {"content_hash": content_hash(found)}


def _account(track: Track) -> dict[str, Any]:
    figures = {name: _number(value) for name, value in track.figures.items()}
    return figures | {"equity_hash": content_hash(track.equity)}


def _window(tuning: Tuning, item: TunedWindow) -> dict[str, Any]:
    dates = _dates(tuning, item)
    return {
        "window": item.window.index,
        "train_rows": [item.window.train_start, item.window.train_stop],
        "in_force_rows": [item.start, item.stop],
        **dates,
        "parameters": dict(item.parameters),
        "fell_back": item.fell_back,
        "in_sample": _values(tuning, item.in_sample),
        "untuned_in_sample": _values(tuning, item.untuned_in_sample),
        "out_of_sample": _values(tuning, item.out_of_sample),
        "untuned_out_of_sample": _values(tuning, item.untuned_out_of_sample),
        "plateau": _number(item.searched.plateau),
        "front": list(item.searched.front),
        "fates": {fate.value: item.searched.count(fate) for fate in Fate},
    }


def _dates(tuning: Tuning, item: TunedWindow) -> dict[str, str]:
    stamps = tuning.panel.timestamps
    return {
        "train_first": words.moment(stamps, item.window.train_start),
        "train_last": words.moment(stamps, item.window.train_stop - 1),
        "in_force_first": words.moment(stamps, item.start),
        "in_force_last": words.moment(stamps, item.stop - 1),
    }


def _values(tuning: Tuning, values: tuple[float, ...] | None) -> dict[str, float] | None:
    return None if values is None else dict(zip(tuning.quest.objectives, values, strict=True))


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


# --- CSV -------------------------------------------------------------------------------------------------


def trials_csv(tuning: Tuning) -> str:
    """Return every parameter set that was asked for, in order. Floats keep every digit."""
    names = [item.name for item in tuning.quest.ranges]
    header = ["window", "number", "fate", *names, *tuning.quest.objectives, "at_half", "chosen", "on_front"]
    rows = []
    for item in tuning.played.windows:
        found = item.searched
        for tried in found.tried:
            values = tried.values or (None,) * len(tuning.quest.objectives)
            marks = [
                str(flag).lower() for flag in (tried.number == found.chosen, tried.number in found.front)
            ]
            rows.append(
                [
                    item.window.index,
                    tried.number,
                    tried.fate.value,
                    *(tried.parameters[name] for name in names),
                    *values,
                    _number(tried.at_half),
                    *marks,
                ]
            )
    return _csv(header, rows)


def parameters_csv(tuning: Tuning) -> str:
    """Return what was chosen in each window, and what came of it."""
    quest = tuning.quest
    header = ["window", "train_first", "train_last", "in_force_first", "in_force_last", *quest.base]
    for words_of in ("in_sample", "untuned_in_sample", "out_of_sample", "untuned_out_of_sample"):
        header += [f"{objective}_{words_of}" for objective in quest.objectives]
    header += ["plateau", "fell_back"]
    rows = []
    for item in tuning.played.windows:
        row: list[Number | str | None] = [item.window.index, *_dates(tuning, item).values()]
        row += [item.parameters[name] for name in quest.base]
        for values in (
            item.in_sample,
            item.untuned_in_sample,
            item.out_of_sample,
            item.untuned_out_of_sample,
        ):
            row += values or (None,) * len(quest.objectives)
        rows.append([*row, _number(item.searched.plateau), str(item.fell_back).lower()])
    return _csv(header, rows)


def _csv(header: Sequence[str], rows: Iterable[Sequence[Number | str | None]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(
            ["" if value is None else repr(value) if isinstance(value, float) else value for value in row]
        )
    return out.getvalue()


# --- HTML ------------------------------------------------------------------------------------------------


def html(tuning: Tuning, drawn: Mapping[str, str], hashed: str) -> str:
    """Return the page: no script, no network, light and dark, on a phone and on paper.

    Parameters
    ----------
    drawn
        SVG texts by name.
    hashed
        Content hash of the document.
    """
    from scoreboards.report_page import drawing
    from scoreboards.tuning_figures import FIGURES

    environment = Environment(
        loader=PackageLoader("scoreboards", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    figures = {
        name: Markup(drawing(text, FIGURES[name][1], number))
        for number, (name, text) in enumerate(drawn.items())
    }
    verdict = words.verdict_of(tuning)
    return environment.get_template("tuning.html.j2").render(
        tuning=tuning,
        verdict=verdict,
        tone=words.TONES[verdict.outcome],
        meaning=words.MEANINGS[verdict.outcome],
        facts=words.facts(tuning),
        next_step=words.next_step(tuning, verdict.outcome),
        repeat=words.repeat_command(tuning),
        objectives={name: OBJECTIVE_MEANINGS[name] for name in tuning.quest.objectives},
        figures=figures,
        accounts=[
            track
            for track in (
                tuning.played.tuned,
                tuning.played.untuned,
                tuning.played.pool,
                tuning.played.market,
            )
            if track is not None
        ],
        signed=words.signed,
        plain=words.plain,
        moment=words.moment,
        missing=np.nan,
        content_hash=hashed,
        core=CORE_VERSION,
    )
