"""Reads and changes the files of a logged run through the real ``wandb.Api()``; prints what it saw as JSON."""

import json
import sys
from pathlib import Path

import wandb
from wandb.errors import CommError

api = wandb.Api()
run = api.run("team/vision/run1")
seen = {
    "entity": api.default_entity,
    "run": {"state": run.state, "name": run.name, "config": dict(run.config), "loss": run.summary["loss"]},
    "runs": [each.id for each in api.runs("team/vision", filters={"config.lr": 0.1})],
    "other_runs": [each.id for each in api.runs("team/vision", filters={"state": "failed"})],
    "files": [
        {"name": file.name, "size": file.size, "md5": file.md5, "mimetype": file.mimetype}
        for file in run.files(per_page=2)
    ],
    "count": len(run.files()),
    "by_names": [file.name for file in run.files(names=["wandb-summary.json", "missing", "saved/model.bin"])],
    "by_pattern": [file.name for file in run.files(pattern="SAVED/%.bin")],
    "missing": len(list(run.files(names=["missing"]))),
}

model = run.file("saved/model.bin")
model.download(root="first").close()
try:
    model.download(root="first")
except (ValueError, CommError) as error:
    seen["existing"] = str(error)
Path("first/saved/model.bin").write_bytes(b"changed")
with model.download(root="first", exist_ok=True) as kept:
    seen["exist_ok"] = kept.read()
model.download(root="first", replace=True).close()
with run.file("saved/ä b#1%.txt").download(root="first") as odd:
    seen["odd"] = odd.read()

run.file("saved/pending.txt").delete()
seen["after_delete"] = [file.name for file in run.files(pattern="saved/%")]

Path("added.json").write_text('{"added": true}')
added = run.upload_file("added.json")
seen["added"] = {"name": added.name, "size": added.size, "mimetype": added.mimetype}

json.dump(seen, sys.stdout)
