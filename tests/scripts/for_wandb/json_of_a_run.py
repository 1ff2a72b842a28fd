"""Read a JSON file of a run into memory, and see what is there if it has none."""

import json
import sys
import tempfile

import wandb

api = wandb.Api()
run = api.run(path=sys.argv[1])
with tempfile.TemporaryDirectory() as folder:
    with run.file("wandb-summary.json").download(root=folder, replace=True) as summary:
        values = json.load(summary)
    tables = []
    for file in run.files(pattern="%.table.json"):
        with file.download(root=folder) as table:
            tables.append(json.load(table))
print(values["loss"], values["größe"])
print([len(table["data"]) for table in tables])

try:
    run.file("missing.json").download(root=".")
except Exception as error:
    print("no such file:", isinstance(error, Exception))

table = api.artifact(f"{'/'.join(run.path[:2])}/run-{run.id}-table:v0").get("table")
print("table:", table is not None)
