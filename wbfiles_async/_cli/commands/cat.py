"""The arguments, options and help of ``wbfiles cat``: write files to stdout."""

from __future__ import annotations

import click

from wbfiles_async._cli.amounts import parse_range
from wbfiles_async._cli.ending import run
from wbfiles_async._cli.options import Common, connecting, names_argument, path_argument, read_by, reading
from wbfiles_async._cli.sections import WHICH, SectionedCommand, option
from wbfiles_async._cli.target import explained, find_names
from wbfiles_async._cli.writing import write_files


@click.command("cat", cls=SectionedCommand, short_help="Write the bytes of files to stdout.")
@path_argument("RUN")
@names_argument
@option(WHICH, "--range", "span", metavar="START:STOP", callback=read_by(parse_range),
              help="Only the bytes [START, STOP), counted from 0; both optional.")  # fmt: skip
@connecting
@reading
@click.pass_obj
def cat_command(common: Common, path: str, names: tuple[str, ...], span: tuple[int, int | None] | None) -> int:
    """Write the bytes of the files NAME of RUN to stdout, one after the other, unchanged.

    The URL of a file's page can replace RUN and NAME. Binary files are not written to a terminal.

    The md5 of a whole file is compared at its end. If it is wrong, the exit code is 1, and the output must not be used;
    `wbfiles get` would not have published the file.
    """
    if span is not None and len(names) > 1:
        raise click.UsageError("--range is for one NAME.")

    async def work() -> int:
        async with common.open_api() as api:
            with explained(path):
                return await write_files(*find_names(api, path, names), *(span or (0, None)))

    return run(work, common.output().log_level)
