"""What the random programs call: how an attempt fares is said by its workflow, its type, its id and its number alone, as
tests/cluster/simulator/random_programs.rs has it too.
"""

import asyncio
import signal

import nexusrpc.handler
from temporalio import activity
from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

TASK_QUEUE = "random-activities"


def fate() -> int:
    info = activity.info()
    seed = int(info.workflow_id.split("-")[1])
    letters = sum(info.activity_type.encode()) * 17 + sum(info.activity_id.encode()) * 7
    return (seed * 31 + letters + info.attempt * 3) % 1000


async def attempt(seconds: float, fails: bool, result: int) -> int:
    if fate() % 10 == 9:
        seconds = 3600
    await asyncio.sleep(seconds)
    if fails:
        raise ApplicationError("not this time", type="Flaky")
    return result


@activity.defn
async def quick(_=None) -> int:
    return await attempt(0, False, 1)


@activity.defn
async def slow(_=None) -> int:
    return await attempt(fate() % 4 + 0.5, False, 2)


@activity.defn
async def flaky(_=None) -> int:
    return await attempt(0.3, fate() % 2 == 0, 3)


@activity.defn
async def broken(_=None) -> int:
    return await attempt(0.3, True, 0)


@activity.defn
async def big(_=None) -> str:
    return "x" * (2 * 1024 * 1024 + 100)


@nexusrpc.handler.service_handler(name="numbers")
class Numbers:
    @nexusrpc.handler.sync_operation
    async def quick(self, _: nexusrpc.handler.StartOperationContext, number: int) -> int:
        return number + 1


async def main() -> None:
    client = await Client.connect(**ClientConfig.load_client_connect_config())
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    activities = [quick, slow, flaky, broken, big]
    worker = Worker(
        client,
        task_queue=TASK_QUEUE,
        activities=activities,
        nexus_service_handlers=[Numbers()],
        max_concurrent_activities=5000,
    )
    async with worker:
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main())
