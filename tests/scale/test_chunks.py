"""Division of runs into chunks: each run once, no chunk too large, huge runs divided."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._scale.chunks import Chunk, divide, finished_chunks, incomplete_name, part_name

RUNS = st.lists(st.integers(0, 250), max_size=60).map(
    lambda counts: [(f"run{number}", count) for number, count in enumerate(counts)]
)


@given(RUNS, st.integers(1, 9), st.integers(1, 100))
def test_each_run_is_in_one_chunk_or_fully_divided(
    runs: list[tuple[str, int]], runs_per_chunk: int, files_per_chunk: int
) -> None:
    chunks = divide(runs, runs_per_chunk=runs_per_chunk, files_per_chunk=files_per_chunk)
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert sum(chunk.files for chunk in chunks) == sum(files for _, files in runs)
    whole = [run for chunk in chunks if chunk.part is None for run in chunk.runs]
    divided: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        if chunk.part is None:
            assert 1 <= len(chunk.runs) <= runs_per_chunk
        else:
            (run,) = chunk.runs
            divided.setdefault(run, []).append(chunk)
        assert chunk.files <= files_per_chunk
    assert sorted([*whole, *divided]) == sorted(run for run, _ in runs)
    for parts in divided.values():
        shares = [chunk.part for chunk in parts if chunk.part is not None]
        assert [(share.number, share.count) for share in shares] == [(n, len(parts)) for n in range(len(parts))]


def test_no_runs_have_no_chunks() -> None:
    assert divide([], runs_per_chunk=3) == []


def test_manifest_names_state_what_is_done() -> None:
    names = [
        part_name("0123abcd", 0, "jsonl"),
        part_name("0123abcd", 123_456, "parquet"),
        incomplete_name("0123abcd", 2, "jsonl"),
        part_name("ffffffff", 3, "jsonl"),
        ".part-0123abcd-00004.jsonl.0011.wbfiles-tmp",
        "plan.json",
    ]
    assert finished_chunks(names, "0123abcd") == {0, 123_456}
