"""Shards of a project: they cover it without overlap, and each lists little more than its own runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from project_api import PROJECT, ProjectApi

from wbfiles_async import FileResult
from wbfiles_async._async import runs as runs_module
from wbfiles_async._graphql.shares import Share


def project(runs: int, files: int = 3) -> ProjectApi:
    return ProjectApi({f"r{run}": {f"{number}.txt": 1 for number in range(files)} for run in range(runs)})


async def files_of(api: ProjectApi, share: Share, **selection: Any) -> set[str]:
    async with api.client() as client:
        runs = attrs.evolve(client.runs(PROJECT), share=share)
        listed = [f"{file.run and file.run.id}/{file.name}" async for file in runs.files(**selection)]
    assert len(listed) == len(set(listed))
    return set(listed)


async def test_shards_cover_the_project_without_overlap() -> None:
    api = project(300)
    shares = [await files_of(api, Share(number, 4)) for number in range(4)]
    assert sum(map(len, shares)) == 900
    assert set.union(*shares) == api.files
    assert all(150 < len(share) < 300 for share in shares)


async def test_shard_takes_one_listing_and_one_request_per_50_runs() -> None:
    api = project(900)
    files = await files_of(api, Share(0, 9))
    assert len(api.operations) <= 1 + (len(files) // 3) // 50 + 1


async def test_added_run_moves_no_other() -> None:
    api = project(100)
    before = [await files_of(api, Share(number, 3)) for number in range(3)]
    api.runs = {"new": {"a.txt": 1}} | api.runs
    after = [await files_of(api, Share(number, 3)) for number in range(3)]
    assert [share - {"new/a.txt"} for share in after] == before
    assert sum("new/a.txt" in share for share in after) == 1


async def test_huge_run_is_divided_among_all_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "HUGE_FILES", 40)
    api = project(10)
    api.runs["huge"] = {f"{number}.bin": 1 for number in range(2500)}
    shares = [await files_of(api, Share(number, 3)) for number in range(3)]
    assert sum(map(len, shares)) == len(api.files)
    assert set.union(*shares) == api.files
    of_huge = [sum(file.startswith("huge/") for file in share) for share in shares]
    assert min(of_huge) > 700


async def test_patterns_select_within_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "HUGE_FILES", 40)
    api = project(10)
    api.runs["huge"] = {f"{number}.bin": 1 for number in range(2500)}
    shares = [await files_of(api, Share(number, 3), include=["1*"]) for number in range(3)]
    expected = {file for file in api.files if file.partition("/")[2].startswith("1")}
    assert set.union(*shares) == expected
    assert await files_of(api, Share(0, 3), include=[]) == set()


async def test_download_covers_exactly_the_shard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runs_module, "HUGE_FILES", 40)
    api = project(20)
    api.runs["huge"] = {f"{number}.bin": 1 for number in range(300)}
    results: list[list[FileResult]] = [[], []]
    async with api.client() as client:
        for number in range(2):
            runs = attrs.evolve(client.runs(PROJECT), share=Share(number, 2))
            report = await runs.download(tmp_path, dry_run=True, on_result=results[number].append)
            assert report.planned == len(results[number])
    planned = [{f"{result.run}/{result.name}" for result in each} for each in results]
    assert list(map(len, planned)) == list(map(len, results))
    assert planned[0] | planned[1] == {f"{PROJECT}/{file}" for file in api.files}
    assert not planned[0] & planned[1]


async def test_server_without_the_filter_gives_the_same_shard() -> None:
    api = project(30)
    api.finds_runs = False
    shares = [await files_of(api, Share(number, 2)) for number in range(2)]
    assert shares[0] | shares[1] == api.files
    assert not shares[0] & shares[1]
