"""Runs in a tracking store of MLflow, beside the files of a run and never instead of them.

An equal run is found by its id and content hash and not made twice. Nothing here is timed or hashed by
anybody else, and a store that fails takes nothing away.
"""

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from engine.domain.errors import GauntletError
from scoreboards import tracked
from scoreboards.run_files import Kind, files_of, sha256_of
from scoreboards.tracking_record import Record, cells_table

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

CELLS_PARQUET = "cells.parquet"
EXPERIMENTS = {Kind.TOURNAMENT: "gauntlet tournaments", Kind.TUNING: "gauntlet tunings"}

# Of MLflow.
_METRICS_AT_ONCE = 1000
_OTHERS_AT_ONCE = 100
_TEXT_MAX = 5000
_PAGE = 1000

# Nothing is sent anywhere but to the store that was named, and nothing is said that nobody asked for.
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "1",
    # Standard output is for our own documents.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
# A server that is not there must not keep a person waiting for minutes; who sets these wants it so.
_PATIENCE = {
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}

_Item = TypeVar("_Item")


class TrackingError(GauntletError):
    """A tracking store did not take a run, or does not have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """Where a run is tracked now.

    Attributes
    ----------
    tracking_id
        Of MLflow.
    is_new
        False where an equal run was tracked before.
    n_children
        Rows that have a run of their own.
    """

    tracking_id: str
    uri: str
    is_new: bool
    n_children: int


def track(record: Record, uri: str | None = None) -> Tracked:
    """Write a run into a tracking store, or bring the one that is there up to date.

    Parameters
    ----------
    uri
        Of any tracking store that MLflow knows; the SQLite file of this home where there is none.

    Raises
    ------
    TrackingError
        If the store does not take it, whatever the reason; the run's own files are untouched.
    """
    where = uri or tracked.local_uri()
    try:
        if where == tracked.local_uri():
            # Asked without MLflow: who plays a tournament again must not wait for it to load.
            known = tracked.local_run(record.run_id, record.content_hash)
            if known is not None and _is_whole(known, record.record_hash):
                return Tracked(
                    tracking_id=known.tracking_id, uri=where, is_new=False, n_children=len(record.children)
                )
        return _write(record, where)
    except Exception as error:
        # A store can fail in any way, and none of them may take the board away.
        raise TrackingError(f"{where} did not take {record.run_id}: {_words(error)}") from error


def remove(run_id: str, hashed: str, uri: str | None = None) -> list[str]:
    """Delete a run and its children from a tracking store; return their ids there.

    MLflow marks them as deleted; `mlflow gc` then frees the space.

    Raises
    ------
    TrackingError
        If the store does not do it.
    """
    where = uri or tracked.local_uri()
    if where == tracked.local_uri() and tracked.local_run(run_id, hashed) is None:
        return []
    try:
        client = _client(where)
        found = []
        for experiment in EXPERIMENTS.values():
            known = client.get_experiment_by_name(experiment)
            if known is None:
                continue
            for parent in _search(client, known.experiment_id, _key_filter(run_id, hashed)):
                children = _search(client, known.experiment_id, _children_filter(parent))
                found += [run.info.run_id for run in (*children, parent)]
        for run in found:
            client.delete_run(run)
    except Exception as error:
        raise TrackingError(f"{where} did not delete {run_id}: {_words(error)}") from error
    return found


def fetch(run_id: str, hashed: str, uri: str) -> tuple[str, dict[str, str], dict[str, str]] | None:
    """Return a run's id in a tracking store, the hashes logged there, and those of the files kept there.

    None where the store has no such run.

    Raises
    ------
    TrackingError
        If the store does not answer.
    """
    try:
        client = _client(uri)
        for experiment in EXPERIMENTS.values():
            known = client.get_experiment_by_name(experiment)
            if known is None:
                continue
            for run in _search(client, known.experiment_id, _key_filter(run_id, hashed)):
                logged = {
                    tag.removeprefix(tracked.ARTEFACT): value
                    for tag, value in run.data.tags.items()
                    if tag.startswith(tracked.ARTEFACT)
                }
                with tempfile.TemporaryDirectory() as folder:
                    client.download_artifacts(run.info.run_id, "", folder)
                    kept = {name: sha256_of(path) for name, path in files_of(Path(folder)).items()}
                return run.info.run_id, logged, kept
    except Exception as error:
        raise TrackingError(f"{uri} did not answer about {run_id}: {_words(error)}") from error
    return None


def _words(error: BaseException) -> str:
    """Return an error in one line: that of the system where there is one, which says what libraries wrap."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        inner = inner.__cause__ or inner.__context__
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _is_whole(known: tracked.TrackedRun, record_hash: str) -> bool:
    return known.status == tracked.FINISHED and known.tags.get(tracked.RECORD_HASH) == record_hash


