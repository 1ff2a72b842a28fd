"""Delete a run's files by their extension, to save storage."""

import os
import sys

import wandb

api = wandb.Api()
run = api.run(sys.argv[1])
freed = 0
for file in list(run.files()):
    if os.path.splitext(file.name)[1] in (".ckpt", ".pt"):
        print("deleting", file.name)
        freed += file.size
        file.delete()
print("freed", freed, "bytes; left:", sorted(file.name for file in run.files()))
for file in run.files(pattern="%.tmp"):
    file.delete()
print("left:", [file.name for file in api.run(sys.argv[1]).files()])

run.tags.append("cleaned")
run.update()
