"""The objects behind GraphQL's types of projects, runs and files.

A field is an attribute or a method of the same name in snake case. Does not know HTTP or the execution of queries.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import attrs

from wbfiles_async._models import RunPath
from wbfiles_async.testing._filters import matches, order_by
from wbfiles_async.testing._ids import encode_id, project_number
from wbfiles_async.testing._like import compile_like
from wbfiles_async.testing._pages import Connection, connect, window
from wbfiles_async.testing._people import Entity, User
from wbfiles_async.testing._records import RunRecord, timestamp
from wbfiles_async.testing._site import Site, media_type, quoted_file_path, store_path
from wbfiles_async.testing._tree import StoredFile

_SUMMARY_FILE = "wandb-summary.json"
_DEFAULT_ORDER = "+created_at"
_COMPARABLE = frozenset(field.name for field in attrs.fields(RunRecord)) | {"name"}


@attrs.frozen
class Request:
    """The context of one request.

    Attributes:
        site: The parts that all requests share.
        api_url: Origin of the API with the host name of this request, which returned URLs have too.
        store_url: Origin of the store, on the same host.
    """

    site: Site
    api_url: str
    store_url: str


@attrs.frozen
class File:
    """A file of a run."""

    request: Request
    stored: StoredFile

    @property
    def id(self) -> str:
        return encode_id("File", f"{self.stored.run}/{self.stored.name}")

    @property
    def name(self) -> str:
        return self.stored.name

    def url(self, upload: bool | None = None) -> str:
        if upload:
            return upload_url(self.request, self.stored.run, self.stored.name)
        return self.request.api_url + quoted_file_path(self.stored.run, self.stored.name)

    @property
    def direct_url(self) -> str:
        path = store_path(self.stored.run, self.stored.name)
        return self.request.store_url + self.request.site.signatures.sign("GET", path)

    @property
    def size_bytes(self) -> int:
        return self.stored.size

    @property
    def mimetype(self) -> str | None:
        return media_type(self.stored.name)

    @property
    def updated_at(self) -> str:
        return timestamp(self.stored.mtime)

    @property
    def md5(self) -> str | None:
        return self.request.site.digests.md5(self.stored.path)


@attrs.frozen(kw_only=True)
class Run(RunRecord):
    """A run: its record and its files."""

    request: Request
    path: RunPath
    sweep_name: None = None
    system_metrics: None = None
    history_keys: None = None
    history_line_count: None = None
    read_only: bool = False

    @property
    def id(self) -> str:
        return encode_id("Run", str(self.path))

    @property
    def name(self) -> str:
        return self.path.run_id

    @property
    def user(self) -> User:
        return User(self.request.site.entity)

    @property
    def project(self) -> Project:
        return Project(self.request, self.path.entity, self.path.project)

    @property
    def project_id(self) -> int:
        return project_number(self.path.entity, self.path.project)

    def summary_metrics(self) -> str:
        if self.summary is not None:
            return self.summary
        stored = self.request.site.tree.find(self.path, _SUMMARY_FILE)
        return stored.path.read_text(encoding="utf-8") if stored else "{}"

    def file_count(self) -> int:
        return len(self.request.site.tree.names(self.path))

    def files(
        self,
        names: Sequence[str | None] | None = None,
        pattern: str | None = None,
        after: str | None = None,
        first: int | None = None,
    ) -> Connection[File]:
        if names and pattern:
            raise ValueError("files takes names or a pattern, not both")
        tree = self.request.site.tree
        keys: Sequence[str]
        if names:
            keys = sorted({name for name in names if name and tree.find(self.path, name)})
        else:
            keys = tree.names(self.path)
            if pattern:
                keys = list(filter(compile_like(pattern).fullmatch, keys))
        page = window(keys, after=after, first=first, is_sorted=True)
        found = ((name, tree.find(self.path, name)) for name in page.keys)
        nodes = ((name, File(self.request, stored)) for name, stored in found if stored)
        return connect(nodes, has_more=page.has_more)

    def value(self, key: str) -> object:
        """Return the value of a key in filters and orders; ``None`` if there is none."""
        match key:
            case "username":
                return self.user.username
            case "config":
                return json.loads(self.config)
            case "summary_metrics":
                return json.loads(self.summary_metrics())
            case _:
                return getattr(self, key) if key in _COMPARABLE else None


@attrs.frozen
class Project:
    """A project: a folder of runs."""

    request: Request
    entity_name: str
    name: str
    read_only: bool = False
    is_benchmark: bool = False
    _selected: dict[str, list[Run]] = attrs.field(factory=dict, eq=False, repr=False)

    @property
    def id(self) -> str:
        return encode_id("Project", f"{self.entity_name}/{self.name}")

    @property
    def created_at(self) -> str:
        return timestamp(self.request.site.tree.changed_at(self.entity_name, self.name))

    @property
    def internal_id(self) -> str:
        return str(project_number(self.entity_name, self.name))

    @property
    def entity(self) -> Entity:
        return Entity(self.entity_name)

    @property
    def user(self) -> User:
        return User(self.request.site.entity)

    def run(self, name: str) -> Run | None:
        path = RunPath(self.entity_name, self.name, name)
        return open_run(self.request, path) if self.request.site.tree.has_run(path) else None

    def run_count(self, filters: str | None = None) -> int:
        return len(self._select(filters))

    def runs(
        self,
        filters: str | None = None,
        order: str | None = None,
        after: str | None = None,
        first: int | None = None,
    ) -> Connection[Run]:
        selected = {run.name: run for run in order_by(order or _DEFAULT_ORDER, self._select(filters))}
        page = window(list(selected), after=after, first=first, is_sorted=False)
        return connect([(name, selected[name]) for name in page.keys], has_more=page.has_more)

    def _select(self, filters: str | None) -> list[Run]:
        """Return the runs that match the filters, cached, since a query also requests their number."""
        key = filters or "{}"
        if key not in self._selected:
            condition: object = json.loads(key)
            paths = self.request.site.tree.runs(self.entity_name, self.name)
            runs = (open_run(self.request, path) for path in paths)
            self._selected[key] = [run for run in runs if matches(condition, run)]
        return self._selected[key]


def open_project(request: Request, entity: str, name: str) -> Project | None:
    """Return a project; ``None`` if it has no folder."""
    if not request.site.tree.has_project(entity, name):
        return None
    return Project(request, entity, name)


def list_projects(request: Request, entity: str, after: str | None, first: int | None) -> Connection[Project]:
    """Return a page of the projects of an entity; an entity without a folder has none."""
    names = request.site.tree.projects(entity)
    page = window(names, after=after, first=first, is_sorted=True)
    return connect([(name, Project(request, entity, name)) for name in page.keys], has_more=page.has_more)


def open_run(request: Request, path: RunPath) -> Run:
    """Return a run whose folder exists."""
    record = request.site.records.get(path)
    if record is None:
        changed = timestamp(request.site.tree.changed_at(path.entity, path.project, path.run_id))
        record = RunRecord(display_name=path.run_id, created_at=changed, heartbeat_at=changed)
    return Run(request=request, path=path, **attrs.asdict(record, recurse=False))


def upload_url(request: Request, run: RunPath, name: str) -> str:
    """Return the signed upload URL of a file of a run."""
    return request.store_url + request.site.signatures.sign("PUT", store_path(run, name))
