"""What the hunter's definitions call on the task queue `steps`: an activity that makes its entry in the ledger, and a Nexus operation
behind the endpoint `steps`. The step cases have both under the same names.
"""

import asyncio
import json
import signal
import urllib.error
import urllib.request

import nexusrpc.handler
from temporalio import activity
from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

TASK_QUEUE = "steps"


def post(url: str, body: dict) -> dict:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


@activity.defn
async def act(what: dict) -> dict:
    try:
        return await asyncio.to_thread(post, f"{what['http']}/act/do", what["act"])
    except urllib.error.HTTPError as error:
        raise ApplicationError(f"the ledger answered {error.code}", type="Refused") from None


@nexusrpc.handler.service_handler(name="quotes")
class Quotes:
    @nexusrpc.handler.sync_operation
    async def quick(self, _: nexusrpc.handler.StartOperationContext, what: dict) -> dict:
        return what


async def connected() -> Client:
    while True:
        try:
            return await Client.connect(**ClientConfig.load_client_connect_config())
        except RuntimeError:
            await asyncio.sleep(0.2)


async def main() -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    worker = Worker(
        await connected(),
        task_queue=TASK_QUEUE,
        activities=[act],
        nexus_service_handlers=[Quotes()],
        max_concurrent_activities=500,
    )
    async with worker:
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main())
