"""Activities and workflows of the official Python SDK that the definitions of this folder call."""

import asyncio
from collections.abc import Sequence

from temporalio import activity, workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, FailureError

BENIGN = ApplicationErrorCategory.BENIGN
BINARY = bytes([0, 1, 128, 255])


@activity.defn(dynamic=True)
async def echo(args: Sequence[RawValue]):
    """Its argument, decoded and encoded again by the SDK."""
    assert activity.info().activity_type == "echo"
    return activity.payload_converter().from_payload(args[0].payload)


@activity.defn
async def several(a, b, c, d, e, f):
    return [a, b, c, d, e, f]


@activity.defn
async def fails():
    try:
        raise ApplicationError("the toaster is hot 🔥", [1.5, "é"], type="TooHot")
    except ApplicationError as cause:
        is_last = activity.info().attempt > 1
        details = ({"minutes": 9}, BINARY, None, 2**53)
        raise ApplicationError(
            "the toast is burnt", *details, type="Burnt", non_retryable=is_last, category=BENIGN
        ) from cause


@activity.defn
async def sleeps():
    await asyncio.sleep(30)


@workflow.defn(name="Echo")
class Echo:
    @workflow.run
    async def run(self, value):
        return value


@workflow.defn(name="Several")
class Several:
    @workflow.run
    async def run(self, a, b, c, d, e, f):
        return [a, b, c, d, e, f]


@workflow.defn(name="Fails")
class Fails:
    @workflow.run
    async def run(self):
        raise ApplicationError("the child gave up", {"why": None}, type="GaveUp", non_retryable=True)


@workflow.defn(name="Waits")
class Waits:
    """Hears words until one is `done`."""

    def __init__(self):
        self.heard = []

    @workflow.run
    async def run(self, what):
        await workflow.wait_condition(lambda: "done" in self.heard)
        return {"of": what["of"], "heard": self.heard}

    @workflow.signal
    def tell(self, words):
        self.heard.append(words)


@workflow.defn(name="Parent")
class Parent:
    """Runs Segno workflows as children: signals one to its end, cancels one, and looks at the failure of a third."""

    @workflow.run
    async def run(self, queue: str):
        id, memo = workflow.info().workflow_id, {"queue": workflow.info().task_queue}
        told = await workflow.start_child_workflow(
            "interop-order", {"name": "Ada"}, id=f"{id}-told", task_queue=queue, memo=memo
        )
        await told.signal("add", "tea")
        await workflow.get_external_workflow_handle(f"{id}-told").signal("done", args=["by", 1])
        failed = []
        try:
            await workflow.execute_child_workflow(
                "interop-fails", "plainly", id=f"{id}-fails", task_queue=queue, memo=memo
            )
        except FailureError as error:
            while error:
                failed.append([type(error).__name__.removesuffix("Error"), getattr(error, "type", None), error.message])
                error = error.__cause__
        stopped = await workflow.start_child_workflow(
            "interop-cleans-up", id=f"{id}-stopped", task_queue=queue, memo=memo
        )
        stopped.cancel()
        try:
            await stopped
        except FailureError as error:
            failed.append([type(error.__cause__).__name__.removesuffix("Error")])
        return {"told": await told, "failed": failed}


ACTIVITIES = [echo, several, fails, sleeps]
WORKFLOWS = [Echo, Several, Fails, Waits, Parent]
