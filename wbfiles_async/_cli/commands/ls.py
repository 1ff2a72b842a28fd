"""The arguments, options and help of ``wbfiles ls``: list the files of a run, or the runs of a project."""

from __future__ import annotations

import click

from wbfiles_async import AsyncRun
from wbfiles_async._cli.ending import run
from wbfiles_async._cli.listing import SORTS, Sort, list_files, list_runs
from wbfiles_async._cli.options import Common, chosen_by, connecting, filters_option, json_option, selecting
from wbfiles_async._cli.sections import OTHER, WHICH, SectionedCommand, option
from wbfiles_async._cli.target import Filters, check_project, explained, find_target


@click.command("ls", cls=SectionedCommand)
@selecting("RUN|PROJECT")
@filters_option
@option(
    OTHER, "--sort", type=click.Choice(SORTS),
    help="Sort by name; by size, largest first; or by last change, latest first.  [default: as listed]",
)  # fmt: skip
@option(WHICH, "--files", "all_files", is_flag=True, help="List the files of all runs of PROJECT, not its runs.")
@json_option
@connecting
@click.pass_obj
def ls_command(
    common: Common,
    path: str,
    names: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    pattern: str | None,
    filters: Filters,
    sort: Sort | None,
    all_files: bool,
    as_json: bool,
) -> int:
    r"""List the files of RUN, all or those with these exact NAMEs; or list the runs of PROJECT.

    With --files, NAMEs, --include or --exclude, the files of all runs of PROJECT are listed, as run/name.

    A terminal shows a table. Otherwise each file is one line, with tabs between name, size in bytes, type, time of the
    last change and md5; "-" means unknown. The line of a run has id, name, state and creation time.

    With --json the keys of a file are name, size, md5, mimetype, updated_at and path_uri, and run for files of a
    project; those of a run are path, id, name, state and created_at.

    Control characters in names are written as escapes, such as \x1b.
    """
    requested, output = chosen_by(common, names, include, exclude, pattern), common.output(as_json=as_json)

    async def work() -> int:
        async with common.open_api() as api:
            with explained(path):
                target, chosen = await find_target(api, path, requested, filters)
                check_project(target, chosen, path)
                if isinstance(target, AsyncRun) or chosen or all_files:
                    return await list_files(target, chosen, output, sort)
                return await list_runs(target, chosen, output, sort)

    return run(work, output.log_level)
