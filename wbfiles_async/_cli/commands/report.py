"""The arguments, options and help of ``wbfiles report``: summarize manifests."""

from __future__ import annotations

from pathlib import Path

import click

from wbfiles_async._bucket.roots import BucketRoot
from wbfiles_async._cli.options import Common, json_option, speaking
from wbfiles_async._cli.reporting import PlaceType, report
from wbfiles_async._cli.sections import SectionedCommand


@click.command("report", cls=SectionedCommand, short_help="Summarize manifests of downloads, and list what is missing.")
@click.argument("paths", metavar="MANIFEST|FOLDER...", nargs=-1, required=True, type=PlaceType())
@json_option
@speaking
@click.pass_obj
def report_command(common: Common, paths: tuple[Path | BucketRoot, ...], as_json: bool) -> int:
    """Summarize the manifests that `wbfiles get --manifest` or the chunks of a plan wrote, and list what is missing.

    FOLDER stands for all manifests in it, and may be in an object store: s3://bucket/prefix. If several name the same
    file, the latest counts.

    stdout gets one line per missing file, with tabs between run, name, size in bytes, status and reason. With --json it
    gets one object for each, with the keys of the manifest, and at the end one with the key summary.

    Makes no request. The exit code is 1 if files are missing.
    """
    return report(paths, common.output(as_json=as_json))