def _client(uri: str) -> "MlflowClient":
    os.environ.update(_QUIET)
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient

    for noisy in ("alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    if uri == tracked.local_uri():
        tracked.database().parent.mkdir(parents=True, exist_ok=True)
    return MlflowClient(tracking_uri=uri)


def _write(record: Record, uri: str) -> Tracked:
    client = _client(uri)
    experiment = _experiment(client, EXPERIMENTS[record.kind], is_local=uri == tracked.local_uri())
    found = _search(client, experiment, _key_filter(record.run_id, record.content_hash))
    keys = {
        tracked.RUN_ID: record.run_id,
        tracked.KIND: record.kind.value,
        tracked.CONTENT_HASH: record.content_hash,
    }
    if found and (found[0].info.status, found[0].data.tags.get(tracked.RECORD_HASH)) == (
        tracked.FINISHED,
        record.record_hash,
    ):
        return Tracked(
            tracking_id=found[0].info.run_id, uri=uri, is_new=False, n_children=len(record.children)
        )
    parent = found[0] if found else _begin(client, experiment, record.run_id, record.time_ms, keys)
    client.update_run(parent.info.run_id, status="RUNNING")
    _write_children(client, experiment, parent, record)
    _write_files(client, parent.info.run_id, record)
    tags = {**record.tags, **{f"{tracked.ARTEFACT}{name}": digest for name, digest in record.hashes.items()}}
    tags |= {"mlflow.note.content": record.note, "mlflow.source.name": f"engine {record.kind}"}
    _log(client, parent, record.parameters, record.metrics, tags)
    # Last: what has it is whole.
    client.set_tag(parent.info.run_id, tracked.RECORD_HASH, record.record_hash)
    client.set_terminated(parent.info.run_id, status=tracked.FINISHED, end_time=parent.info.start_time)
    return Tracked(tracking_id=parent.info.run_id, uri=uri, is_new=not found, n_children=len(record.children))


def _write_children(client: "MlflowClient", experiment: str, parent: "Run", record: Record) -> None:
    known = {
        run.data.tags.get(tracked.RUN_ID): run
        for run in _search(client, experiment, _children_filter(parent))
    }
    for child in record.children:
        key = f"{record.run_id}/{child.key}"
        tags = {
            tracked.RUN_ID: key,
            tracked.CONTENT_HASH: record.content_hash,
            tracked.PARENT: parent.info.run_id,
        }
        run = known.get(key) or _begin(client, experiment, child.name, parent.info.start_time, tags)
        _log(client, run, child.parameters, child.metrics, child.tags)
        client.set_terminated(run.info.run_id, status=tracked.FINISHED, end_time=parent.info.start_time)


def _write_files(client: "MlflowClient", run: str, record: Record) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        for name, path in record.artefacts.items():
            kept = Path(temporary) / Path(name).name
            # A name of its own in the store, without a copy in between.
            kept.symlink_to(path.resolve())
            folder = str(Path(name).parent) if Path(name).parent != Path() else None
            client.log_artifact(run, str(kept), folder)
            kept.unlink()
        if record.board is not None:
            import pyarrow.parquet

            table = Path(temporary) / CELLS_PARQUET
            pyarrow.parquet.write_table(cells_table(record.board), table)
            client.log_artifact(run, str(table))
            client.set_tag(run, f"{tracked.ARTEFACT}{CELLS_PARQUET}", sha256_of(table))


def _experiment(client: "MlflowClient", name: str, *, is_local: bool) -> str:
    known = client.get_experiment_by_name(name)
    if known is not None:
        return str(known.experiment_id)
    place = tracked.artefacts_folder().resolve().as_uri() if is_local else None
    return str(client.create_experiment(name, artifact_location=place))


def _begin(
    client: "MlflowClient", experiment: str, name: str, time_ms: int, tags: Mapping[str, str]
) -> "Run":
    return client.create_run(experiment, start_time=time_ms, tags=dict(tags), run_name=name)


def _log(
    client: "MlflowClient",
    run: "Run",
    parameters: Mapping[str, str],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
) -> None:
    from mlflow.entities import Metric, Param, RunTag

    run_id, time_ms = run.info.run_id, run.info.start_time
    # One time for all, so that a run which is written again has no second point in its history.
    points = [Metric(name, value, time_ms, 0) for name, value in metrics.items()]
    for points_now in _batches(points, _METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=points_now)
    told = [Param(name, value[:_TEXT_MAX]) for name, value in parameters.items()]
    for told_now in _batches(told, _OTHERS_AT_ONCE):
        client.log_batch(run_id, params=told_now)
    marks = [RunTag(name, value[:_TEXT_MAX]) for name, value in tags.items()]
    for marks_now in _batches(marks, _OTHERS_AT_ONCE):
        client.log_batch(run_id, tags=marks_now)


def _batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _search(client: "MlflowClient", experiment: str, wanted: str) -> "list[Run]":
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs([experiment], filter_string=wanted, max_results=_PAGE, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def _key_filter(run_id: str, hashed: str) -> str:
    return f"tags.`{tracked.RUN_ID}` = '{run_id}' and tags.`{tracked.CONTENT_HASH}` = '{hashed}'"


def _children_filter(parent: "Run") -> str:
    return f"tags.`{tracked.PARENT}` = '{parent.info.run_id}'"
