"""The display of a cluster's work is consistent for messages in any order."""

from __future__ import annotations

import pytest

from wbfiles_async import DownloadReport, FileResult
from wbfiles_async._scale.chunks import Chunk
from wbfiles_async._scale.progress import ClusterTally
from wbfiles_async._scale.report import continued, total
from wbfiles_async._scale.worker import Event
from wbfiles_async.scale import PlanReport


def test_chunks_and_those_in_progress_are_counted() -> None:
    tally = ClusterTally(10, before=4)
    tally.workers = 2
    first, second = Chunk(4, ("a",), 100), Chunk(5, ("b",), 100)
    tally.begin(first)
    tally.begin(second)
    assert tally.share == 0.4
    tally.record(Event(4, 50, 5 << 20))
    assert tally.share == pytest.approx(0.45)
    assert tally.words().startswith("4 of 10 chunks, 50 files, 5.0 MiB, ")
    assert "2 workers" in tally.words()
    assert [(bar.name, bar.arrived) for bar in tally.largest(4, least=1)] == [("chunk 4", 5 << 20)]
    tally.end(first, files=100, size=10 << 20, failed=0)
    tally.settle(failed=False)
    tally.record(Event(4, 90, 9 << 20))  # a late message
    assert tally.words().startswith("5 of 10 chunks, 100 files, 10.0 MiB, ")
    tally.end(second, files=100, size=0, failed=3)
    tally.settle(failed=True)
    assert tally.share == 0.6
    assert tally.words().endswith("3 failed")


def test_dead_worker_is_replaced() -> None:
    tally = ClusterTally(1, before=0)
    chunk = Chunk(0, ("a",), 100)
    tally.begin(chunk)
    tally.record(Event(0, 60, 600))
    tally.record(Event(0, 10, 100))  # of the restarted worker
    assert tally.files_ended == 10
    tally.end(chunk, files=100, size=1000, failed=0)
    tally.settle(failed=False)
    assert (tally.share, tally.files_ended, tally.bytes_done) == (1.0, 100, 1000)


def test_plan_without_chunks_is_done() -> None:
    assert ClusterTally(0, before=0).share == 1.0
    assert ClusterTally(0, before=0).seconds_left is None


def test_attempts_are_counted_together() -> None:
    failure = FileResult(name="x", status="failed")
    first = DownloadReport(root="", files=10, downloaded=8, failed=2, bytes=80, parts=8, failures=(failure,) * 2)
    second = DownloadReport(root="", files=10, downloaded=1, kept=8, failed=1, bytes=10, parts=1, failures=(failure,))
    both = continued(first, second)
    assert (both.files, both.downloaded, both.kept, both.failed, both.bytes, both.parts) == (10, 9, 0, 1, 90, 9)
    assert continued(None, first) == first
    summed = total([both, first])
    assert (summed.files, summed.downloaded, summed.failed, len(summed.failures)) == (20, 17, 3, 3)
    assert len(total([first] * 1000).failures) == 1000


def test_reports_say_what_is_left() -> None:
    report = PlanReport(root="/data", chunks=10, chunks_done=3, chunks_before=4, chunks_failed=1)
    assert (report.chunks_left, str(report)) == (3, "3 of 10 chunks, 4 done before, 3 left")
