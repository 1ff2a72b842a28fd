"""Waits for a line, then downloads a run and prints the outcome: BASE_URL KEY RUN ROOT.

It does the same with the async objects before, so that Python has finished its imports: calls that fail afterwards
are those of the package, which has neither its thread nor its event loop yet.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import pkgutil
import sys
import tempfile
from importlib import import_module

import wbfiles_async
from wbfiles_async import Api, AsyncApi, TransferOptions, WBFilesError

sys.modules["uvloop"] = None  # type: ignore[assignment]  # the calls that are swept are those of Python's own loop

OPTIONS = TransferOptions(attempts=2, stall_seconds=5)


async def load(base_url: str, key: str, run: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncApi(base_url=base_url, api_key=key) as api:
            await api.run(run).download(folder)


def load_modules() -> None:
    for module in pkgutil.walk_packages(wbfiles_async.__path__, "wbfiles_async."):
        if not module.name.endswith("__main__") and module.name.split(".")[1] not in ("testing", "_cli"):
            import_module(module.name)


def main(base_url: str, key: str, run: str, root: str) -> None:
    load_modules()
    asyncio.run(load(base_url, key, run))
    ctypes.CDLL("libgcc_s.so.1")  # glibc loads it when a thread ends early, and aborts the process if it cannot
    print("ready", flush=True)
    sys.stdin.readline()
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


if __name__ == "__main__":
    main(*sys.argv[1:])
