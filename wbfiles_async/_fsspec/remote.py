"""The contents of the server by path: looked up or listed, and cached for a while."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from wbfiles_async._async.api import AsyncApi
from wbfiles_async._async.file import AsyncFile
from wbfiles_async._async.run import AsyncRun
from wbfiles_async._fsspec.clients import Clients
from wbfiles_async._fsspec.errors import is_a_folder, missing_as, not_found
from wbfiles_async._fsspec.found import prefix_of
from wbfiles_async._fsspec.globs import like_of
from wbfiles_async._fsspec.listings import Listings, Tree
from wbfiles_async._fsspec.places import (
    ENTITY,
    FILE,
    PROJECT,
    ROOT,
    RUN,
    Info,
    Place,
    file_info,
    folder_info,
    place_at,
    run_info,
)
from wbfiles_async._gateway import Gateway
from wbfiles_async._graphql.api import WandbApi
from wbfiles_async._models import FileAttributes, RunPath
from wbfiles_async._options import PER_PAGE

__all__ = ["Remote"]


class Remote:
    """The contents of the server. Paths have no protocol.

    Args:
        clients: The clients, one per event loop.
        listings: The cache of listings.
    """

    def __init__(self, clients: Clients, listings: Listings) -> None:
        self._clients = clients
        self.listings = listings

    @property
    def client(self) -> AsyncApi:
        """The client of the running event loop."""
        return self._clients.current().api

    @property
    def gateway(self) -> Gateway:
        """The operations of that client."""
        return self.client._gateway

    @property
    def api(self) -> WandbApi:
        """W&B's API, requested by that client."""
        return self.gateway.api

    async def info(self, path: str, *, refresh: bool = False) -> Info:
        """Return the details of a path, looked up by its name, without listing its folder."""
        place = place_at(path)
        with missing_as(path):
            match place.depth:
                case d if d >= FILE:
                    return await self._info_in_run(place, path, refresh=refresh)
                case d if d == RUN:
                    listed = await self.api.look_up_run(place.run)
                    self.listings.keep_state(place.run, listed.state)
                    return run_info(path, listed.name, listed.state, listed.created_at)
                case d if d == PROJECT:
                    await self.api.count_runs(place.project_path, "{}")
                case d if d == ENTITY and path not in await self.api.entities():
                    if await self.client.projects(path, per_page=1).first() is None:
                        raise not_found(path)
        return folder_info(path)

    async def _info_in_run(self, place: Place, path: str, *, refresh: bool) -> Info:
        tree = None if refresh else self.listings.tree(place.run, place.name)
        if tree is not None and place.name in tree.folders and place.name not in tree.files:
            return folder_info(path)
        file = await self.find_file(place, refresh=refresh)
        if file is not None:
            return file_info(place.run, file)
        async with aclosing(self.pages(place.run, like_of(f"{place.name}/"))) as pages:
            async for page in pages:
                if any(file.name.startswith(f"{place.name}/") for file in page):
                    return folder_info(path)
        raise not_found(path)

    async def is_folder(self, path: str) -> bool:
        """Return whether a path is a folder; false if it does not exist. A failed request raises its error."""
        try:
            return (await self.info(path))["type"] == "directory"
        except FileNotFoundError:
            return False

    async def ls(self, path: str, *, refresh: bool = False) -> list[Info]:
        """List a folder: an entity's projects, a project's runs, or the contents of a folder of a run."""
        place = place_at(path)
        with missing_as(path):
            return await (self.ls_above if place.depth < RUN else self._ls_in_run)(place, path, refresh=refresh)

    async def ls_above(self, place: Place, path: str, *, refresh: bool) -> list[Info]:
        """List a folder above runs: all entities, an entity's projects, or a project's runs."""
        if not refresh and (known := self.listings.folder(path)) is not None:
            return known
        match place.depth:
            case d if d == ROOT:
                infos = [folder_info(entity) for entity in await self.api.entities()]
            case d if d == ENTITY:
                infos = [
                    folder_info(f"{path}/{project.name}", created=project.created_at, id=project.id)
                    async for project in self.client.projects(path)
                ]
                if not infos and path not in await self.api.entities():
                    raise not_found(path)
            case _:
                infos = []
                async for run in self.client.runs([place.entity, place.project]):
                    self.listings.keep_state(run._path, run.state)
                    infos.append(run_info(f"{path}/{run.id}", run.name, run.state, run.created_at))
        self.listings.keep_folder(path, infos)
        return infos

    async def _ls_in_run(self, place: Place, path: str, *, refresh: bool) -> list[Info]:
        tree = await self.tree(place.run, place.name, refresh=refresh)
        children = tree.folders.get(place.name, {})
        if not children and place.name:
            file = await self.find_file(place, refresh=refresh)
            if file is None:
                raise not_found(path)
            return [file_info(place.run, file)]
        infos = [folder_info(f"{place.run}/{name}") for name in children if name in tree.folders]
        return infos + [file_info(place.run, tree.files[name]) for name in children if name in tree.files]

    async def find_file(self, place: Place, *, refresh: bool = False) -> FileAttributes | None:
        """Return a file by its name, cached or looked up; ``None`` if it does not exist."""
        if place.depth < FILE:
            return None
        if not refresh:
            tree = self.listings.tree(place.run, place.name.rpartition("/")[0])
            if tree is not None and (file := tree.files.get(place.name)) is not None:
                return file
        return await self._clients.current().lookups.find(place.run, place.name)

    async def required(self, path: str, *, refresh: bool = False) -> FileAttributes:
        """Return a file by its path.

        Raises:
            FileNotFoundError: The path does not exist.
            IsADirectoryError: The path is a folder.
        """
        place = place_at(path)
        with missing_as(path):
            file = await self.find_file(place, refresh=refresh)
        if file is not None:
            return file
        if await self.is_folder(path):
            raise is_a_folder(path)
        raise not_found(path)

    def file(self, run: RunPath, attributes: FileAttributes) -> AsyncFile:
        """Return a file with known attributes."""
        client = self.client
        return AsyncFile._of(client, attributes, AsyncRun(client, run))

    def pages(self, run: RunPath, like: str | None) -> AsyncGenerator[tuple[FileAttributes, ...]]:
        """List files of a run whose names match an SQL LIKE pattern; all files if it is ``None``."""
        return self.api.pages(run, pattern=like, per_page=PER_PAGE)

    async def tree(self, run: RunPath, folder: str, *, refresh: bool = False) -> Tree:
        """Return all files of a run below a folder, cached or listed."""
        if not refresh and (known := self.listings.tree(run, folder)) is not None:
            return known
        files: list[FileAttributes] = []
        async with aclosing(self.pages(run, like_of(prefix_of(folder)) if folder else None)) as pages:
            async for page in pages:
                files += [file for file in page if file.name.startswith(prefix_of(folder))]
        tree = Tree(files)
        self.listings.keep_tree(run, folder, tree)
        return tree
