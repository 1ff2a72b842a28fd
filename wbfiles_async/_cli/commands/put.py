"""The arguments, options and help of ``wbfiles put``: upload files."""

from __future__ import annotations

from pathlib import Path

import click

from wbfiles_async._cli.ending import run
from wbfiles_async._cli.options import (
    Common,
    connecting,
    exclude_option,
    include_option,
    json_option,
    path_argument,
    reading,
    sending,
)
from wbfiles_async._cli.putting import Put, put
from wbfiles_async._cli.sections import WHERE, SectionedCommand, option
from wbfiles_async._cli.target import explained, run_of
from wbfiles_async._download.selection import Selection
from wbfiles_async._models import EXISTING, Existing


@click.command("put", cls=SectionedCommand, short_help="Upload files and folders to a run.")
@path_argument("RUN")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@include_option
@exclude_option
@option(
    WHERE, "-o", "--root", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path), default=Path(),
    help="Folder that names in the run are relative to.  [default: the current folder]",
)  # fmt: skip
@option(
    WHERE, "--existing", type=click.Choice(EXISTING), default="verify", show_default=True,
    help="What to do with a file that RUN has: keep it if its md5 is equal; keep it as it is; replace it; or fail.",
)  # fmt: skip
@option(WHERE, "-n", "--dry-run", is_flag=True, help="Only show what would be uploaded.")
@sending
@json_option
@connecting
@reading
@click.pass_obj
def put_command(
    common: Common,
    path: str,
    paths: tuple[Path, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    root: Path,
    existing: Existing,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Upload files, and all files of folders, to RUN.

    `wbfiles put RUN out/model.pt` uploads the file as out/model.pt; with --root out its name is model.pt. To upload
    what `wbfiles get RUN --root FOLDER` downloaded: `wbfiles put RUN FOLDER --root FOLDER`.

    Each file is sent by one request and then verified on the server. Until all of it has arrived, the run keeps its old
    file. Files that the run already has are not sent again, so repeat the same command to continue after a failure.
    Symbolic links in folders are not followed. If one file fails, the others are still uploaded.

    A terminal shows the progress. Otherwise stdout gets one line per file, with tabs between name, size in bytes and
    status (uploaded, kept, planned). With --json it gets one object per file, with the keys run, name, status, path,
    size, verified and error, and at the end one with the key summary.
    """
    selection, output = Selection(include or None, exclude), common.output(as_json=as_json)

    async def work() -> int:
        async with common.open_api() as api:
            with explained(path):
                wanted = Put(
                    run=run_of(api, path),
                    paths=paths,
                    root=root,
                    selection=selection,
                    existing=existing,
                    dry_run=dry_run,
                )
                return await put(wanted, output)

    return run(work, output.log_level)
