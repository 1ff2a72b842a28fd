"""The changes of GraphQL mutations. Does not know HTTP or the execution of queries."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any, TypedDict

import attrs

from wbfiles_async._models import RunPath
from wbfiles_async.testing._ids import decode_id, project_number
from wbfiles_async.testing._names import check_file_name, parse_run
from wbfiles_async.testing._nodes import Request, Run, open_run, upload_url
from wbfiles_async.testing._records import RunRecord, RunState, timestamp
from wbfiles_async.testing._tree import StoredFile

_DEFAULT_PROJECT = "uncategorized"


class UpsertBucketInput(TypedDict, total=False):
    """A run to create or change; fields that are missing or null stay unchanged."""

    id: str | None
    name: str | None
    entity_name: str | None
    model_name: str | None
    display_name: str | None
    description: str | None
    notes: str | None
    config: str | None
    summary_metrics: str | None
    group_name: str | None
    job_type: str | None
    commit: str | None
    tags: Sequence[str] | None
    state: RunState | None


class CreateRunFilesInput(TypedDict):
    """Files to upload."""

    entity_name: str
    project_name: str
    run_name: str
    files: Sequence[str]


class MarkRunFilesUploadedInput(TypedDict):
    """Files whose bytes are in the store."""

    entity_name: str
    project_name: str
    run_name: str
    files: Sequence[str]


class _DeletedFiles(TypedDict):
    files: Sequence[str]


class DeleteFilesInput(_DeletedFiles, total=False):
    """Files to delete; if a project's number is given, all must be in that project."""

    project_id: int | None


@attrs.frozen
class UpsertBucketPayload:
    """The run after the change, and whether it is new."""

    bucket: Run
    inserted: bool


@attrs.frozen
class UploadTarget:
    """The upload URL of a file."""

    name: str
    upload_url: str


@attrs.frozen
class CreateRunFilesPayload:
    """The upload URLs of the files."""

    run_id: str
    files: Sequence[UploadTarget]
    upload_headers: Sequence[str] = ()


@attrs.frozen
class MarkRunFilesUploadedPayload:
    """Whether every file is in the store."""

    success: bool


@attrs.frozen
class DeleteFilesPayload:
    """Whether every file existed and was deleted."""

    success: bool


def upsert_bucket(request: Request, given: UpsertBucketInput) -> UpsertBucketPayload:
    """Create a run, or change the record of an existing one.

    Raises:
        ValueError: The id is not that of a run, or a name cannot be that of a folder.
    """
    site = request.site
    if run_id := given.get("id"):
        path = parse_run(decode_id("Run", run_id))
        if not site.tree.has_run(path):
            raise ValueError(f"run {path} not found")
    else:
        path = RunPath(
            given.get("entity_name") or site.entity,
            given.get("model_name") or _DEFAULT_PROJECT,
            given.get("name") or secrets.token_hex(4),
        )
    inserted = not site.tree.has_run(path)
    site.tree.create_run(path)
    site.records.change(path, lambda record: _changed(path, record, given, inserted=inserted))
    return UpsertBucketPayload(open_run(request, path), inserted)


def create_run_files(request: Request, given: CreateRunFilesInput) -> CreateRunFilesPayload:
    """Return a signed upload URL for each file.

    Raises:
        ValueError: The run does not exist, or a name cannot be that of a file.
    """
    path = RunPath(given["entity_name"], given["project_name"], given["run_name"])
    if not request.site.tree.has_run(path):
        raise ValueError(f"run {path} not found")
    targets = [UploadTarget(name, upload_url(request, path, check_file_name(name))) for name in given["files"]]
    return CreateRunFilesPayload(open_run(request, path).id, targets)


def mark_run_files_uploaded(request: Request, given: MarkRunFilesUploadedInput) -> MarkRunFilesUploadedPayload:
    """Make files in the store appear in listings.

    Raises:
        ValueError: The run does not exist.
    """
    path = RunPath(given["entity_name"], given["project_name"], given["run_name"])
    tree = request.site.tree
    if not tree.has_run(path):
        raise ValueError(f"run {path} not found")
    marked = [tree.mark(path, name) for name in given["files"]]
    return MarkRunFilesUploadedPayload(all(marked))


def delete_files(request: Request, given: DeleteFilesInput) -> DeleteFilesPayload:
    """Delete files; existing ones are deleted even if others do not exist.

    Raises:
        ValueError: An id is not that of a file, or a file is in another project. Then nothing is deleted.
    """
    paths = [_split(decode_id("File", file_id)) for file_id in given["files"]]
    number = given.get("project_id")
    if number is not None and any(project_number(run.entity, run.project) != number for run, _ in paths):
        raise ValueError(f"not all files are of project {number}")
    tree = request.site.tree
    found: list[StoredFile | None] = [tree.find(run, name) for run, name in paths]
    deleted = [stored is not None and tree.delete(stored) for stored in found]
    return DeleteFilesPayload(all(deleted))


def _split(path: str) -> tuple[RunPath, str]:
    entity, project, run_id, name = path.split("/", 3)
    return RunPath(entity, project, run_id), name


def _changed(path: RunPath, record: RunRecord | None, given: UpsertBucketInput, *, inserted: bool) -> RunRecord:
    now = timestamp(time.time())
    if record is None:
        state: RunState = "running" if inserted else "finished"
        record = RunRecord(display_name=path.run_id, state=state, created_at=now, heartbeat_at=now)
    changes: dict[str, Any] = {
        "display_name": given.get("display_name"),
        "description": given.get("description"),
        "notes": given.get("notes"),
        "config": given.get("config"),
        "summary": given.get("summary_metrics"),
        "group": given.get("group_name"),
        "job_type": given.get("job_type"),
        "commit": given.get("commit"),
        "tags": given.get("tags"),
        "state": given.get("state"),
    }
    kept = {name: value for name, value in changes.items() if value is not None}
    return attrs.evolve(record, heartbeat_at=now, **kept)
