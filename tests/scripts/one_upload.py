"""Uploads one file, and prints a line when its first bytes are sent: `one_upload.py BASE_URL KEY PATH RATE`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from wbfiles_async import AsyncApi, TransferOptions


class Progress:
    """Prints."""

    def started(self, name: str, total: int | None) -> None:
        """Nothing is sent yet."""

    def advanced(self, name: str, count: int) -> None:
        """Something is."""
        print("sending", flush=True)

    def finished(self, name: str) -> None:
        """The server has it."""
        print("finished", flush=True)

    def failed(self, name: str, error: Exception) -> None:
        """It has not."""


async def main(base_url: str, key: str, path: str, rate: str) -> None:
    options = TransferOptions(limit_rate=int(rate) or None)
    async with AsyncApi(base_url=base_url, api_key=key, options=options) as api:
        await api.run("team/project/run1").upload_file(path, Path(path).parent, progress=Progress())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
