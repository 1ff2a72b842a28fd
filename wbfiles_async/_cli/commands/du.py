"""The arguments, options and help of ``wbfiles du``: sum up sizes."""

from __future__ import annotations

import click

from wbfiles_async import AsyncRun
from wbfiles_async._cli.ending import run
from wbfiles_async._cli.options import Common, chosen_by, connecting, filters_option, json_option, selecting
from wbfiles_async._cli.sections import SectionedCommand
from wbfiles_async._cli.target import Filters, check_project, explained, find_target
from wbfiles_async._cli.usage import BYS, By, Usage, show_usage


@click.command("du", cls=SectionedCommand, short_help="Sum up the sizes of files, by run, folder or pattern.")
@selecting("RUN|PROJECT")
@filters_option
@click.option("--by", type=click.Choice(BYS),
              help="Sum up by run of PROJECT; by folder; or by pattern of --include, or by extension without any.  "
                   "[default: run for PROJECT, folder for RUN]")  # fmt: skip
@click.option("-d", "--depth", metavar="N", type=click.IntRange(min=0), default=1, show_default=True,
              help="Levels of folders to show; a run of PROJECT counts as one.")  # fmt: skip
@json_option
@connecting
@click.pass_obj
def du_command(
    common: Common,
    path: str,
    names: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    pattern: str | None,
    filters: Filters,
    by: By | None,
    depth: int,
    as_json: bool,
) -> int:
    """Sum up the sizes of the files of RUN or PROJECT, by run, by folder or by pattern, largest first.

    The last line, ".", is the sum of all files, each counted once. If stdout is not a terminal, there are tabs between
    size in bytes, number of files and folder. With --json the keys are folder (or pattern), size and files.
    """
    requested, output = chosen_by(common, names, include, exclude, pattern), common.output(as_json=as_json)

    async def work() -> int:
        async with common.open_api() as api:
            with explained(path):
                target, chosen = await find_target(api, path, requested, filters)
                check_project(target, chosen, path)
                if by == "run" and isinstance(target, AsyncRun):
                    raise click.UsageError(f"{path} is a run, and --by run is for projects.")
                return await show_usage(target, chosen, output, Usage(by, depth))

    return run(work, output.log_level)
