"""The arguments, options and help of ``wbfiles demo``: download a sample run."""

from __future__ import annotations

from pathlib import Path

import click

from wbfiles_async._cli.options import Common, speaking
from wbfiles_async._cli.sections import SectionedCommand


@click.command("demo", cls=SectionedCommand, short_help="Download a sample run on this machine; no account needed.")
@click.option(
    "-o", "--root", type=click.Path(file_okay=False, path_type=Path), default=Path("wbfiles-demo"), show_default=True,
    help="Folder to download to.",
)  # fmt: skip
@speaking
@click.pass_obj
def demo_command(common: Common, root: Path) -> int:
    """Download a sample run from a server on this machine; no account needed.

    It serves a sample run on a free port, kills a first download half way, and resumes it. Only the folder remains.
    """
    from wbfiles_async._cli.demo import demo

    return demo(root, common.output())
