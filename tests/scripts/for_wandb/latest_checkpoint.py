"""Fetch the latest checkpoint of a run, by the step in its name; and the file that was changed last."""

import re
import sys

import wandb

run = wandb.Api().run(sys.argv[1])
steps = {}
for file in run.files(pattern="checkpoints/%"):
    if found := re.fullmatch(r"checkpoints/step-(\d+)\.ckpt", file.name):
        steps[int(found[1])] = file
latest = steps[max(steps)]
latest.download(replace=True)
print("latest:", latest.name, latest.sizeBytes, "of", sorted(steps))

newest = max(run.files(), key=lambda file: (file.updated_at, file.name))
print("newest:", newest.name, newest.updatedAt)

best = run.history(keys=["loss"], pandas=False)
print("steps logged:", len(best))
