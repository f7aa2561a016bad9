"""Passports: everything that a session needs to run what a board judged, or a bare idea for exploring.

A row of a board is rebuilt with the code, the data and the files of today. Whatever is no longer what it was
has a name here; nobody promotes or reports a row that cannot be made again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.compiled import CORE_VERSION
from engine.data import catalogue
from engine.domain.errors import GauntletError, RefusedError
from engine.domain.identity import content_hash
from engine.domain.panel import Panel
from engine.domain.passport import Number, Passport, PlanKind, PlanTerms
from engine.features.strategy import Strategy
from engine.pipeline.run import Settings
from engine.schedule.windows import Rebalance
from engine.strategy_files import load_strategy
from research.arena import Arena, Contestant, row_id
from research.backtest import whole_history
from research.base_weights import Allocation
from research.configuration import TournamentSettings, from_document, of_source
from research.grounds import Ground, survey, whole_pool

_AGAIN = "play the tournament again"
_ABSENT = object()


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a board says that one of its rows was made of.

    Attributes
    ----------
    parameters_hash
        First 8 digits of the hash of the strategy: name, parameters, way of investing, graph.
    data_hash
        Of the whole data set.
    universes
        Names of all data sets of the tournament.
    configuration
        Every value that the tournament was told (`TournamentSettings.document`).
    source
        Where those values came from (`TournamentSettings.source`).
    """

    strategy_id: str
    strategy: str
    parameters: Mapping[str, Number]
    parameters_hash: str
    universe: str
    data_hash: str
    selection: str
    engine: str
    profile: str
    rebalance: str
    identity_hash: str
    core_version: str
    universes: tuple[str, ...]
    configuration: Mapping[str, Any]
    configuration_hash: str
    source: str
    run_id: str
    board_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One thing that is no longer what it was when the board was made.

    Attributes
    ----------
    what
        Its name, such as `core version`.
    was, now
        Hashes or values.
    mend
        What to do about it.
    """

    what: str
    was: str
    now: str
    mend: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Rebuilt:
    """A row made again.

    Attributes
    ----------
    settings
        The values that the board was played with.
    drift
        What changed since; empty when the passport stands for what passed.
    """

    settings: TournamentSettings
    ground: Ground
    arena: Arena
    strategy: Strategy
    allocation: Allocation
    rebalance: Rebalance
    passport: Passport
    drift: tuple[Drift, ...]


def rebuild(entry: Entry) -> Rebuilt:
    """Make everything again that a row was made of, and name what is no longer the same.

    Raises
    ------
    InputError
        If the strategy, its parameters or the data set are not there any more.
    """
    settings = from_document(entry.configuration, entry.source)
    universe = next(item for item in settings.configuration.universes if item.name == entry.universe)
    strategy = load_strategy(entry.strategy, entry.parameters)
    ground = survey(universe, settings)
    # Selections and weights are in no identity: what they depend on is.
    arena = whole_pool(ground, settings)
    allocation = Allocation(selection=entry.selection, engine=entry.engine, profile=entry.profile)
    rebalance = Rebalance(entry.rebalance)
    identity_hash = arena.identity(Contestant.of(strategy), allocation, rebalance)
    drift = [
        *_core_drift(entry),
        *_data_drift(entry, ground),
        *_configuration_drift(entry),
        *_strategy_drift(entry, strategy),
    ]
    if identity_hash != entry.identity_hash and not drift:
        # Something in the identity that has no check of its own, such as the order of the symbols.
        drift.append(
            Drift(what="identity", was=entry.identity_hash, now=identity_hash, mend=_AGAIN),
        )
    return Rebuilt(
        settings=settings,
        ground=ground,
        arena=arena,
        strategy=strategy,
        allocation=allocation,
        rebalance=rebalance,
        passport=_passport(entry, strategy, ground, arena, settings, identity_hash),
        drift=tuple(drift),
    )


def research_passport(strategy: Strategy, data: str, settings: TournamentSettings) -> Passport:
    """Return the passport of a strategy that nothing promoted, for exploring.

    It holds equal weights of what is listed, as `engine backtest` does, and can never go further.

    Parameters
    ----------
    data
        Name of a data set.
    settings
        Costs, rules, limits and cash; their own data sets are not read.

    Raises
    ------
    InputError
        If the data set is not known.
    """
    panel = catalogue.load(data)
    blank = Passport(
        strategy_id=row_id(strategy.name, strategy.hash, synthetic=panel.synthetic),
        strategy=strategy.name,
        parameters=strategy.parameters,
        invest=strategy.invest,
        graph_hash=strategy.hash,
        plan=PlanTerms(kind=PlanKind.LISTED),
        identity_hash="",
        research_only=True,
        **_told(whole_history(settings, panel), panel),
    )
    return replace(blank, identity_hash=blank.hash)


def _told(settings: Settings, panel: Panel) -> dict[str, Any]:
    """Return the fields of a passport that say what the core is told, and on which data."""
    return {
        "universe": panel.name,
        "symbols": panel.symbols,
        "timeframe": panel.timeframe.value,
        "costs": _numbers(settings.costs._asdict()),
        "rules": _numbers(settings.rules._asdict()),
        "limits": _numbers(settings.limits._asdict()),
        "cash": float(settings.cash),
        "core_version": CORE_VERSION,
        "synthetic": panel.synthetic,
    }


def _numbers(values: Mapping[str, Any]) -> dict[str, Number]:
    """Return plain numbers: a flag of the core is 0 or 1."""
    return {name: int(value) if isinstance(value, int) else float(value) for name, value in values.items()}


def _passport(
    entry: Entry,
    strategy: Strategy,
    ground: Ground,
    arena: Arena,
    settings: TournamentSettings,
    identity_hash: str,
) -> Passport:
    windows = settings.configuration.windows
    return Passport(
        strategy_id=entry.strategy_id,
        strategy=strategy.name,
        parameters=strategy.parameters,
        invest=strategy.invest,
        graph_hash=strategy.hash,
        plan=PlanTerms(
            kind=PlanKind.WALK_FORWARD,
            selection=entry.selection,
            engine=entry.engine,
            profile=entry.profile,
            rebalance=entry.rebalance,
            train=windows.train,
            test=windows.test,
            step=windows.step,
            purge=windows.purge,
            embargo=windows.embargo,
            floor=ground.universe.floor(len(ground.panel.instruments)),
            seed=settings.configuration.seed,
        ),
        identity_hash=identity_hash,
        run_id=entry.run_id,
        board_hash=entry.board_hash,
        **_told(arena.settings, arena.panel),
    )


def _core_drift(entry: Entry) -> list[Drift]:
    if entry.core_version == CORE_VERSION:
        return []
    return [Drift(what="core version", was=entry.core_version, now=CORE_VERSION, mend=_AGAIN)]


def _data_drift(entry: Entry, ground: Ground) -> list[Drift]:
    now = ground.manifest.content_hash
    if now == entry.data_hash:
        return []
    return [Drift(what=f"data hash of {entry.universe}", was=entry.data_hash, now=now, mend=_AGAIN)]


def _strategy_drift(entry: Entry, strategy: Strategy) -> list[Drift]:
    now = strategy.hash[: len(entry.parameters_hash)]
    if now == entry.parameters_hash:
        return []
    if dict(entry.parameters) != strategy.parameters:
        was, now_is = _pairs(entry.parameters), _pairs(strategy.parameters)
        return [Drift(what=f"parameters of {entry.strategy}", was=was, now=now_is, mend=_AGAIN)]
    # The parameters are those of the row, so it is the code that says something else with them.
    return [Drift(what=f"graph of {entry.strategy}", was=entry.parameters_hash, now=now, mend=_AGAIN)]


def _configuration_drift(entry: Entry) -> list[Drift]:
    """Compare the values that were played with those that their source names now, one drift a value."""
    said = content_hash(entry.configuration)
    if said != entry.configuration_hash:
        # The board contradicts itself: it was edited.
        was = entry.configuration_hash
        return [Drift(what="configuration on the board", was=was, now=said, mend=_AGAIN)]
    try:
        present = of_source(entry.source, entry.universes)
    except GauntletError as error:
        # The message may be long, and a screen has one line for it.
        words = str(error).partition("\n")[0]
        mend = "put the file back, or play the tournament again"
        return [Drift(what="configuration", was=entry.source, now=words, mend=mend)]
    was_values, now_values = _leaves(entry.configuration), _leaves(present.document)
    return [
        Drift(
            what=_place(path),
            was=str(was_values.get(path, "not there")),
            now=str(now_values.get(path, "not there")),
            mend=f"put it back in {entry.source}, or play the tournament again"
            if path in was_values.keys() & now_values.keys()
            else _AGAIN,
        )
        for path in sorted(was_values.keys() | now_values.keys())
        if was_values.get(path, _ABSENT) != now_values.get(path, _ABSENT)
    ]


def _leaves(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Return every value of a document under its path; a list is one value."""
    if not isinstance(value, Mapping) or not value:
        return {path: value}
    found: dict[tuple[str, ...], Any] = {}
    for key, item in value.items():
        found |= _leaves(item, (*path, str(key)))
    return found


def _place(path: tuple[str, ...]) -> str:
    section, *rest = path
    return f"{section}: {'.'.join(rest)}" if rest else section


def _pairs(parameters: Mapping[str, Number]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in parameters.items()) or "none"


def require_unchanged(rebuilt: Rebuilt) -> None:
    """Check that a row can be made again as it was.

    Raises
    ------
    RefusedError
        Naming everything that changed.
    """
    if rebuilt.drift:
        changed = "; ".join(f"{drift.what} was {drift.was}, is {drift.now}" for drift in rebuilt.drift)
        raise RefusedError(
            f"{rebuilt.passport.strategy_id} cannot be made again as {rebuilt.passport.run_id} played it: "
            f"{changed}; {rebuilt.drift[0].mend}"
        )
