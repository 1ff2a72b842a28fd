"""The report of a plan's execution. Performs no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import attrs

from wbfiles_async._download.manifest import ManifestRow
from wbfiles_async._reports import FAILURES_KEPT, DownloadReport
from wbfiles_async._text import counted

__all__ = ["PlanReport", "continued", "of_rows", "total"]

_SUMS = ("files", "downloaded", "kept", "failed", "skipped", "bytes", "verified", "parts", "resumed", "resumed_bytes")


@attrs.frozen(kw_only=True)
class PlanReport(DownloadReport):
    """The report of ``run_plan``, for all workers together; files of chunks that were done before are not counted.

    Attributes:
        chunks: Chunks of the plan.
        chunks_done: Chunks done by this call.
        chunks_before: Chunks done before.
        chunks_failed: Chunks in which files failed, or that could not run.
    """

    chunks: int = 0
    chunks_done: int = 0
    chunks_before: int = 0
    chunks_failed: int = 0

    @property
    def chunks_left(self) -> int:
        """Chunks that are not done: failed ones, and those that were not started."""
        return self.chunks - self.chunks_done - self.chunks_before

    def __str__(self) -> str:
        """Return a summary in one line."""
        if not self.chunks:
            return "No runs."
        clauses = [f"{self.chunks_done:,} of {counted(self.chunks, 'chunk')}"]
        if self.chunks_before:
            clauses.append(f"{self.chunks_before:,} done before")
        if self.chunks_left:
            clauses.append(f"{self.chunks_left:,} left")
        if self.files:
            clauses.append(super().__str__())
        return ", ".join(clauses)


def continued(earlier: DownloadReport | None, last: DownloadReport) -> DownloadReport:
    """Return the combined report of two attempts at the same chunk: the second keeps the files of the first."""
    if earlier is None:
        return last
    added = ("parts", "resumed", "resumed_bytes", "bytes")
    sums = {name: getattr(earlier, name) + getattr(last, name) for name in added}
    return attrs.evolve(
        last,
        **sums,
        downloaded=earlier.downloaded + last.downloaded,
        kept=max(0, last.kept - earlier.downloaded),
        seconds=earlier.seconds + last.seconds,
    )


def of_rows(rows: Iterable[ManifestRow]) -> DownloadReport:
    """Return the report of a finished chunk from its manifest."""
    listed = list(rows)
    statuses = Counter(row.status for row in listed)
    return DownloadReport(
        root="",
        files=len(listed),
        downloaded=statuses["downloaded"],
        kept=statuses["kept"],
        bytes=sum(row.size for row in listed if row.status == "downloaded"),
        verified=sum(row.verified for row in listed),
    )


def total(reports: Iterable[DownloadReport]) -> DownloadReport:
    """Return the sum of the reports of different chunks."""
    listed = list(reports)
    failures = tuple(failure for report in listed for failure in report.failures)
    sums = {name: sum(getattr(report, name) for report in listed) for name in _SUMS}
    return attrs.evolve(DownloadReport(root=""), failures=failures[:FAILURES_KEPT], **sums)
