"""Is the lake what was written? Every file is read, and each series from its first part to its last."""

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from engine.data.lake import catalogue, datasets, facts, files, layout, raw, versions
from engine.data.lake.parts import (
    Part,
    is_merged_name,
    is_part_name,
    read_part,
    read_revisions,
    read_rows,
    repeated,
)
from engine.data.lake.problems import Problem, ProblemKind
from engine.data.lake.reading import rows_of
from engine.data.lake.rows import increasing
from engine.data.series import SeriesKind
from engine.domain.errors import InputError

_SERIES = tuple(kind.value for kind in SeriesKind)
_KNOWN_FILES = (".lock", catalogue.NAME)


def problems(root: Path) -> list[Problem]:
    """Return everything that is wrong, in the order of paths."""
    # A writer in between would leave a part seen and the one before it not.
    with files.reading(root):
        return _problems(root)


def _problems(root: Path) -> list[Problem]:
    found: list[Problem] = []
    series: dict[Path, list[Part]] = {}
    merged: list[Part] = []
    for place in _files(root):
        top = place.parts[0]
        if top == files.STAGING:
            found.append(
                _problem(ProblemKind.UNFINISHED, place, "a writer was killed; the next one clears it away")
            )
        elif top in (*_SERIES, layout.CORRECTIONS):
            try:
                part = _checked_part(root, place)
            except InputError as wrong:
                found.append(_problem(ProblemKind.DAMAGED, place, str(wrong)))
                part = None
            if part is not None and part.repeats:
                merged.append(part)
            elif part is not None:
                series.setdefault(layout.folder(part.key), []).append(part)
        elif top == facts.FOLDER:
            message = facts.problem(root, place)
            found += [_problem(ProblemKind.DAMAGED, place, message)] if message else []
        elif top == raw.FOLDER:
            found += _raw_problems(root, place)
        elif top == versions.FOLDER:
            found += _data_set_problems(root, place)
        elif str(place) not in _KNOWN_FILES:
            found.append(_strange(place))
    for place, parts in sorted(series.items()):
        found += _series_problems(root, place, parts)
    whole = [part for parts in series.values() for part in parts]
    found += [problem for part in merged for problem in _merged_problems(root, part, whole)]
    return found + catalogue.problems(root, whole)


def _files(root: Path) -> Iterator[Path]:
    """Yield every file below a folder, relative to it, in the order of paths."""
    for folder, inner, names in os.walk(root):
        inner.sort()
        for name in sorted(names):
            yield (Path(folder) / name).relative_to(root)


def _checked_part(root: Path, place: Path) -> Part:
    if not is_part_name(place.name) and not is_merged_name(place.name):
        raise InputError("is not called as a part is; take it out of the lake")
    part = read_part(root, place)
    if part.is_rows:
        rows = read_rows(root, part)
        stamps, is_ordered = rows.stamps, increasing(rows)
    else:
        stamps = read_revisions(root, part).stamps
        is_ordered = bool(np.all(stamps[1:] >= stamps[:-1]))
    # The hash says that the bytes are those that were written; this says that they were worth writing.
    says = (part.rows, part.first, part.last)
    holds = (len(stamps), int(stamps[0]), int(stamps[-1])) if len(stamps) else (0, 0, 0)
    ends = {layout.month_of(stamp) for stamp in (part.first, part.last)}
    if says != holds or not is_ordered or ends != {part.month}:
        raise InputError("its rows are not those that its footer tells of; restore it from a copy")
    return part


def _series_problems(root: Path, place: Path, parts: list[Part]) -> list[Problem]:
    ordered = sorted(parts, key=lambda part: part.sequence)
    gaps = []
    if ordered[0].sequence != 1:
        gaps.append((0, ordered[0].sequence))
    gaps += [
        (earlier.sequence, later.sequence)
        for earlier, later in pairwise(ordered)
        if later.sequence != earlier.sequence + 1 or later.previous != earlier.name_hash
    ]
    if gaps:
        return [
            _problem(
                ProblemKind.MISSING,
                place,
                f"part {later} does not continue part {earlier}, what was between them is gone; "
                "restore the folder from a copy",
            )
            for earlier, later in gaps
        ]
    try:
        rows_of(root, ordered[0].key, ordered)
    except InputError as wrong:
        return [_problem(ProblemKind.DAMAGED, place, str(wrong))]
    return []


def _merged_problems(root: Path, part: Part, whole: list[Part]) -> list[Problem]:
    """Return what is wrong with a part that repeats others: it has to say what they say."""
    assert part.place is not None
    places = set(repeated(part))
    members = [each for each in whole if each.place in places]
    if len(members) != len(places):
        return [_problem(ProblemKind.DAMAGED, part.place, "it repeats parts that are not there any more")]
    told, own = rows_of(root, part.key, members), read_rows(root, part)
    is_same = all(
        one.tobytes() == other.tobytes()
        for one, other in zip(
            (told.stamps, told.ids, *told.values.values()),
            (own.stamps, own.ids, *own.values.values()),
            strict=True,
        )
    )
    if is_same and part.known_at == max(each.known_at for each in members):
        return []
    return [_problem(ProblemKind.DAMAGED, part.place, "it does not say what the parts say that it repeats")]


def _data_set_problems(root: Path, place: Path) -> list[Problem]:
    name, number = place.parent.name, place.stem
    if len(place.parts) != 3 or number not in map(str, versions.numbers(root, name)):
        return [_strange(place)]
    try:
        frozen = versions.read(root, name, int(number))
        panel = datasets.load(root, frozen)
    except InputError as wrong:
        return [_problem(ProblemKind.DAMAGED, place, str(wrong))]
    if (frozen.name, frozen.version) != (name, int(number)):
        return [_problem(ProblemKind.DAMAGED, place, f"it is version {frozen.version} of {frozen.name}")]
    if panel.content_hash != frozen.content_hash:
        return [
            _problem(
                ProblemKind.DAMAGED,
                place,
                f"its bars have the hash {panel.content_hash[:16]}, frozen were {frozen.content_hash[:16]}",
            )
        ]
    return []


def _raw_problems(root: Path, place: Path) -> list[Problem]:
    if not place.name.endswith(raw.SUFFIX):
        return [_strange(place)]
    if raw.payload_of(root / place) is None:
        return [_problem(ProblemKind.DAMAGED, place, "it cannot be unpacked; restore it from a copy")]
    return []


def _strange(place: Path) -> Problem:
    return _problem(ProblemKind.STRANGE, place, "nothing of the lake is called so; take it out of the lake")


def _problem(kind: ProblemKind, place: Path, message: str) -> Problem:
    return Problem(kind=kind, path=str(place), message=message)
