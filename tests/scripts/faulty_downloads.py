"""Downloads files from a faulty store, with `wandb` or this package, and reports the outcome of each as JSON.

`faulty_downloads.py MODULE RUN FOLDER NAME...`, the server in the environment. Each one finds an older file.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

OLD = b"what was there before"


def ending_of(download: Callable[[], Any]) -> tuple[str | None, str]:
    """Download; return the error's class and text, if any."""
    try:
        download().close()
    except Exception as error:
        return type(error).__name__, f"{error!r} {error}"
    return None, ""


def replaced(file: Any, root: Path, name: str) -> dict[str, object]:
    """Download over an older file; return the error's text, and the resulting file."""
    target = root / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(OLD)
    error, shown = ending_of(lambda: file.download(str(root), replace=True))
    content = target.read_bytes()
    target.unlink()
    return {"error": error, "shown": shown, "old": content == OLD, "md5": hashlib.md5(content).hexdigest()}


def main(module: str, run: str, folder: str, *names: str) -> None:
    api = importlib.import_module(module).Api()
    root, outside = Path(folder) / "root", Path(folder) / "outside"
    files = {name: replaced(api.run(run).file(name), root, name) for name in names}

    outside.mkdir()
    (root / "link").symlink_to(outside)
    link_error, _ = ending_of(lambda: api.run(run).file("link/a.txt").download(str(root), replace=True))

    lazy = api.run(run)
    print("take the run away", flush=True)
    input()
    listed: object
    try:
        listed = len(list(lazy.files()))
    except Exception as error:
        listed = type(error).__name__
    result = {"files": files, "link": link_error, "outside": (outside / "a.txt").exists(), "listed": listed}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
