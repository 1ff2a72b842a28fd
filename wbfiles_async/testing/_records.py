"""The metadata of runs, stored as JSON. Does not know HTTP or GraphQL."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import attrs

from wbfiles_async._models import RunPath

RunState = Literal["pending", "running", "finished", "failed", "crashed"]


@attrs.frozen(kw_only=True)
class RunRecord:
    """A run's metadata, as sent by `wandb.init` and `wandb.finish`.

    Attributes:
        display_name: The name shown to people.
        state: The state.
        config: The configuration, as JSON from the client.
        summary: The summary metrics, as JSON from the client; ``None`` if never sent.
        description: Free text.
        notes: Free text.
        group: Name of the group of runs.
        job_type: The kind of work, such as ``train``.
        commit: The commit of the code.
        tags: Labels.
        created_at: The time of creation, ISO 8601 in UTC.
        heartbeat_at: The time of the client's last message, ISO 8601 in UTC.
    """

    display_name: str
    state: RunState = "finished"
    config: str = "{}"
    summary: str | None = None
    description: str | None = None
    notes: str | None = None
    group: str | None = None
    job_type: str | None = None
    commit: str | None = None
    tags: tuple[str, ...] = attrs.field(default=(), converter=tuple)
    created_at: str
    heartbeat_at: str


class RunRecords:
    """Stores the record of each run in a folder, and caches it in memory. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[RunPath, RunRecord | None] = {}
        self._lock = threading.Lock()

    def get(self, run: RunPath) -> RunRecord | None:
        """Return a run's record; ``None`` if it has none, such as a folder that was created by hand."""
        with self._lock:
            return self._get(run)

    def change(self, run: RunPath, change: Callable[[RunRecord | None], RunRecord]) -> RunRecord:
        """Store and return the result of ``change`` for a run's record. Other changes wait."""
        with self._lock:
            record = change(self._get(run))
            path = self._path(run)
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".part")
            unfinished.write_text(json.dumps(attrs.asdict(record)), encoding="utf-8")
            unfinished.replace(path)
            self._known[run] = record
            return record

    def _get(self, run: RunPath) -> RunRecord | None:
        if run not in self._known:
            try:
                text = self._path(run).read_text(encoding="utf-8")
            except FileNotFoundError:
                self._known[run] = None
            else:
                self._known[run] = RunRecord(**json.loads(text))
        return self._known[run]

    def _path(self, run: RunPath) -> Path:
        return self._folder / run.entity / run.project / f"{run.run_id}.json"


def timestamp(seconds: float) -> str:
    """Format a time, given in seconds since the epoch, as W&B does: ISO 8601 in UTC, without fractions."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
