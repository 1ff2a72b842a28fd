"""Downloads a run and prints the outcome, in a fork for each case: BASE_URL KEY RUN...; a case is RUN ROOT.

The runs are downloaded with the async objects before, so that Python has finished its imports: calls that fail
afterwards are those of the package, which has neither its thread nor its event loop yet.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import sys
import tempfile

from forks import load_modules, serve

from wbfiles_async import Api, AsyncApi, TransferOptions, WBFilesError
from wbfiles_async._disk import verified_cache

sys.modules["uvloop"] = None  # type: ignore[assignment]  # the calls that are swept are those of Python's own loop

OPTIONS = TransferOptions(attempts=2, stall_seconds=5)


async def load(base_url: str, key: str, runs: list[str]) -> None:
    async with AsyncApi(base_url=base_url, api_key=key) as api:
        for run in runs:
            with tempfile.TemporaryDirectory() as folder:
                await api.run(run).download(folder)


def main(base_url: str, key: str, *runs: str) -> None:
    load_modules()
    verified_cache.BATCH_FILES = 16  # a few files are written to the cache already
    asyncio.run(load(base_url, key, list(runs)))
    ctypes.CDLL("libgcc_s.so.1")  # glibc loads it when a thread ends early, and aborts the process if it cannot

    def download(run: str, root: str) -> None:
        end: dict[str, object] = {"error": None, "errno": None, "failures": {}}
        try:
            with Api(base_url=base_url, api_key=key, options=OPTIONS) as api:
                report = api.run(run).download(root, raise_on_error=False)
            end["failures"] = {
                result.name: [type(result.error).__name__, getattr(result.error, "errno", None), str(result.error)]
                for result in report.failures
            }
        except WBFilesError as error:
            end |= {"error": type(error).__name__, "errno": getattr(error, "errno", None), "message": str(error)}
        print(json.dumps(end), flush=True)

    serve(download)


if __name__ == "__main__":
    main(*sys.argv[1:])
