"""The benchmark's workflows with the Python SDK."""

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


@workflow.defn(name="parked")
class Parked:
    @workflow.run
    async def run(self, name: str) -> str:
        answer = await workflow.execute_activity(echo, name, start_to_close_timeout=LIMIT)
        await asyncio.sleep(3600)
        return answer


async def main() -> None:
    client = await Client.connect(os.environ["TEMPORAL_ADDRESS"])
    worker = Worker(client, task_queue=sys.argv[1], workflows=[Throughput, Parked], activities=[echo])
    await worker.run()


# The sandbox imports this file again.
if __name__ == "__main__":
    asyncio.run(main())
