"""Typical uses of the file system: tables of many runs, SQL, dask graphs, archives, tensors, paths."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

for package in ("pandas", "pyarrow", "duckdb", "dask.dataframe", "polars", "safetensors", "upath", "zarr", "numpy"):
    pytest.importorskip(package, reason="nox -s ecosystem installs it")

import dask  # noqa: E402
import dask.dataframe  # noqa: E402
import duckdb  # noqa: E402
import numpy  # noqa: E402
import pandas  # noqa: E402
import polars  # noqa: E402
import pyarrow.dataset  # noqa: E402
import pyarrow.fs  # noqa: E402
import pyarrow.parquet  # noqa: E402
import safetensors.numpy  # noqa: E402
import zarr  # noqa: E402
from fsspec.parquet import open_parquet_file  # noqa: E402
from upath import UPath  # noqa: E402

from wbfiles_async import Api  # noqa: E402
from wbfiles_async.fsspec import WandbFileSystem  # noqa: E402
from wbfiles_async.testing import LocalServer  # noqa: E402

PROJECT = "team/vision"
RUNS = 12


def table(run: int) -> pandas.DataFrame:
    return pandas.DataFrame({"run": [run] * 100, "step": range(100), "loss": [run + step / 100 for step in range(100)]})


@pytest.fixture
def served(wandb_server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    WandbFileSystem.clear_instance_cache()
    monkeypatch.setenv("WANDB_BASE_URL", wandb_server.base_url)
    monkeypatch.setenv("WANDB_API_KEY", wandb_server.api_key)
    for run in range(RUNS):
        packed = io.BytesIO()
        table(run).to_parquet(packed)
        wandb_server.add_file(f"{PROJECT}/run{run}", "tables/loss.parquet", packed.getvalue())
        wandb_server.add_file(f"{PROJECT}/run{run}", "loss.csv", table(run).to_csv(index=False).encode())
    wandb_server.clear_requests()
    yield wandb_server
    for fs in WandbFileSystem._cache.values():
        fs._clients.close()
    WandbFileSystem.clear_instance_cache()


def requests(server: LocalServer) -> list[str]:
    made = [request.operation or request.method for request in server.requests]
    server.clear_requests()
    return made


def test_pandas(served: LocalServer) -> None:
    url = f"wandb://{PROJECT}/run3"
    pandas.testing.assert_frame_equal(pandas.read_csv(f"{url}/loss.csv"), table(3))
    pandas.testing.assert_frame_equal(pandas.read_parquet(f"{url}/tables/loss.parquet"), table(3))
    table(7).to_parquet(f"{url}/new/table.parquet")
    table(7).to_csv(f"{url}/new/table.csv.gz", index=False)
    pandas.testing.assert_frame_equal(pandas.read_parquet(f"{url}/new/table.parquet"), table(7))
    pandas.testing.assert_frame_equal(pandas.read_csv(f"{url}/new/table.csv.gz"), table(7))


def test_pyarrow_dataset_over_many_runs(served: LocalServer) -> None:
    fs = WandbFileSystem()
    paths = fs.glob(f"{PROJECT}/*/tables/loss.parquet")
    assert requests(served) == ["Runs"]
    dataset = pyarrow.dataset.dataset(paths, filesystem=fs, format="parquet")
    few = dataset.to_table(columns=["run"], filter=pyarrow.dataset.field("loss") < 1).to_pandas()
    assert sorted(few["run"].unique()) == [0]
    assert dataset.count_rows() == 100 * RUNS
    by_uri, path = pyarrow.fs.FileSystem.from_uri(f"fsspec+wandb://{PROJECT}/run2/tables/loss.parquet")
    assert pyarrow.parquet.read_table(path, filesystem=by_uri).num_rows == 100
    pyarrow.dataset.write_dataset(dataset, f"{PROJECT}/run0/all", format="parquet", filesystem=fs)
    assert pyarrow.dataset.dataset(f"{PROJECT}/run0/all", filesystem=fs).count_rows() == 100 * RUNS
    with open_parquet_file(paths[0], fs=fs, columns=["loss"], engine="pyarrow") as file:
        assert pandas.read_parquet(file, columns=["loss"])["loss"].tolist() == table(0)["loss"].tolist()


def test_duckdb(served: LocalServer) -> None:
    with duckdb.connect() as database:
        database.register_filesystem(WandbFileSystem())
        query = f"select run, max(loss) from read_parquet('wandb://{PROJECT}/*/tables/loss.parquet') group by run"
        assert sorted(database.sql(query).fetchall()) == [(run, run + 0.99) for run in range(RUNS)]
        assert database.sql(f"select count(*) from 'wandb://{PROJECT}/run1/loss.csv'").fetchall() == [(100,)]


def test_dask_with_no_key_in_its_graph(served: LocalServer) -> None:
    url = f"wandb://{PROJECT}/*/tables/loss.parquet"
    given = WandbFileSystem(api_key=served.api_key)
    graphs = [
        dask.dataframe.read_parquet(url),
        dask.dataframe.read_parquet(url, filesystem=given),
        dask.dataframe.read_csv(f"wandb://{PROJECT}/*/loss.csv"),
    ]
    for graph in graphs:
        tasks = dict(graph.__dask_graph__())
        shown = [pickle.dumps(graph), pickle.dumps(tasks), repr(graph).encode(), repr(tasks).encode()]
        assert not [each for each in shown if served.api_key.encode() in each]
        found = graph.groupby("run").loss.max().compute(scheduler="processes", num_workers=2)
        assert found.to_dict() == {run: run + 0.99 for run in range(RUNS)}
    # dask keeps what it is given: a file system's key stays hidden, one in `storage_options` does not.
    leaky = dask.dataframe.read_csv(f"wandb://{PROJECT}/*/loss.csv", storage_options={"api_key": served.api_key})
    assert served.api_key.encode() not in pickle.dumps(dict(leaky.__dask_graph__()))


def test_polars(served: LocalServer) -> None:
    fs = WandbFileSystem()
    with fs.open(f"{PROJECT}/run4/tables/loss.parquet") as file:
        assert polars.read_parquet(file)["loss"].max() == 4.99
    paths = fs.glob(f"{PROJECT}/*/tables/loss.parquet")
    lazy = polars.scan_pyarrow_dataset(pyarrow.dataset.dataset(paths, filesystem=fs, format="parquet"))
    assert lazy.filter(polars.col("run") == 5).select(polars.len()).collect().item() == 100


def test_zip(served: LocalServer) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(10):
            archive.writestr(f"{number}.bin", bytes([number]) * 300_000)
    served.add_file(f"{PROJECT}/run0", "pack.zip", packed.getvalue())
    with (
        WandbFileSystem().open(f"{PROJECT}/run0/pack.zip", block_size=100_000) as file,
        zipfile.ZipFile(file) as archive,
    ):
        assert archive.read("7.bin") == b"\x07" * 300_000
    with Api().run(f"{PROJECT}/run0").file("pack.zip").open() as file, zipfile.ZipFile(file) as archive:
        assert archive.read("3.bin") == b"\x03" * 300_000


def test_header_of_a_safetensors_file_and_one_tensor_by_ranges(served: LocalServer) -> None:
    tensors = {"small": numpy.arange(10, dtype=numpy.float32), "large": numpy.ones((1000, 1000), dtype=numpy.float32)}
    served.add_file(f"{PROJECT}/run0", "model.safetensors", safetensors.numpy.save(tensors))
    served.clear_requests()
    with Api().run(f"{PROJECT}/run0").file("model.safetensors").open(block_size=4096) as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        assert header["large"]["shape"] == [1000, 1000]
        start, stop = header["small"]["data_offsets"]
        file.seek(8 + length + start)
        small = numpy.frombuffer(file.read(stop - start), dtype=numpy.float32)
    assert (small == tensors["small"]).all()
    ranges = [request.range for request in served.requests if request.method == "GET"]
    assert len(ranges) <= 2
    assert None not in ranges, "never the whole"


def test_zarr(served: LocalServer) -> None:
    url, values = f"wandb://{PROJECT}/run0/array.zarr", numpy.arange(10_000).reshape(100, 100)
    array = zarr.open_array(url, mode="w", shape=values.shape, chunks=(50, 50), dtype=values.dtype)
    array[:] = values
    again: Any = zarr.open_array(url, mode="r")
    assert (again[10:60, 20:30] == values[10:60, 20:30]).all()


def test_paths(served: LocalServer) -> None:
    run = UPath(f"wandb://{PROJECT}/run1", api_key=served.api_key, base_url=served.base_url)
    assert [path.name for path in sorted(run.rglob("*.parquet"))] == ["loss.parquet"]
    (run / "notes" / "a.txt").write_text("noted")
    assert (run / "notes" / "a.txt").read_text() == "noted"
    assert served.api_key not in f"{run!r} {run} {run.storage_options} {pickle.dumps(run)!r}"
    assert pickle.loads(pickle.dumps(run)) == run
    assert sorted(path.name for path in run.parent.iterdir())[:2] == ["run0", "run1"]
