"""Data sets made ready to play on: cut into windows, instruments chosen, base weights solved."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from engine.data import catalogue, holdout
from engine.data.manifest import Manifest
from engine.domain.errors import InputError
from engine.domain.identity import content_hash
from engine.domain.panel import Panel
from engine.home import cache_folder
from engine.pipeline.run import Settings
from engine.schedule.windows import Window, walk_forward
from engine.selection.universe import Selection
from engine.workforce import THIS_PROCESS, Workforce
from research.arena import Arena
from research.base_weights import Allocation, BaseWeights, Question, solve
from research.cells import TrialsRecord, UniverseRecord, WindowChoice
from research.configuration import TournamentSettings, Universe
from research.selections import Choice, Request, choose

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """A data set as a tournament sees it, before anything is chosen.

    Attributes
    ----------
    openings
        How often its hold-out was opened.
    """

    universe: Universe
    manifest: Manifest
    panel: Panel
    windows: tuple[Window, ...]
    openings: int

    @property
    def name(self) -> str:
        """Of the data set."""
        return self.universe.name


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A data set ready to play on, with its choices by selection and the base weights of every allocation."""

    ground: Ground
    arena: Arena
    choices: Mapping[str, Choice]
    weights: Mapping[Allocation, BaseWeights]


def survey(universe: Universe, settings: TournamentSettings) -> Ground:
    """Load a data set up to its hold-out and cut it into windows.

    Raises
    ------
    InputError
        If the data set is not known, or too short for one window.
    """
    panel = catalogue.load(universe.name)
    lengths = settings.configuration.windows
    try:
        windows = walk_forward(
            len(panel),
            train=lengths.train,
            test=lengths.test,
            step=lengths.step,
            purge=lengths.purge,
            embargo=lengths.embargo,
        )
    except InputError as error:
        raise InputError(f"data set {universe.name}: {error}") from error
    return Ground(
        universe=universe,
        manifest=catalogue.manifest(universe.name),
        panel=panel,
        windows=windows,
        openings=holdout.openings(universe.name),
    )


def prepare(
    grounds: Sequence[Ground],
    settings: TournamentSettings,
    *,
    workforce: Workforce = THIS_PROCESS,
    choosing: Progress | None = None,
    solving: Progress | None = None,
) -> list[Prepared]:
    """Choose the instruments of every window and solve their base weights.

    Parameters
    ----------
    choosing, solving
        Called with the amount done, and the whole.
    """
    selections = [Selection(selection.value) for selection in settings.configuration.selections]
    chosen = iter(
        choose(
            [_request(ground, selection, settings) for ground in grounds for selection in selections],
            facts=cache_folder() / "selections",
            workforce=workforce,
            progress=choosing,
        )
    )
    choices = [{selection.value: next(chosen) for selection in selections} for _ in grounds]
    arenas = [_arena(ground, made, settings) for ground, made in zip(grounds, choices, strict=True)]
    questions = [_questions(arena, settings) for arena in arenas]
    answers = iter(
        solve(
            [question for asked in questions for question in asked],
            facts=cache_folder() / "allocations",
            workforce=workforce,
            progress=solving,
        )
    )
    return [
        Prepared(
            ground=ground,
            arena=arena,
            choices=made,
            weights={question.allocation: next(answers) for question in asked},
        )
        for ground, arena, made, asked in zip(grounds, arenas, choices, questions, strict=True)
    ]


def whole_pool(ground: Ground, settings: TournamentSettings) -> Arena:
    """Return the arena in which every eligible instrument is selected; needs no worker."""
    [choice] = choose([_request(ground, Selection.ALL, settings)], facts=cache_folder() / "selections")
    return _arena(ground, {Selection.ALL.value: choice}, settings)


def universe_record(ground: Ground, start_cash: float, trials: TrialsRecord) -> UniverseRecord:
    """Return what the board says of a data set."""
    panel, manifest = ground.panel, ground.manifest
    return UniverseRecord(
        name=ground.name,
        content_hash=manifest.content_hash,
        timeframe=panel.timeframe,
        calendar=panel.calendar,
        adjustment=panel.adjustment,
        has_range=panel.has_range,
        has_volume=panel.has_volume,
        synthetic=panel.synthetic,
        rows=len(panel),
        instruments=len(panel.instruments),
        first=int(panel.timestamps[0]),
        last=int(panel.timestamps[-1]),
        windows=len(ground.windows),
        market=manifest.market or "",
        holdout_rows=manifest.holdout_rows,
        holdout_openings=ground.openings,
        notes=manifest.notes,
        start_cash=start_cash,
        trials=trials,
    )


def window_choices(prepared: Prepared) -> list[WindowChoice]:
    """Return what was chosen for every window, in the order of selections and windows."""
    panel = prepared.ground.panel
    return [
        WindowChoice(
            universe=prepared.ground.name,
            selection=selection,
            window=window.index,
            train_first=int(panel.timestamps[window.train_start]),
            train_last=int(panel.timestamps[window.train_stop - 1]),
            test_first=int(panel.timestamps[window.test_start]),
            test_last=int(panel.timestamps[window.test_stop - 1]),
            eligible=int(choice.eligible[row].sum()),
            selected=tuple(
                symbol for symbol, chosen in zip(panel.symbols, choice.selected[row], strict=True) if chosen
            ),
            fallback=bool(choice.fallback[row]),
            without_data=tuple(name for name in str(choice.zeroed[row]).split(";") if name),
        )
        for selection, choice in prepared.choices.items()
        for row, window in enumerate(prepared.ground.windows)
    ]


def _request(ground: Ground, selection: Selection, settings: TournamentSettings) -> Request:
    return Request(
        panel=ground.panel,
        windows=ground.windows,
        selection=selection,
        floor=ground.universe.floor(len(ground.panel.instruments)),
        seed=settings.configuration.seed,
    )


def _arena(ground: Ground, choices: Mapping[str, Choice], settings: TournamentSettings) -> Arena:
    panel, configuration = ground.panel, settings.configuration
    return Arena(
        panel=panel,
        windows=ground.windows,
        eligible=next(iter(choices.values())).eligible,
        selected={name: choice.selected for name, choice in choices.items()},
        settings=Settings(
            costs=settings.costs.costs(panel),
            rules=settings.rules(panel.timeframe),
            limits=settings.limits.limits(panel),
            cash=configuration.cash,
            start_row=ground.windows[0].test_start,
            stop_row=ground.windows[-1].test_stop,
        ),
        impact_coefficient=settings.costs.capacity_impact_bps,
        schedule_hash=content_hash(
            {
                "windows": configuration.windows.model_dump(),
                "floor": ground.universe.floor(len(panel.instruments)),
                "seed": configuration.seed,
            }
        ),
    )


def _questions(arena: Arena, settings: TournamentSettings) -> list[Question]:
    return [
        Question(
            allocation=Allocation(selection=selection, engine=engine, profile=profile),
            panel=arena.panel,
            windows=arena.windows,
            masks=masks,
        )
        for selection, masks in arena.selected.items()
        for engine, profile in settings.configuration.allocations.pairs()
    ]
