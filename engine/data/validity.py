"""INVALID_DATA: bars with too low a score are stored, so that they can be looked at, and never used."""

from typing import TYPE_CHECKING

from engine.data.manifest import Quality
from engine.domain.errors import InputError
from engine.domain.panel import Panel

if TYPE_CHECKING:
    from engine.data.audit.report import Audit

_SHOWN = 5


def judged(panel: Panel) -> Quality:
    """Audit the bars of a panel, and return how good they are."""
    # The checks bring pandas and calendars with them, which a reader does without.
    from engine.data.audit.report import audit
    from engine.data.quality import each_of_panel

    return verdict(audit(each_of_panel(panel), panel.timeframe, panel.calendar, name=panel.name, limit=0))


def verdict(audited: "Audit") -> Quality:
    """Return how good audited bars are."""
    scores = {entry.symbol: entry.score.value for entry in audited.instruments}
    return Quality(scores=scores, invalid=audited.invalid)


def require_valid(name: str, quality: Quality) -> None:
    """Refuse a data set that has an instrument which is INVALID_DATA.

    Raises
    ------
    InputError
        Naming its instruments, their scores, and how to see what is wrong.
    """
    if not quality.invalid:
        return
    worst = sorted(quality.invalid, key=lambda symbol: quality.scores[symbol])
    told = ", ".join(f"{symbol} scores {quality.scores[symbol]:.2f}" for symbol in worst[:_SHOWN])
    more = f" and {len(worst) - _SHOWN} more" if len(worst) > _SHOWN else ""
    raise InputError(
        f"data set {name} is INVALID_DATA: {told}{more}; under 0.60 bars are stored and never used. "
        f"See what is wrong: engine data audit {name}; mend them and freeze them anew"
    )
