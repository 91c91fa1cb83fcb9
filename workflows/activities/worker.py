"""Serves the activities of the examples on the task queue `activities`.

The server is the one that Temporal's usual settings name (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, a profile of
temporal.toml), or the development server of this machine.
"""

import asyncio
import signal
import sys

from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.worker import Worker

import activities


async def main(task_queue: str) -> None:
    config = ClientConfig.load_client_connect_config()
    config.setdefault("target_host", "localhost:7233")
    client = await Client.connect(**config)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with Worker(client, task_queue=task_queue, activities=activities.ALL):
        print(f"activities are served on the task queue `{task_queue}`", flush=True)
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "activities"))
