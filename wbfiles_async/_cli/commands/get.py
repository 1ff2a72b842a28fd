"""The arguments, options and help of ``wbfiles get``: download files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TextIO

import click
from attrs import evolve

from wbfiles_async import AsyncRun, AsyncRuns
from wbfiles_async._cli.chosen import SeveralRuns
from wbfiles_async._cli.ending import ExitCode, complain, run
from wbfiles_async._cli.fetching import Fetch, get
from wbfiles_async._cli.mirroring import Leftovers, check_mirror, find_leftovers, remove_leftovers
from wbfiles_async._cli.options import (
    Common,
    chosen_by,
    connecting,
    fetching,
    filters_option,
    json_option,
    read_by,
    reading,
    selecting,
)
from wbfiles_async._cli.sections import WHERE, WHICH, SectionedCommand, option
from wbfiles_async._cli.target import Filters, check_project, explained, find_several, find_target
from wbfiles_async._download.layout import Layout
from wbfiles_async._download.selection import Selection
from wbfiles_async._graphql.shares import Share, parse_share
from wbfiles_async._models import EXISTING, Existing
from wbfiles_async._options import LAYOUT


class _Root(click.Path):
    """A folder, or the URL of a place in an object store, which is left as it is."""

    def __init__(self) -> None:
        super().__init__(file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and "://" in value:
            return value
        return super().convert(value, param, ctx)


@click.command("get", cls=SectionedCommand)
@selecting("RUN|PROJECT")
@option(
    WHICH, "--run", "others", metavar="RUN", multiple=True,
    help="Another run, whose files are selected in the same way; repeatable. Each run gets its own folder.",
)  # fmt: skip
@filters_option
@option(
    WHERE, "-o", "--root", metavar="FOLDER", type=_Root(), default=Path(),
    help="Local folder to write below, or s3://bucket/prefix, gs://..., az://...  [default: the current folder]",
)  # fmt: skip
@option(
    WHICH, "--shard", metavar="I/N", callback=read_by(parse_share),
    help="Only share I of N of PROJECT's runs, counted from 0, for N machines with a common root. A run is always in "
    "the same share; the files of very large runs are divided among all shares.",
)  # fmt: skip
@option(
    WHERE, "--existing", type=click.Choice(EXISTING), default="verify", show_default=True,
    help="What to do with an existing file: keep it if size and md5 are right; keep it as it is; replace it; or fail.",
)  # fmt: skip
@option(
    WHERE, "--layout", metavar="FOLDERS",
    help="Folders below the root for the files of each of several runs, from {entity}, {project} and {run}; "
    f"'' for none.  [default: {LAYOUT}]",
)  # fmt: skip
@option(WHERE, "-n", "--dry-run", is_flag=True, help="Only show what would be downloaded, and what removed.")
@option(
    WHERE, "--delete", "mirror", is_flag=True,
    help="Afterwards remove local files that PROJECT no longer has, after asking; see above.",
)  # fmt: skip
@option(WHERE, "-y", "--yes", is_flag=True, help="Do not ask before --delete removes files.")
@option(
    WHICH, "--files-from", metavar="FILE", type=click.File(encoding="utf-8"),
    help="Read further NAMEs from this file, one per line; - for stdin.",
)  # fmt: skip
@option(
    WHERE, "--manifest", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
    help="Write the result of each file to FILE: JSON lines, or parquet if it ends with .parquet (needs pyarrow).",
)  # fmt: skip
@fetching
@json_option
@connecting
@reading
@click.pass_obj
def get_command(
    common: Common,
    path: str,
    names: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    pattern: str | None,
    others: tuple[str, ...],
    filters: Filters,
    root: Path | str,
    layout: str | None,
    shard: Share | None,
    existing: Existing,
    dry_run: bool,
    mirror: bool,
    yes: bool,
    files_from: TextIO | None,
    manifest: Path | None,
    as_json: bool,
) -> int:
    """Download the files of RUN, or of all runs of PROJECT: all files, or those with these exact NAMEs.

    A file appears at its path only when it is complete and verified. If one file fails, the others are still
    downloaded; run the same command again to download what is missing.

    A terminal shows the progress. Otherwise stdout gets one line per file, with tabs between name, size in bytes and
    status (downloaded, kept, planned). With --json it gets one object per file, with the keys run, name, status, path,
    size, verified, parts, resumed and error, and at the end one with the key summary.

    If some NAMEs do not exist, the others are downloaded and the exit code is 1; if none exists, it is 4. With several
    runs, a NAME exists if one of them has it.

    --delete removes files only after every download has succeeded, and only in folders that it knows to hold one run:
    it marks them with .wbfiles-run while they hold nothing else. Symbolic links are neither followed nor removed. Files
    that --include and --exclude leave out stay. stdout gets one line per file, with the status removed (removable in a
    dry run).

    A --manifest is written at the end, with the keys run, name, path, size, md5, status, verified and error for each
    file; `wbfiles report` summarizes manifests.
    """
    if files_from is not None:
        names += _names_in(files_from)
    if address := next((name for name in names if "://" in name), None):
        raise click.UsageError(f"{address} is the URL of a page, not a NAME; name further runs with --run.")
    requested, output = chosen_by(common, names, include, exclude, pattern), common.output(as_json=as_json)

    layout_text = LAYOUT if layout is None else layout
    if mirror:
        check_mirror(layout_text, root, is_shard=shard is not None, asks=not (yes or dry_run))
    leftovers: list[Leftovers] = []

    async def work() -> int:
        target: AsyncRun | AsyncRuns | SeveralRuns
        async with common.open_api() as api:
            with explained(path):
                if others:
                    if filters is not None:
                        raise click.UsageError(
                            "--filters selects runs of a project and --run names them; use one of the two."
                        )
                    if common.per_page is not None:
                        raise click.UsageError("--per-page is for one run or a project; leave out --run.")
                    target, chosen = find_several(api, (path, *others)), requested
                else:
                    target, chosen = await find_target(api, path, requested, filters)
                if shard is not None:
                    if not isinstance(target, AsyncRuns):
                        raise click.UsageError(f"--shard is for projects, and {path} is not a project.")
                    target = evolve(target, share=shard)
                if isinstance(target, AsyncRun) and layout is not None:
                    raise click.UsageError(f"{path} is a run, and --layout is for projects; use --root.")
                check_project(target, chosen, path)
                fetch = Fetch(
                    target=target,
                    chosen=chosen,
                    root=root,
                    existing=existing,
                    dry_run=dry_run,
                    layout=layout_text,
                    manifest=manifest,
                )
                if mirror and not isinstance(target, AsyncRuns):
                    raise click.UsageError(f"--delete is for projects, and {path} is not a project.")
                code = await get(fetch, output)
                if mirror and isinstance(target, AsyncRuns) and isinstance(root, Path):
                    if code != ExitCode.DONE:
                        complain("nothing was removed, since the download is not complete.")
                        return code
                    selection, folders = Selection(chosen.include, exclude), Layout(layout_text)
                    leftovers.append(await find_leftovers(target, selection, root, folders, dry_run=dry_run))
                return code

    code = run(work, output.log_level)
    return remove_leftovers(leftovers[0], output, dry_run=dry_run, yes=yes) if leftovers else code


def _names_in(lines: TextIO) -> tuple[str, ...]:
    """Read names, one a line.

    Raises:
        click.UsageError: There is none, or it is no text.
    """
    try:
        names = tuple(name for line in lines if (name := line.rstrip("\r\n")))
    except UnicodeDecodeError:
        raise click.UsageError(f"{lines.name} is not UTF-8 text with one NAME per line.") from None
    if not names:
        raise click.UsageError(f"{lines.name} names no file, so nothing is downloaded.")
    return names
