"""Logs one run with the real wandb: ``python wandb_logs_a_run.py FOLDER``, whose files are saved."""

import sys
from pathlib import Path

import wandb

folder = Path(sys.argv[1])
run = wandb.init(entity="team", project="vision", id="run1", name="First", config={"lr": 0.1})
for path in sorted(folder.rglob("*")):
    if path.is_file():
        run.save(path, base_path=folder, policy="now")
run.log({"loss": 1.0})
run.log({"loss": 0.5})
run.finish()
