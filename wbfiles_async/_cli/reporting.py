"""``wbfiles report``: what manifests say is in place, and what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import click

from wbfiles_async._cli.ending import ExitCode
from wbfiles_async._cli.output import Output, check_stdout, write_json, write_row
from wbfiles_async._download.manifest import ManifestRow, is_manifest, latest
from wbfiles_async._text import counted, size_of

LEFT_SHOWN = 20
"""Files that are left and shown by name; ``--json`` writes all."""


def report(paths: Sequence[Path], output: Output) -> int:
    """Sum up manifests, and say what is left.

    Returns:
        The exit code: 1 if something is left, 4 if there is no manifest.

    Raises:
        click.ClickException: stdout is closed.
        ConfigurationError: A file is no manifest.
    """
    check_stdout()
    manifests = sorted(set(_manifests(paths)), key=lambda path: (path.stat().st_mtime_ns, path.name))
    if not manifests:
        where = " and ".join(map(str, paths))
        raise _NoManifestError(f"no manifest lies in {where}; `wbfiles get --manifest FILE` writes one.")
    rows = latest(manifests)
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
        output.say(f"and {len(left) - LEFT_SHOWN:,} more; --json tells of all.")
    output.say(_summarize(len(manifests), in_place, left))
    if left:
        output.say("Run the command that wrote the manifest again to fetch what is left.")
    return ExitCode.FAILED if left else ExitCode.DONE


class _NoManifestError(click.ClickException):
    exit_code = ExitCode.NOT_FOUND


def _manifests(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from (file for file in path.iterdir() if file.is_file() and is_manifest(file))
        else:
            yield path


def _summarize(manifests: int, in_place: Sequence[ManifestRow], left: Sequence[ManifestRow]) -> str:
    runs = len({row.run for row in [*in_place, *left]})
    words = [
        f"{counted(manifests, 'manifest')}: {counted(len(in_place), 'file')} of {counted(runs, 'run')}, "
        f"{size_of(sum(row.size for row in in_place))}, in place",
        f"{sum(row.verified for row in in_place):,} verified",
        f"{len(left):,} left" if left else "nothing left",
    ]
    return ", ".join(words) + "."
