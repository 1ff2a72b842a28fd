"""The arguments, options and help of ``wbfiles rm``: delete files on the server."""

from __future__ import annotations

import click

from wbfiles_async._cli.options import Common, chosen_by, connecting, filters_option, json_option, selecting
from wbfiles_async._cli.removing import DELETE_EVERYTHING, Removal, remove
from wbfiles_async._cli.sections import WHICH, SectionedCommand, option
from wbfiles_async._cli.target import Filters


@click.command("rm", cls=SectionedCommand, short_help="Delete files of a run or a project on the server.")
@selecting("RUN|PROJECT")
@filters_option
@option(WHICH, "--all", "everything", is_flag=True, help="All files of RUN, or of all selected runs of PROJECT.")
@click.option("-n", "--dry-run", is_flag=True, help="Only show what would be deleted.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option(
    DELETE_EVERYTHING, "everything_in", metavar="PROJECT",
    help="Do not ask before every file of PROJECT's runs is deleted, for which --yes is not enough.",
)  # fmt: skip
@json_option
@connecting
@click.pass_obj
def rm_command(
    common: Common,
    path: str,
    names: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    pattern: str | None,
    filters: Filters,
    everything: bool,
    dry_run: bool,
    yes: bool,
    everything_in: str | None,
    as_json: bool,
) -> int:
    """Delete files of RUN, or of the runs of PROJECT, on the server: the NAMEs, or what the options select.

    It first shows the number of files and their size, and asks. Without a terminal, --yes is needed. Files that are
    added after the listing are not deleted, and a file that no longer exists counts as deleted. After an interruption,
    repeat the command.

    PROJECT must end in a slash here. If every file of it is selected, you are asked to type its name.

    A terminal shows the progress. Otherwise stdout gets one line per file, with tabs between name, size in bytes and
    status (deleted, planned). With --json it gets one object per file, with the keys name, status, size and error (and
    run for a project), and at the end one with the key summary.
    """
    removal = Removal(
        path=path,
        chosen=chosen_by(common, names, include, exclude, pattern),
        filters=filters,
        everything_in=everything_in,
        everything=everything,
        open_api=common.open_api,
        dry_run=dry_run,
        yes=yes,
    )
    return remove(removal, common.output(as_json=as_json))
