"""What the server knows of a run beside its files, kept as JSON. Knows nothing of HTTP and GraphQL."""

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
    """A run's metadata, as `wandb.init` and `wandb.finish` hand it over.

    Attributes:
        display_name: The name shown to people.
        state: Where the run stands.
        config: The configuration, JSON as the client sent it.
        summary: The summary metrics, JSON as the client sent it; ``None`` if it was never sent.
        description: Free text.
        notes: Free text.
        group: Name of the group of runs.
        job_type: What the run does.
        commit: The commit of the code.
        tags: Labels.
        created_at: When the run was made, ISO 8601 in UTC.
        heartbeat_at: When the client was heard of last, ISO 8601 in UTC.
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
    """Keeps a record for each run in a folder of its own, in memory once read; safe for threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[RunPath, RunRecord | None] = {}
        self._lock = threading.Lock()

    def get(self, run: RunPath) -> RunRecord | None:
        """Return a run's record; ``None`` if it has none, as a folder that was made by hand."""
        with self._lock:
            return self._get(run)

    def change(self, run: RunPath, change: Callable[[RunRecord | None], RunRecord]) -> RunRecord:
        """Keep what ``change`` makes of a run's record, and return it; no other change comes between."""
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
    """Write a time, given in seconds since the epoch, as W&B does: ISO 8601 in UTC, without fractions."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
