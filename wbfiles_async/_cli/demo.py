"""``wbfiles demo``: a sample run, served and fetched on this machine."""

from __future__ import annotations

import filecmp
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from rich.table import Table

from wbfiles_async import AsyncApi, TransferOptions
from wbfiles_async._cli.chosen import Chosen
from wbfiles_async._cli.ending import ExitCode, run
from wbfiles_async._cli.fetching import Fetch, download, tell_failures
from wbfiles_async._cli.output import Output, console
from wbfiles_async._cli.serving import local_server
from wbfiles_async._download.selection import Selection
from wbfiles_async._reports import DownloadReport, FileResult
from wbfiles_async._text import counted, printable, size_of

RUN = "local/demo/first-run"

LARGE_BYTES = 48 << 20
"""Enough for a large file, and no burden to any disk."""

TIMEOUT = 30.0
"""Seconds for one answer of the server here, so that no setting of the user's counts."""


def demo(root: Path, output: Output) -> int:
    """Serve a sample run on a free port, fetch it, and report what happened; only ``root`` is left.

    Returns:
        The exit code.

    Raises:
        click.ClickException: ``root`` holds other files of the same names, or a package is missing.
    """
    server_class = local_server()

    async def work() -> int:
        with tempfile.TemporaryDirectory(prefix="wbfiles-demo-") as folder, server_class(folder) as server:
            for name, data in _sample():
                _check_free(root / name, server.add_file(RUN, name, data))
            return await _fetch(server.base_url, server.api_key, root, output)

    return run(work, output.log_level)


async def _fetch(base_url: str, api_key: str, root: Path, output: Output) -> int:
    results: list[FileResult] = []
    options = TransferOptions(remember=False)  # the folder shall hold the sample and nothing else
    async with AsyncApi(base_url=base_url, api_key=api_key, timeout=TIMEOUT, options=options) as api:
        everything = Chosen((), None, Selection())
        fetch = Fetch(target=api.run(RUN), chosen=everything, root=root)
        report = await download(fetch, output, results.append)
    if report.failed:
        tell_failures(report, fetch.name_of)
        return ExitCode.FAILED
    if not output.quiet:
        _show(report, results, base_url)
    return ExitCode.DONE


def _sample() -> Iterator[tuple[str, bytes]]:
    """Make the files of the sample run; the same ones each time, so that another demo finds them in place."""
    yield "config.yaml", b"learning_rate: 0.001\nepochs: 20\n"
    yield "output.log", b"".join(b"epoch %02d done\n" % epoch for epoch in range(20))
    for epoch in range(20):
        rows = (b"%d,%.6f\n" % (step, 1 / (1 + epoch * 100 + step)) for step in range(100))
        yield f"metrics/train/epoch-{epoch:02}.csv", b"step,loss\n" + b"".join(rows)
    yield "checkpoints/model.bin", random.Random(0).randbytes(LARGE_BYTES)


def _check_free(target: Path, sample: Path) -> None:
    """Refuse to replace a file that is not of an earlier demo."""
    if target.exists() and not (target.is_file() and filecmp.cmp(target, sample, shallow=False)):
        raise click.UsageError(f"{target} exists and is not of this demo; name another folder by --root.")


def _show(report: DownloadReport, results: list[FileResult], base_url: str) -> None:
    table = Table("", box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for title in ("Files", "Bytes", "Parts", "Verified", "Seconds"):
        table.add_column(title, justify="right")
    small = [result for result in results if result.size < LARGE_BYTES]
    large = [result for result in results if result.size >= LARGE_BYTES]
    table.add_row("small files", *_sums(small))
    table.add_row(large[0].name, *_sums(large))
    table.add_row("together", *_sums(results), f"{report.seconds:.2f}", style="bold")
    out = console()
    out.print(f"A sample run was served at {base_url} and fetched from there:\n", soft_wrap=True)
    out.print(table)
    if report.kept:
        out.print(f"\n{counted(report.kept, 'file')} of an earlier demo were compared with their md5 and kept.")
    out.print(f"\nThe files are in {printable(str(report.root))}", soft_wrap=True)
    out.print("\nFor a run of your own set WANDB_API_KEY, then:\n\n  wbfiles get ENTITY/PROJECT/RUN")


def _sums(results: list[FileResult]) -> tuple[str, ...]:
    size, parts = sum(result.size for result in results), sum(result.parts for result in results)
    return str(len(results)), size_of(size), str(parts), str(sum(result.verified for result in results))
