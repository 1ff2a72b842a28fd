"""Whole projects on many machines: a plan of chunks, carried out by Dask or any executor.

::

    from distributed import Client
    from wbfiles_async import Api
    from wbfiles_async.scale import Plan, run_plan

    plan = Plan.make(Api(), "my-team/my-project", at="/shared/plans/my-project")
    report = run_plan(plan, "/shared/my-project", on=Client("tcp://scheduler:8786"), connections=512)

Without an engine, ``wbfiles get PROJECT/ --shard I/N`` divides a project among independent processes.
"""

from __future__ import annotations

from wbfiles_async._scale.chunks import Chunk
from wbfiles_async._scale.driver import run_plan
from wbfiles_async._scale.plan import Plan
from wbfiles_async._scale.report import PlanReport

__all__ = ["Chunk", "Plan", "PlanReport", "run_plan"]
