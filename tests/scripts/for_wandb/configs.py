"""Collect the config.yaml of the finished runs of a project, newest first."""

import sys

import wandb

api = wandb.Api(overrides={"entity": sys.argv[1].split("/")[0]}, timeout=30)
runs = api.runs(sys.argv[1], filters={"state": "finished", "display_name": {"$regex": "^sweep"}}, order="-created_at")
print(len(runs), "runs")
for run in runs:
    config = run.file("config.yaml").download(root=f"configs/{run.id}", replace=True)
    print(run.id, run.name, run.state, config.read().strip(), sep="\t")
    config.close()
for run in runs[:1]:
    print("newest:", run.path)

print("lr:", [run.config["lr"] for run in runs])
