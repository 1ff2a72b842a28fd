"""``wbfiles report``: what is downloaded according to manifests, and what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from wbfiles_async._bucket.roots import BucketRoot, read_root
from wbfiles_async._cli.ending import ExitCode
from wbfiles_async._cli.output import Output, check_stdout, write_json, write_row
from wbfiles_async._download.manifest import SUFFIXES, ManifestRow, decode_manifest, is_manifest, latest, read_manifest
from wbfiles_async._text import counted, size_of
from wbfiles_async.errors import ConfigurationError

if TYPE_CHECKING:
    from wbfiles_async._scale.place import Place

Manifest = Callable[[], Iterable[ManifestRow]]
"""A function that reads a manifest."""

LEFT_SHOWN = 20
"""Maximum files listed as left; ``--json`` writes all."""


def report(places: Sequence[Path | BucketRoot], output: Output) -> int:
    """Sum up manifests, and report what is left.

    Returns:
        The exit code: 1 if something is left, 4 if there is no manifest.

    Raises:
        click.ClickException: stdout is closed.
        ConfigurationError: A file is no manifest.
        ObjectStoreError: An object store cannot be read.
    """
    check_stdout()
    manifests = [*_local(places), *_in_buckets(places)]
    if not manifests:
        where = " and ".join(place.url if isinstance(place, BucketRoot) else str(place) for place in places)
        raise _NoManifestError(f"there is no manifest in {where}; `wbfiles get --manifest FILE` writes one.")
    rows = latest(row for manifest in manifests for row in manifest())
    left = [row for row in rows.values() if row.is_left]
    statuses = Counter(row.status for row in rows.values())
    in_place = [row for row in rows.values() if not row.is_left]
    if output.json:
        for row in left:
            write_json(attrs.asdict(row))
        summary = {"manifests": len(manifests), "files": len(rows), "bytes": sum(row.size for row in in_place)}
        verified = sum(row.verified for row in in_place)
        write_json({"summary": summary | {"verified": verified, "left": len(left), "status": dict(statuses)}})
        return ExitCode.FAILED if left else ExitCode.DONE
    for row in left[:LEFT_SHOWN]:
        write_row(row.run, row.name, row.size, row.status, row.error)
    if len(left) > LEFT_SHOWN:
        output.say(f"and {len(left) - LEFT_SHOWN:,} more; --json lists all.")
    output.say(_summarize(len(manifests), in_place, left))
    if left:
        output.say("Run the command that wrote the manifest again to download what is missing.")
    return ExitCode.FAILED if left else ExitCode.DONE


class _NoManifestError(click.ClickException):
    exit_code = ExitCode.NOT_FOUND


class PlaceType(click.Path):
    """A file or folder of this machine that exists, or a place in an object store."""

    def __init__(self) -> None:
        super().__init__(exists=True, path_type=Path)

    def convert(  # type: ignore[override]  # Click's own type has only paths
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path | BucketRoot:
        """Read an argument."""
        try:
            place = read_root(value)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)
        if isinstance(place, Path):
            super().convert(place, param, ctx)
        return place


def _local(places: Sequence[Path | BucketRoot]) -> list[Manifest]:
    """Return the manifests of this machine, the oldest first."""
    found: set[Path] = set()
    for place in places:
        if isinstance(place, Path) and place.is_dir():
            found |= {file for file in place.iterdir() if file.is_file() and is_manifest(file)}
        elif isinstance(place, Path):
            found.add(place)
    return [
        partial(read_manifest, path) for path in sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))
    ]


def _in_buckets(places: Sequence[Path | BucketRoot]) -> Iterator[Manifest]:
    """Yield the manifests in object stores, sorted by name: of a plan's chunks, finished ones are last."""
    for place in places:
        if not isinstance(place, BucketRoot):
            continue
        from wbfiles_async._scale.place import open_place

        folder, _, last = place.url.rpartition("/")
        single = last.endswith(SUFFIXES)
        bucket = open_place(folder if single else place.url)
        for name in [last] if single else sorted(filter(lambda name: name.endswith(SUFFIXES), bucket.names())):
            yield partial(_read, bucket, name)


def _read(bucket: Place, name: str) -> list[ManifestRow]:
    content = bucket.read(name)
    if content is None:
        raise _NoManifestError(f"{bucket.url}/{name} does not exist.")
    return decode_manifest(content, name)


def _summarize(manifests: int, in_place: Sequence[ManifestRow], left: Sequence[ManifestRow]) -> str:
    runs = len({row.run for row in [*in_place, *left]})
    words = [
        f"{counted(manifests, 'manifest')}: {counted(len(in_place), 'file')} of {counted(runs, 'run')}, "
        f"{size_of(sum(row.size for row in in_place))}, in place",
        f"{sum(row.verified for row in in_place):,} verified",
        f"{len(left):,} left" if left else "nothing left",
    ]
    return ", ".join(words) + "."
