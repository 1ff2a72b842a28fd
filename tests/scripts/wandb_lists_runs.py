"""Sends queries about a project's runs with the real ``wandb.Api().runs``; prints the results as JSON.

python wandb_lists_runs.py ENTITY/PROJECT QUESTIONS_JSON
"""

import json
import sys

import wandb

project, questions = sys.argv[1], json.loads(sys.argv[2])
api = wandb.Api()
answers = []
for filters, order in questions:
    runs = api.runs(project, filters=filters, order=order, per_page=2)
    listed = [[run.id, run.name, run.state, run.created_at] for run in runs]
    answers.append({"runs": listed, "count": len(runs)})
try:
    list(api.runs(project + "-missing"))
    missing = "an empty list"
except ValueError as error:
    missing = type(error).__name__
projects = [
    [each.name, each.entity, each.path, each.id, each.created_at, each.is_benchmark]
    for each in api.projects(project.partition("/")[0], per_page=1)
]
json.dump({"answers": answers, "missing": missing, "projects": projects}, sys.stdout)
