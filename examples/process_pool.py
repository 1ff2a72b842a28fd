"""Digest the files of a run in several processes: python process_pool.py ENTITY/PROJECT/RUN.

A file pickles without its client and without its signed URLs, so each process brings a client of its own.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from hashlib import sha256

from wbfiles_async import Api, File


@cache
def client() -> Api:
    """Make the one client of a process, when it is first needed."""
    return Api()


def digest(file: File) -> tuple[str, str]:
    """Fetch a file and return its name and sha256; this is what runs in the pool."""
    with file.download("data", exist_ok=True, api=client()) as text:
        return file.name, sha256(text.buffer.read()).hexdigest()


def main(run: str) -> None:
    """Hand the files out and print the results."""
    files = client().run(run).files()
    with ProcessPoolExecutor() as pool:
        for name, value in pool.map(digest, files):
            print(value, name)


if __name__ == "__main__":
    main(*sys.argv[1:])
