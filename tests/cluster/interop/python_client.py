"""Drives the definitions of this folder with the official Python SDK and says what came of it, one line each. The arguments:
the server's address, and the task queue of the Segno worker.
"""

import asyncio
import json
import math
import os
import sys
import uuid
from datetime import timedelta

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from temporalio.api.enums.v1 import EventType
from temporalio.client import (
    Client, WithStartWorkflowOperation, WorkflowFailureError, WorkflowQueryFailedError, WorkflowUpdateFailedError,
    WorkflowUpdateStage,
)
from temporalio.common import (
    Priority, SearchAttributeKey, SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy,
)
from temporalio.exceptions import (
    ActivityError, ApplicationError, CancelledError, ChildWorkflowError, TerminatedError, TimeoutError,
    WorkflowAlreadyStartedError,
)
from temporalio.worker import Worker

from python_worker import ACTIVITIES, BENIGN, BINARY, WORKFLOWS

STAGE, RANK = SearchAttributeKey.for_keyword("Stage"), SearchAttributeKey.for_int("Rank")
KINDS = {
    ActivityError: "activity", ApplicationError: "application", CancelledError: "cancelled", ChildWorkflowError: "child",
    TerminatedError: "terminated", TimeoutError: "timeout",
}


def say(what, value):
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, default=lambda data: f"bytes {data.hex()}")
    print(f"{what}: {text}", flush=True)


def chain(error):
    """A failure and its causes, as the SDK has them."""
    told = []
    while error:
        one = {"kind": KINDS[type(error)]}
        if error.failure:
            one["message"] = error.message
        if isinstance(error, ApplicationError):
            one |= {
                "type": error.type, "details": list(error.details), "non_retryable": error.non_retryable,
                # This SDK does not name itself.
                "source": error.failure.source or "the SDK", "stack": error.failure.stack_trace != "",
                "benign": error.category == BENIGN,
            }
        told.append(one)
        error = error.__cause__
    return told


