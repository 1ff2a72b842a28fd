"""``wbfiles demo``: a sample run, served on this machine, and downloaded despite a kill."""

from __future__ import annotations

import asyncio
import filecmp
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from wbfiles_async import AsyncApi, TransferOptions
from wbfiles_async._cli.chosen import Chosen
from wbfiles_async._cli.ending import ExitCode, run
from wbfiles_async._cli.failures import show_failures
from wbfiles_async._cli.fetching import Fetch, download
from wbfiles_async._cli.output import Output, console
from wbfiles_async._cli.serving import local_server
from wbfiles_async._download.selection import Selection
from wbfiles_async._reports import DownloadReport, FileResult
from wbfiles_async._text import counted, printable, size_of

if TYPE_CHECKING:
    from wbfiles_async.testing import LocalServer

RUN = "local/demo/first-run"

LARGE = "checkpoints/model.bin"
"""The name of the large file."""

LARGE_BYTES = 48 << 20
"""Large enough for parts, and small enough for any disk."""

KILLED_AT = LARGE_BYTES // 2
"""Bytes of the large file after which the first download is killed."""

RATE = 24 << 20
"""Bytes per second of the first download, slow enough to watch."""

TIMEOUT = 30.0
"""Timeout of the local server's responses in seconds, independent of the user's settings."""


def demo(root: Path, output: Output) -> int:
    """Serve a sample run on a free port, download it, and report the result; only ``root`` remains.

    The first download runs in another process, which is killed half way. The second one continues it.

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
            was_killed = await _fetch_and_kill(server, root, output)
            return await _fetch(server, root, output, was_killed=was_killed)

    return run(work, output.log_level)


async def _fetch_and_kill(server: LocalServer, root: Path, output: Output) -> bool:
    """Download the run in another process, and kill it at half of the large file; return whether it was killed."""
    part_file = (root / LARGE).with_name(f".{Path(LARGE).name}.wbfiles-part")
    output.say(f"wbfiles get {RUN}, killed half way:\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "wbfiles_async", "get", RUN, "--root", str(root)),
        *("--no-remember", "--limit-rate", str(RATE), "--timeout", str(TIMEOUT)),
        env=os.environ | {"WANDB_BASE_URL": server.base_url, "WANDB_API_KEY": server.api_key},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=None if output.shows_progress else asyncio.subprocess.DEVNULL,
    )
    try:
        while process.returncode is None and _bytes_in(part_file) < KILLED_AT:  # noqa: ASYNC110  # of another process
            await asyncio.sleep(0.01)
        return process.returncode is None
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if output.shows_progress:
            Console(stderr=True).show_cursor()  # which the killed process had hidden


def _bytes_in(path: Path) -> int:
    """Return how many bytes have arrived of a file that is preallocated."""
    try:
        found = path.stat()
    except OSError:
        return 0
    return getattr(found, "st_blocks", found.st_size // 512) * 512


async def _fetch(server: LocalServer, root: Path, output: Output, *, was_killed: bool) -> int:
    if was_killed:
        output.say("\nKilled. The same command again:\n")
    results: list[FileResult] = []
    options = TransferOptions(remember=False)  # the folder holds only the sample
    async with AsyncApi(base_url=server.base_url, api_key=server.api_key, timeout=TIMEOUT, options=options) as api:
        everything = Chosen((), None, Selection())
        fetch = Fetch(target=api.run(RUN), chosen=everything, root=root)
        report = await download(fetch, output, results.append)
    if report.failed:
        show_failures(report, fetch.name_of)
        return ExitCode.FAILED
    if not output.quiet:
        _show(report, results, server.base_url)
    return ExitCode.DONE


def _sample() -> Iterator[tuple[str, bytes]]:
    """Make the files of the sample run; always the same, so that a repeated demo keeps them."""
    yield "config.yaml", b"learning_rate: 0.001\nepochs: 20\n"
    yield "output.log", b"".join(b"epoch %02d done\n" % epoch for epoch in range(20))
    for epoch in range(20):
        rows = (b"%d,%.6f\n" % (step, 1 / (1 + epoch * 100 + step)) for step in range(100))
        yield f"metrics/train/epoch-{epoch:02}.csv", b"step,loss\n" + b"".join(rows)
    yield LARGE, random.Random(0).randbytes(LARGE_BYTES)


def _check_free(target: Path, sample: Path) -> None:
    """Refuse to replace a file that is not of an earlier demo."""
    if target.exists() and not (target.is_file() and filecmp.cmp(target, sample, shallow=False)):
        raise click.UsageError(f"{target} exists and is not of this demo; name another folder by --root.")


def _show(report: DownloadReport, results: list[FileResult], base_url: str) -> None:
    table = Table("", box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for title in ("Files", "Bytes", "Resumed", "Verified", "Seconds"):
        table.add_column(title, justify="right")
    small = [result for result in results if result.size < LARGE_BYTES]
    large = [result for result in results if result.size >= LARGE_BYTES]
    table.add_row("small files", *_sums(small))
    table.add_row(large[0].name, *_sums(large))
    table.add_row("together", *_sums(results), f"{report.seconds:.2f}", style="bold")
    out = console()
    out.print(f"A sample run was served at {base_url} and downloaded from there:\n", soft_wrap=True)
    out.print(table)
    if report.kept:
        before = "that had arrived before the kill" if report.resumed else "of an earlier demo"
        out.print(f"\n{counted(report.kept, 'file')} {before} were compared with their md5 and kept.")
    out.print(f"\nThe files are in {printable(str(report.root))}", soft_wrap=True)
    out.print("\nFor a run of your own set WANDB_API_KEY, then:\n\n  wbfiles get ENTITY/PROJECT/RUN")


def _sums(results: list[FileResult]) -> tuple[str, ...]:
    size, resumed = sum(result.size for result in results), sum(result.resumed for result in results)
    return str(len(results)), size_of(size), size_of(resumed), str(sum(result.verified for result in results))
