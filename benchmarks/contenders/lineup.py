"""Functions that make each contender."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from benchmarks.trial import Contender, Job

_OURS = "import wbfiles_async"
_WANDB = "import wandb"


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.contenders.{name}", *arguments]


def _place(job: Job) -> tuple[str, str, str]:
    return job.stage.base_url, job.path, str(job.root)


def ours(title: str, work: str, **options: bool | int) -> Contender:
    """Make a contender of ``AsyncApi``.

    Args:
        title: Its name in the table.
        work: ``download``; ``again``, with all files present; ``fetch``, file by file; or ``list``.
        **options: Non-default ``TransferOptions``.
    """
    how = (work, json.dumps(options))
    return Contender(title, lambda job: _module("ours", *how, *_place(job)), needs=_OURS, downloads=work != "list")


def ours_upload(title: str, work: str = "upload", **options: bool | int) -> Contender:
    """Make a contender of ``AsyncRun.upload`` (``upload``, ``upload_unverified``) or, file by file, ``upload_file``."""
    how = (work, json.dumps(options))
    return Contender(title, lambda job: _module("ours", *how, *_sending(job)), needs=_OURS)


def wandb_upload(title: str, *, threads: int = 1) -> Contender:
    """Make a contender of ``Run.upload_file`` of ``wandb.Api``."""
    return Contender(title, lambda job: _module("wandb_upload", str(threads), *_sending(job)), needs=_WANDB)


def _sending(job: Job) -> tuple[str, str, str]:
    return job.stage.base_url, job.path, str(job.source)


def ours_blocking(title: str, work: str, *, threads: int = 1) -> Contender:
    """Make a contender of ``Api``: ``work`` is ``download``, one call for all files, or ``fetch``, a call for each."""
    return Contender(title, lambda job: _module("ours_blocking", work, str(threads), *_place(job)), needs=_OURS)


def wandb(title: str, work: str = "download", *, threads: int = 1, per_page: int = 1000) -> Contender:
    """Make a contender of ``wandb.Api``; ``work`` is ``download``, ``verify`` (then compare the md5) or ``list``."""
    return Contender(
        title,
        lambda job: _module("wandb_client", work, str(threads), str(per_page), *_place(job)),
        needs=_WANDB,
        downloads=work != "list",
    )


def ours_project(title: str, *, paths: bool = False) -> Contender:
    """Make a contender of ``AsyncApi`` for a whole project, or for all paths of its runs."""
    return Contender(title, lambda job: _module("ours_project", _which(job, paths), *_place(job)), needs=_OURS)


def wandb_project(title: str, threads: int, *, paths: bool = False) -> Contender:
    """Make a contender of ``wandb.Api`` for a whole project, or for all paths of its runs, concurrently."""

    def command(job: Job) -> Sequence[str]:
        return _module("wandb_project", str(threads), _which(job, paths), *_place(job))

    return Contender(title, command, needs=_WANDB)


def ours_overview(title: str, work: str) -> Contender:
    """Make a contender of ``AsyncApi`` that only lists: ``du``, ``files``, ``delete`` (dry), or that many shards."""
    return Contender(title, lambda job: _module("ours_overview", work, *_place(job)), needs=_OURS, downloads=False)


def wandb_overview(title: str, threads: int) -> Contender:
    """Make a contender of ``wandb.Api`` that sums up sizes."""
    return Contender(
        title, lambda job: _module("wandb_overview", str(threads), *_place(job)), needs=_WANDB, downloads=False
    )


def ours_plan(title: str, work: str, workers: int, connections: int) -> Contender:
    """Make a contender of ``Plan``, made alone (``plan``), or of ``run_plan`` by a ``pool`` or by ``dask``."""
    return Contender(
        title,
        lambda job: _module("ours_plan", work, str(workers), str(connections), *_place(job)),
        needs="import distributed" if work == "dask" else _OURS,
        downloads=work != "plan",
    )


def _which(job: Job, paths: bool) -> str:
    return str(job.run.runs) if paths else "all"


def _wbfiles_get(job: Job) -> Sequence[str]:
    key = f"WANDB_API_KEY={'b' * 40}"
    command = ("-m", "wbfiles_async", "get", "--quiet", "--base-url", job.stage.base_url, "--root", str(job.root))
    return ["env", key, sys.executable, *command, job.path]


def statement(title: str, text: str, needs: str) -> Contender:
    """Make a contender that is a whole Python process with one statement."""
    return Contender(title, lambda job: [sys.executable, "-c", text], needs=needs, reports=False, downloads=False)


def _httpx(job: Job) -> Sequence[str]:
    urls = job.folder / "urls"
    urls.write_text("\n".join(job.stage.urls(job.run).values()))
    return _module("plain_httpx", str(urls), str(job.root))


def md5_alone() -> Contender:
    """Make a contender that only computes the md5 of as many bytes."""
    return Contender(
        "md5 alone, in memory",
        lambda job: _module("md5_alone", str(job.run.total)),
        needs="import hashlib",
        downloads=False,
    )


def md5_of_files() -> Contender:
    """Make a contender that computes the md5 of the files to upload, and sends nothing."""
    return Contender(
        "hashlib over the same file",
        lambda job: _module("md5_of_files", str(job.source)),
        needs="import hashlib",
        downloads=False,
    )


def curl(at_once: int) -> Contender:
    """Make a contender of ``curl --parallel``, which opens a connection per file."""
    return Contender(f"`curl -Z`, {at_once} at a time", lambda job: _curl(job, at_once), needs="curl", reports=False)


def aria2c(at_once: int) -> Contender:
    """Make a contender of ``aria2c``: one file in as many parts (16 at most), or as many files, each in one."""
    return Contender(f"aria2c, {at_once} connections", lambda job: _aria2c(job, at_once), needs="aria2c", reports=False)


def _curl(job: Job, at_once: int) -> Sequence[str]:
    transfers = job.folder / "curl.conf"
    with transfers.open("w") as file:
        for name, url in job.stage.urls(job.run).items():
            file.write(f'url = "{url}"\noutput = "{job.root / name}"\n')
    authority = str(job.stage.authority)
    options = ("--parallel", "--parallel-max", str(at_once), "--create-dirs", "--fail", "--silent", "--show-error")
    return ["curl", "--disable", *options, "--cacert", authority, "--config", str(transfers)]


def _aria2c(job: Job, at_once: int) -> Sequence[str]:
    urls = job.folder / "aria2.list"
    with urls.open("w") as file:
        for name, url in job.stage.urls(job.run).items():
            file.write(f"{url}\n  out={name}\n")
    spread = ("-j1", f"-s{at_once}", "-x16", "-k1M") if job.run.files == 1 else (f"-j{at_once}", "-s1", "-x16")
    options = ("--no-conf", "--file-allocation=none", "--quiet", f"--ca-certificate={job.stage.authority}")
    return ["aria2c", *options, *spread, f"--dir={job.root}", f"--input-file={urls}"]


HTTPX = Contender("plain httpx, 16 at a time", _httpx, needs="import httpx")
CURL = curl(16)
ARIA2C = aria2c(16)
WBFILES_GET = Contender("`wbfiles get`", _wbfiles_get, needs="import click", reports=False)
WANDB = wandb("wandb")
WANDB_VERIFIED = wandb("wandb, then its md5", "verify")
WANDB_16 = wandb("wandb, 16 threads", threads=16)