class Talk:
    def __init__(self, client: Client, queue: str):
        self.client, self.queue = client, queue
        self.memo = {"queue": "interop-python", "note": "é"}

    def options(self, name):
        return {
            "id": f"python-{name}-{uuid.uuid4()}", "task_queue": self.queue, "memo": self.memo,
            "execution_timeout": timedelta(seconds=90),
        }

    async def start(self, workflow, *args, **options):
        return await self.client.start_workflow(workflow, args=args, **(self.options(workflow) | options))

    async def end(self, handle):
        try:
            return await handle.result()
        except WorkflowFailureError as error:
            return chain(error.cause)

    async def answer(self, asked):
        try:
            return await asked
        except WorkflowUpdateFailedError as error:
            return chain(error.cause)
        except WorkflowQueryFailedError:
            return "failed"

    async def messages(self):
        attributes = TypedSearchAttributes([SearchAttributePair(STAGE, "début"), SearchAttributePair(RANK, -7)])
        options = {"search_attributes": attributes, "priority": Priority(priority_key=2, fairness_key="f", fairness_weight=2.5)}
        order = await self.start("interop-order", {"name": "Grace"}, **options)
        described = await order.describe()
        say("type", described.workflow_type)
        say("note", (await described.memo())["note"])
        say("search attributes", [described.typed_search_attributes[STAGE], described.typed_search_attributes[RANK]])
        await order.signal("add", "tea")
        await order.signal("add")
        await order.signal("add", args=["two", 2])
        await order.signal("add", {"deep": [{"er": None}]})
        say("query without an argument", await order.query("name"))
        say("query", await order.query("items"))
        say("query with an argument", await order.query("count_of", "tea"))
        say("query that breaks", await self.answer(order.query("breaks")))
        say("query that nobody knows", await self.answer(order.query("unknown")))
        say("update", await order.execute_update("rename", "Ada"))
        say("update rejected", await self.answer(order.execute_update("rename", "")))
        say("update of a wrong type", await self.answer(order.execute_update("rename", 7)))
        say("update that nobody knows", (await self.answer(order.execute_update("unknown")))[0]["kind"])
        say("update that fails", await self.answer(order.execute_update("fails")))
        begun = await order.start_update("rename", "Ada", wait_for_stage=WorkflowUpdateStage.ACCEPTED, id="again")
        same = await order.start_update("rename", "Eve", wait_for_stage=WorkflowUpdateStage.COMPLETED, id="again")
        say("update by its id", [await begun.result(), await same.result()])
        await self.again(order)
        await order.signal("done", {"by": "client"})
        say("result", await order.result())
        say("query after the end", await order.query("name"))
        await self.with_start()

    async def again(self, order):
        options = {"id": order.id, "task_queue": self.queue}
        try:
            await self.client.start_workflow("interop-order", **options)
        except WorkflowAlreadyStartedError:
            say("started twice", "refused")
        policy = WorkflowIDConflictPolicy.USE_EXISTING
        taken = await self.client.start_workflow("interop-order", id_conflict_policy=policy, **options)
        say("taken as it is", taken.result_run_id == order.result_run_id)

    async def with_start(self):
        options = self.options("with-start")
        for word in ("first", "second"):
            order = await self.client.start_workflow("interop-order", start_signal="add", start_signal_args=[word], **options)
        say("signal with start", await order.query("items"))
        for name in ("Eve", "Bob"):
            start = WithStartWorkflowOperation("interop-order", id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING, **options)
            asked = self.client.execute_update_with_start_workflow("rename", name, start_workflow_operation=start)
            say("update with start", await asked)
        fresh = self.options("with-start")
        start = WithStartWorkflowOperation(
            "interop-order", {"name": "Zoe"}, id_conflict_policy=WorkflowIDConflictPolicy.FAIL, **fresh
        )
        asked = self.client.execute_update_with_start_workflow("rename", "", start_workflow_operation=start)
        say("update with start, rejected", await self.answer(asked))
        await order.signal("done")
        say("its end", await order.result())
        await self.client.get_workflow_handle(fresh["id"]).terminate()

    async def interruptions(self):
        order = await self.start("interop-order")
        await order.query("name")
        await order.terminate("enough", reason="it is late")
        say("terminated", await self.end(order))
        cleaned = await self.start("interop-cleans-up")
        await cleaned.query("away")
        await cleaned.cancel()
        end = await self.end(cleaned)
        say("cancelled", end)
        say("what it put away", await cleaned.query("away"))
        late = await self.start("interop-order", execution_timeout=timedelta(seconds=1))
        say("timed out", await self.end(late))
        say("through all runs", await (await self.start("interop-goes-on", {"at": 1, "to": 4})).result())

    async def failures(self):
        for how in ("plainly", "activity", "child", "timeout", "mistake"):
            for one in await self.end(await self.start("interop-fails", how)):
                say(f"failure {how}", one)
        say("what a catch sees", await (await self.start("interop-catches")).result())

    async def children(self):
        parent = await self.start("interop-parent")
        say("children here", await self.end(parent))
        kinds = [EventType.Name(event.event_type) async for event in parent.fetch_history_events()]
        for kind in ("SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED", "EXTERNAL_WORKFLOW_EXECUTION_SIGNALED",
                     "CHILD_WORKFLOW_EXECUTION_COMPLETED", "CHILD_WORKFLOW_EXECUTION_CANCELED"):
            say(kind, kinds.count(f"EVENT_TYPE_{kind}"))
        handle = await self.client.start_workflow(
            "Parent", self.queue, id=f"python-parent-{uuid.uuid4()}", task_queue="interop-python",
            execution_timeout=timedelta(seconds=90),
        )
        say("children there", await self.end(handle))

    async def values(self):
        struct = Struct()
        struct.update({"a": [1.5, None, {"b": "é"}]})
        deep = []
        for _ in range(60):
            deep = [deep]
        values = {
            "null": None, "true": True, "empty text": "", "text": "Zoë 👩‍👩‍👧 \u0000 \u2028 e\u0301 \\ \" ${ input }",
            "zero": 0, "integer": 42, "2^53": 2**53, "double": 0.1 + 0.2, "large": 1e300, "small": 5e-324, "negative": -1.5,
            "empty list": [], "empty object": {}, "list": [1, [2, [3, None]], {}], "keys": {"": 1, "__proto__": 4, "a b": 2, "é": 3},
            "deep": deep, "many": list(range(5000)), "long": "x" * 100_000, "json in text": '{"a": 1}',
        }
        whole = {"bytes": BINARY, "no bytes": b""}
        exact = {
            "2^53 + 1": 2**53 + 1, "-2^63": -(2**63), "2^64 - 1": 2**64 - 1, "1.0": 1.0, "-0.0": -0.0, "1e300": 1e300,
            "doubles": [math.ldexp(1 + n * 0.000123456789, n % 2000 - 1000) for n in range(2000)],
        }
        beyond = {"2^64": 2**64, "googol": 10**100, "infinity": math.inf}
        await self.each("passes", values | whole | exact | beyond, lambda value: value, lambda answer: answer)
        await self.each("looks", values | exact, lambda value: {"value": value}, lambda answer: answer["value"])
        passed = MessageToDict(await (await self.start("interop-passes", struct)).result())
        assert passed == {"a": [1.5, None, {"b": "é"}]}, passed
        looked = await (await self.start("interop-looks", {"value": 2**64})).result()
        assert looked == {"value": 2.0**64, "again": [2.0**64]}, "an integer beyond 64 bits is a double to expressions"
        for arguments in ((), (None,), ("one",), ("one", None, [3])):
            say(f"{len(arguments)} arguments", await (await self.start("interop-arguments", *arguments)).result())

    async def each(self, how, values, wrap, unwrap):
        """Each value comes back as it went: of the same type, and written the same."""

        async def one(name, value):
            answer = unwrap(await (await self.start(f"interop-{how}", wrap(value))).result())
            if repr(answer) != repr(value):
                say(f"{how} {name}", [repr(value)[:500], repr(answer)[:500]])

        await asyncio.gather(*(one(name, value) for name, value in values.items()))
        say(how, "each value came back as it went")


async def main(address: str, queue: str):
    client = await Client.connect(address)
    async with Worker(client, task_queue="interop-python", activities=ACTIVITIES, workflows=WORKFLOWS):
        talk = Talk(client, queue)
        for part in (talk.messages, talk.interruptions, talk.failures, talk.children, talk.values):
            await part()


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 100))
# The SDK's own threads sometimes crash the interpreter while it ends.
sys.stdout.flush()
os._exit(0)
