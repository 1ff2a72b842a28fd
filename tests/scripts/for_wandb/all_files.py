"""Download all files of a run, as a forum's answer has it."""

import os
import sys

import wandb

api = wandb.Api()
run = api.run(sys.argv[1])
print(f"{run.entity}/{run.project}/{run.id}: {run.name}, {run.state}, {len(run.files())} files")
for file in run.files():
    if os.path.exists(os.path.join("data", file.name)):
        continue
    file.download(root="data")
    print(f"{file.name}\t{file.size}\t{file.mimetype}\t{file.md5}")

# Once more: what is there is used as it is.
for file in run.files(per_page=2):
    with file.download(root="data", exist_ok=True) as text:
        print(os.path.relpath(text.name), text.mode)

print("loss:", run.summary["loss"])
