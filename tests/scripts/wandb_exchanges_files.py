"""Downloads all files of a run with wandb, and uploads others; prints what it lists afterwards."""

import json
import sys
from pathlib import Path

import wandb

target, source = map(Path, sys.argv[1:])
run = wandb.Api().run("team/project/run1")
listed = {file.name: [file.size, file.md5, file.mimetype] for file in run.files()}
for file in run.files():
    file.download(str(target), replace=True).close()
for path in sorted(path for path in source.rglob("*") if path.is_file()):
    run.upload_file(str(path), root=str(source))
json.dump({"before": listed, "after": sorted(file.name for file in run.files())}, sys.stdout)
