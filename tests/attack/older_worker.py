"""Stands for an older worker of Segno's, on the task queue that the first argument names: it binds each run to the bundle of its type in the
second argument's folder, by the marker that such a worker writes, and lets the run wait."""

import asyncio
import os
import pathlib
import sys
from collections.abc import Sequence
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

RESOLVE = "resolve-definition"


@activity.defn(name=RESOLVE)
async def resolve(workflow_type: str) -> bytes:
    return (pathlib.Path(sys.argv[2]) / workflow_type).read_bytes()


@workflow.defn(dynamic=True)
class Bound:
    @workflow.run
    async def run(self, _: Sequence[RawValue]) -> None:
        await workflow.execute_local_activity(
            RESOLVE,
            workflow.info().workflow_type,
            activity_id=RESOLVE,
            start_to_close_timeout=timedelta(seconds=10),
        )
        await workflow.wait_condition(lambda: False)


async def main() -> None:
    client = await Client.connect(os.environ["TEMPORAL_ADDRESS"])
    worker = Worker(
        client,
        task_queue=sys.argv[1],
        workflows=[Bound],
        activities=[resolve],
        workflow_runner=UnsandboxedWorkflowRunner(),
        # The next worker gets a run's next task at once.
        max_cached_workflows=0,
    )
    await worker.run()


asyncio.run(main())
