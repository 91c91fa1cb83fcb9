"""What the cases call: activities on the task queue `steps`, a Nexus service at the endpoint `steps`, and an HTTP server whose
address is the first argument.
"""

import asyncio
import base64
import collections
import http.server
import json
import signal
import sys
import threading
import uuid
from collections.abc import Sequence
from datetime import timedelta

import nexusrpc.handler
from temporalio import activity, nexus, workflow
from temporalio.client import AsyncActivityCancelledError, Client
from temporalio.common import RawValue
from temporalio.envconfig import ClientConfig
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

TASK_QUEUE = "steps"
BEAT = 0.05


@activity.defn
async def echo(value=None):
    return value


@activity.defn
async def echo_all(first=None, second=None, third=None):
    return [first, second, third]


@activity.defn
async def sleep(seconds: float):
    await asyncio.sleep(seconds)
    return "slept"


@activity.defn
async def fail_and_hang():
    """The first attempt fails, the others go on for ever."""
    if activity.info().attempt == 1:
        raise ApplicationError("not this time", type="Flaky")
    await asyncio.sleep(3600)


@activity.defn
async def attempt():
    """Which attempt this is."""
    return activity.info().attempt


@activity.defn
async def fail(what: dict):
    """Fails, or with `times` so often, and then tells the attempt."""
    if activity.info().attempt > what.get("times", sys.maxsize):
        return activity.info().attempt
    error = ApplicationError(
        what.get("message", "it failed"),
        *what.get("details", []),
        type=what.get("type"),
        non_retryable=what.get("non_retryable", False),
    )
    cause = what.get("cause")
    raise error from (ApplicationError(cause["message"], type=cause.get("type")) if cause else None)


@activity.defn
async def crash(message: str):
    """Fails as code does that nobody thought through."""
    raise ValueError(message)


@activity.defn
async def until_cancelled(on_cancel: str = "raise"):
    """Signals that it runs and sends heartbeats until it is cancelled; then it gives in, completes, fails, or first takes
    its time."""
    info = activity.info()
    await CLIENT.get_workflow_handle(info.workflow_id).signal("running")
    try:
        while True:
            activity.heartbeat("still here")
            await asyncio.sleep(BEAT)
    except asyncio.CancelledError:
        if on_cancel == "complete slowly":
            await asyncio.sleep(5)
        if on_cancel.startswith("complete"):
            return "completed all the same"
        if on_cancel == "fail":
            raise ApplicationError("it cannot stop cleanly", type="Unstoppable", non_retryable=True)
        if on_cancel == "slowly":
            await asyncio.sleep(0.3)
        raise


@activity.defn
async def silent():
    """Sends no heartbeat and does not end."""
    await asyncio.sleep(3600)


@activity.defn
async def resume():
    """Goes on from the heartbeat of the attempt before; each attempt does two more and then fails, up to six."""
    details = activity.info().heartbeat_details
    done = details[0] if details else 0
    for _ in range(2):
        done += 1
        activity.heartbeat(done)
    if done < 6:
        # A heartbeat that waits to be sent is not lost with its attempt.
        await asyncio.sleep(0.15)
        raise ApplicationError(f"stopped at {done}", type="Stopped")
    return {"done": done, "attempt": activity.info().attempt}


@activity.defn
async def act(what: dict):
    """As the HTTP server does."""
    status, answer = await asyncio.to_thread(acted, what["act"])
    if status != 200:
        raise ApplicationError(f"the ledger answered {status}", type="Refused")
    return answer


@activity.defn
async def big(size_bytes: int):
    return "x" * size_bytes


@activity.defn
async def nothing():
    return None


@activity.defn
async def binary() -> bytes:
    return b"\x00\x01\x02"


@activity.defn(dynamic=True)
async def any_other(args: Sequence[RawValue]):
    """Whatever the examples of the reference name: its result is its input, after so many `minutes`; where that has `refused`,
    it fails with that type."""
    values = [activity.payload_converter().from_payload(arg.payload) for arg in args]
    value = values[0] if values else None
    if isinstance(value, dict) and value.get("refused"):
        raise ApplicationError(f"{activity.info().activity_type} refused", type=value["refused"], non_retryable=True)
    if isinstance(value, dict) and value.get("minutes"):
        await asyncio.sleep(60 * value["minutes"])
    return value


CLIENT: Client


@activity.defn
async def completed_from_outside():
    handle = CLIENT.get_async_activity_handle(task_token=activity.info().task_token)

    async def complete():
        await asyncio.sleep(0.1)
        await handle.complete("from outside")

    TASKS.add(asyncio.create_task(complete()))
    activity.raise_complete_async()


TASKS: set = set()

ACTIVITIES = [
    act,
    echo, echo_all, sleep, attempt, fail, crash, until_cancelled, silent, resume, big, nothing, binary,
    completed_from_outside, fail_and_hang, any_other,
]


@workflow.defn(name="nexus-operation")
class Operation:
    @workflow.run
    async def run(self, what: dict):
        if what.get("hang"):
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if not what.get("completes"):
                    raise
        if what.get("fail"):
            raise ApplicationError(what["fail"], type="OperationFailed", non_retryable=True)
        return {"slow": what.get("value")}


@nexusrpc.handler.service_handler(name="quotes")
class Quotes:
    @nexusrpc.handler.sync_operation
    async def quick(self, _: nexusrpc.handler.StartOperationContext, value: dict) -> dict:
        if value.get("fail"):
            raise nexusrpc.OperationError(value["fail"], state=nexusrpc.OperationErrorState.FAILED)
        if value.get("refuse"):
            raise nexusrpc.HandlerError(value["refuse"], type=nexusrpc.HandlerErrorType.BAD_REQUEST)
        return {"quick": value.get("value")}

    @nexus.workflow_run_operation
    async def slow(self, ctx: nexus.WorkflowRunOperationContext, value: dict) -> nexus.WorkflowHandle[dict]:
        return await ctx.start_workflow(Operation.run, value, id=f"nexus-{uuid.uuid4()}")


