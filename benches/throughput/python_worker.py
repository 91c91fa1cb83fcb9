"""The benchmark's workflow with the Python SDK: local activity, activity, 10 ms timer, set, return."""

import asyncio
import os
import sys
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

LIMIT = timedelta(seconds=10)


@activity.defn
async def echo(text: str) -> str:
    return text


@workflow.defn(name="throughput")
class Throughput:
    def __init__(self) -> None:
        self.status = "started"

    @workflow.run
    async def run(self, name: str) -> str:
        greeting = await workflow.execute_local_activity(echo, name, start_to_close_timeout=LIMIT)
        answer = await workflow.execute_activity(echo, greeting, start_to_close_timeout=LIMIT)
        await asyncio.sleep(0.01)
        self.status = "done"
        return f"{answer} {self.status}"


async def main() -> None:
    client = await Client.connect(os.environ["TEMPORAL_ADDRESS"])
    worker = Worker(client, task_queue=sys.argv[1], workflows=[Throughput], activities=[echo])
    await worker.run()


asyncio.run(main())
