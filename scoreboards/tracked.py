"""What the tracking store on this machine knows of runs, read without MLflow.

MLflow takes seconds to load. Where its store is the SQLite file of this home, three columns of it answer
whether a run is tracked, and where its files were copied to.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

from engine.domain.errors import InputError
from engine.home import state_folder

RUN_ID = "gauntlet.run_id"
KIND = "gauntlet.kind"
CONTENT_HASH = "gauntlet.content_hash"
RECORD_HASH = "gauntlet.record_hash"
ARTEFACT = "sha256/"
PARENT = "mlflow.parentRunId"
FINISHED = "FINISHED"


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """A run as MLflow has it; children are not among them.

    Attributes
    ----------
    tracking_id
        Of MLflow.
    status
        `FINISHED` where everything was written.
    artefacts
        Folder of its files; None where they lie on a server.
    """

    tracking_id: str
    status: str
    artefacts: Path | None
    tags: Mapping[str, str]

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each artefact by name, as they were logged."""
        return {
            tag.removeprefix(ARTEFACT): value for tag, value in self.tags.items() if tag.startswith(ARTEFACT)
        }


def database() -> Path:
    """Return the file of the store that is used when no other is named."""
    return state_folder() / "mlflow.db"


def local_uri() -> str:
    """Return the address of that store."""
    return f"sqlite:///{database()}"


def artefacts_folder() -> Path:
    """Return where that store keeps files."""
    return state_folder() / "mlflow-artifacts"


def ui_command(uri: str = "") -> str:
    """Return what opens a store in a browser, with nothing sent anywhere; by default that of this home."""
    if uri.startswith(("http://", "https://")):
        return uri
    return f"MLFLOW_DISABLE_TELEMETRY=true mlflow ui --backend-store-uri {uri or local_uri()}"


def local_runs() -> list[TrackedRun]:
    """Return all runs in the store of this home, newest first; none where there is no store.

    Raises
    ------
    InputError
        If the file is not a store of MLflow.
    """
    path = database()
    if not path.is_file():
        return []
    wanted = (RUN_ID, KIND, CONTENT_HASH, RECORD_HASH, PARENT)
    query = (
        "select r.run_uuid, r.status, r.artifact_uri, t.key, t.value from runs r join tags t "
        "on t.run_uuid = r.run_uuid where r.lifecycle_stage = 'active' and "
        f"(t.key in ({', '.join('?' * len(wanted))}) or t.key like '{ARTEFACT}%') "
        "order by r.start_time desc, r.run_uuid"
    )
    found: dict[str, tuple[str, str, dict[str, str]]] = {}
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            for run, status, place, key, value in connection.execute(query, wanted):
                found.setdefault(run, (status, place, {}))[2][key] = value
    except sqlite3.Error as error:
        raise InputError(f"{path}: cannot be read as a store of MLflow ({error})") from error
    return [
        TrackedRun(tracking_id=run, status=status, artefacts=_folder(place), tags=tags)
        for run, (status, place, tags) in found.items()
        if RUN_ID in tags and PARENT not in tags
    ]


def local_run(run_id: str, content_hash: str) -> TrackedRun | None:
    """Return the run of an id and content in the store of this home.

    Raises
    ------
    InputError
        If the file is not a store of MLflow.
    """
    wanted = {RUN_ID: run_id, CONTENT_HASH: content_hash}
    return next((run for run in local_runs() if wanted.items() <= run.tags.items()), None)


def _folder(address: str) -> Path | None:
    parts = urlparse(address)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None