class Endpoint(http.server.BaseHTTPRequestHandler):
    """`/echo/X`, `/fail/KEY/TIMES`, `/slow/MILLIS`, `/status/CODE`, and `/signal/WORKFLOW_ID/NAME/TIMES/MILLIS`: signals, at
    most so often, and answers when the signal has arrived and the time has passed. Whoever posts to `/callback/HOW/…` hands
    over an activity, which is completed so a little later; to `/job/KEY`, begins a job, whose state at `/state/KEY` is once busy and
    in the end done."""

    loop: asyncio.AbstractEventLoop
    asked: collections.Counter = collections.Counter()

    def do_GET(self):
        what, *rest = self.path.strip("/").split("/")
        Endpoint.asked[self.path] += 1
        times = Endpoint.asked[self.path]
        match what:
            case "fail" if times <= int(rest[1]):
                return self.answer(503, {"busy": True})
            case "state" if times < 6:
                state = {"state": "running"} if times != 3 else {"busy": True}
                return self.answer(503 if times == 3 else 200, state, {"retry-after": "0"})
            case "state":
                return self.answer(200, {"state": "done", "pages": 12})
            case "status":
                return self.answer(int(rest[0]), {"status": rest[0]})
            case "slow":
                threading.Event().wait(int(rest[0]) / 1000)
            case "signal":
                if times <= int(rest[2]):
                    sent = CLIENT.get_workflow_handle(rest[0]).signal(rest[1], times)
                    asyncio.run_coroutine_threadsafe(sent, Endpoint.loop).result(timeout=10)
                threading.Event().wait(int(rest[3]) / 1000)
        self.answer(200, {"said": rest[0]} if what == "echo" else {"done": True})

    def do_POST(self):
        what, how, *rest = self.path.strip("/").split("/")
        if what == "job":
            return self.answer(202, {"state": "begun"}, {"location": f"/state/{how}", "retry-after": "0"})
        if what not in ("callback", "act"):
            return self.answer(404, {"nothing": "here"})
        length = int(self.headers.get("content-length", 0))
        sent = json.loads(self.rfile.read(length) or "null")
        if what == "act":
            return self.answer(*acted(sent))
        Endpoint.asked[self.path] += 1
        times = Endpoint.asked[self.path]
        if how == "busy" and times <= int(rest[1]):
            return self.answer(503, {"busy": True})
        token = base64.b64decode(self.headers["segno-task-token"])
        workflow = self.headers["segno-workflow-id"]
        Endpoint.loop.call_soon_threadsafe(complete_later, how, times, token, workflow, sent)
        self.answer(202, {"taken": True})

    def answer(self, status: int, body: dict, headers: dict = {}):
        data = json.dumps(body).encode()
        self.send_response_only(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        try:
            self.wfile.write(data)
        except OSError:
            pass

    def log_message(self, *_):
        pass


def acted(what: dict) -> tuple[int, dict]:
    """What tests/hunt writes: an effect under its key, after so many `ms` and attempts that fail."""
    Endpoint.asked[what["key"]] += 1
    threading.Event().wait(what.get("ms", 0) / 1000)
    if what.get("hopeless") or Endpoint.asked[what["key"]] <= what.get("fails", 0):
        return 503, {"key": what["key"]}
    return 200, {"key": what["key"], "pad": "x" * what.get("size", 0)}


def complete_later(*what):
    task = asyncio.ensure_future(complete_outside(*what))
    TASKS.add(task)
    task.add_done_callback(TASKS.discard)


async def complete_outside(how: str, times: int, token: bytes, workflow_id: str, sent):
    """What somebody outside does with an activity that was handed over: the `times`th one."""
    handle = CLIENT.get_async_activity_handle(task_token=token)
    match how:
        case "fail":
            await handle.fail(ApplicationError("nobody answered", {"asked": 3}, type="NoAnswer", non_retryable=True))
        case "fail-once" if times == 1:
            await handle.heartbeat("half")
            await handle.fail(ApplicationError("the line is busy", type="Busy"))
        case "silent-once" if times == 1:
            await handle.heartbeat({"page": 7})
        case "fail-once" | "silent-once":
            await handle.complete({"last": sent["last_heartbeat"]})
        case "until-cancelled":
            await CLIENT.get_workflow_handle(workflow_id).signal("running")
            try:
                while True:
                    await handle.heartbeat("still here")
                    await asyncio.sleep(BEAT)
            except AsyncActivityCancelledError:
                await handle.report_cancellation("cleaned up")
        case _:
            await handle.complete({"approved": True, "by": sent.get("by", "nobody")})


async def main(http_port: int) -> None:
    global CLIENT
    config = ClientConfig.load_client_connect_config()
    CLIENT = await Client.connect(**config)
    Endpoint.loop = asyncio.get_running_loop()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", http_port), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    worker = Worker(
        CLIENT,
        task_queue=TASK_QUEUE,
        activities=ACTIVITIES,
        workflows=[Operation],
        nexus_service_handlers=[Quotes()],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_concurrent_activities=500,
        max_heartbeat_throttle_interval=timedelta(seconds=BEAT),
        default_heartbeat_throttle_interval=timedelta(seconds=BEAT),
    )
    async with worker:
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
