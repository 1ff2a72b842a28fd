"""Fetch the JSON files of a run, and end honestly: python bulk.py ENTITY/PROJECT/RUN FOLDER.

What is there and right is kept, so after any trouble run it again. Exit code 1 says that files are missing.
"""

import sys

from wbfiles_async import Api, FileResult


def tell(result: FileResult) -> None:
    """Write a line for each file that was fetched; called in the I/O thread, so it must return quickly."""
    if result.status == "downloaded":
        print(f"{result.name}\t{result.size}")


def main(run: str, folder: str) -> int:
    """Fetch, and return the exit code."""
    with Api() as api:
        report = api.run(run).download(folder, include=["*.json"], raise_on_error=False, progress=True, on_result=tell)
    print(f"{report.downloaded} fetched, {report.kept} were there, {report.failed} failed", file=sys.stderr)
    for failure in report.failures:  # the first thousand; report.failed counts them all
        print(f"{failure.name}: {failure.error}", file=sys.stderr)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
