"""A script like those for ``wandb.Api``; only its import changes: MODULE RUN.

It lists, filters, inspects, downloads and deletes files of a run, and prints what it saw. It downloads into the
current folder and into ``downloads`` below it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wbfiles_async import Api, File
elif sys.argv[1] == "wandb":
    from wandb import Api
    from wandb.apis.public import File
else:
    from wbfiles_async import Api, File

path, folder = sys.argv[2], "downloads"
seen: dict[str, Any] = {}


def attempt(call: Callable[[], object]) -> str:
    """Return the class of the error that a call raises."""
    try:
        call()
    except Exception as error:
        kinds = (ValueError, LookupError, FileNotFoundError)
        return next((kind.__name__ for kind in kinds if isinstance(error, kind)), type(error).__name__)
    return "no error"


def describe(file: File) -> dict[str, object]:
    """Read all documented attributes of a file."""
    return {
        name: getattr(file, name)
        for name in ("id", "name", "url", "directUrl", "size", "sizeBytes", "md5", "mimetype", "updatedAt", "path_uri")
    }


def names_below(root: str) -> list[str]:
    """List the files that were downloaded."""
    return sorted(os.path.relpath(os.path.join(at, name), root) for at, _, names in os.walk(root) for name in names)


api = Api()
run = api.run(path)
seen["run"] = [run.entity, run.project, run.id, "/".join(run.path)]
seen["run, what people know of it"] = [run.name, run.state]
seen["run, by its path"] = [api.run("/".join(run.path)).id, api.run(path=path).name]

# The runs of the project.
project = "/".join(run.path[:2])
runs = api.runs(project, order="-created_at", per_page=1, include_sweeps=False, lazy=True)
seen["runs"] = [[each.id, each.name, each.state] for each in runs]
seen["runs, length, first, slice"] = [len(runs), runs[0].id, [each.id for each in runs[0:1]]]
seen["runs, filtered"] = [each.id for each in api.runs(project, filters={"state": {"$ne": "finished"}})]
seen["files of a listed run"] = len(list(runs[0].files()))

# List and filter.
files = run.files()
seen["length"] = len(files)
seen["names"] = [file.name for file in files]
seen["names, once more"] = [file.name for file in files]
seen["first, last of three, slice"] = [files[0].name, files[2].name, [file.name for file in files[1:3]]]
seen["beyond the end"] = attempt(lambda: files[1000])
seen["pages of two"] = [file.name for file in run.files(per_page=2)]
seen["by name"] = [file.name for file in run.files(["config.yaml", "media/plot 1.png"])]
seen["by name that does not exist"] = [file.name for file in run.files(names=["missing.txt"])]
seen["by pattern"] = [file.name for file in run.files(pattern="%.png")]
seen["length by pattern"] = len(run.files(pattern="%.png"))
seen["by names and pattern"] = attempt(lambda: run.files(names=["config.yaml"], pattern="%.png"))
seen["run.file"] = run.file("config.yaml").name
seen["run.file of what does not exist"] = attempt(lambda: run.file("missing.txt"))

# Inspect the files.
seen["files"] = [describe(file) for file in files]
seen["size of all"] = sum(file.size for file in files)
seen["repr"] = repr(run.file("config.yaml"))
seen["file.run"] = files[0].run == run

# Download.
for file in files:
    if file.name.endswith(".png"):
        file.download(root=folder).close()
seen["downloaded"] = names_below(folder)
config = run.file("config.yaml")
with config.download(folder) as handle:
    seen["handle"] = [type(handle).__name__, handle.mode, os.path.relpath(handle.name, folder), handle.read()]
with open(os.path.join(folder, "config.yaml"), "w") as changed:
    changed.write("mine")
seen["file in the way"] = attempt(lambda: config.download(root=folder))
with config.download(root=folder, exist_ok=True) as handle:
    seen["exist_ok"] = handle.read()
with config.download(root=folder, replace=True) as handle:
    seen["replace"] = handle.read()
with open(os.path.join(folder, "config.yaml"), "w") as changed:
    changed.write("mine")
with config.download(root=folder, replace=True, exist_ok=True, api=api) as handle:
    seen["replace and exist_ok"] = handle.read()
run.file("empty.txt").download().close()
seen["into the current folder"] = names_below(".")

# Delete.
run.file("empty.txt").delete()
seen["after delete"] = [file.name for file in run.files()]

# Missing names.
seen["run that does not exist"] = attempt(lambda: len(api.run(path + "-missing").files()))

json.dump(seen, sys.stdout)
