"""Activities of a worker that encrypts, on the task queue that the first argument names; the others are keys, ID=FILE."""

import asyncio
import base64
import dataclasses
import os
import pathlib
import sys

import temporalio.converter
from encryption import Encryption
from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker


@activity.defn
async def charge(order: dict) -> dict:
    return {"receipt": f"{order['word']}-receipt"}


@activity.defn
async def decline(order: dict) -> None:
    raise ApplicationError(f"{order['word']} was declined", {"word": order["word"]}, type="Declined", non_retryable=True)


@activity.defn
async def resume(order: dict) -> str:
    """Fails once, after a heartbeat that the next attempt goes on from."""
    if activity.info().attempt == 1:
        activity.heartbeat(f"{order['word']}-half")
        raise ApplicationError(f"{order['word']} stopped")
    return activity.info().heartbeat_details[0]


@activity.defn
async def made(kind: str):
    """A value of each kind that the SDK's default converters know."""
    return {
        "json": {"b": [1, 2.5, None], "a": "ü"},
        "bytes": b"\x00\xff\x10",
        "null": None,
        "protobuf": WorkflowExecution(workflow_id="w", run_id="r"),
    }[kind]


@activity.defn
async def seen(value: RawValue) -> dict:
    """How it came."""
    payload = value.payload
    metadata = {name: text.decode() for name, text in payload.metadata.items()}
    return {**metadata, "data": base64.b64encode(payload.data).decode()}


@activity.defn
async def read(execution: WorkflowExecution, data: bytes, nothing: None, rest: dict) -> list:
    """Each as its own type."""
    return [execution.workflow_id, data.hex(), nothing is None, rest["a"]]


async def main() -> None:
    keys = [argument.split("=", 1) for argument in sys.argv[2:]]
    keys = [(name, bytes.fromhex(pathlib.Path(path).read_text())) for name, path in keys]
    converter = dataclasses.replace(
        temporalio.converter.default(),
        payload_codec=Encryption(keys),
        failure_converter_class=temporalio.converter.DefaultFailureConverterWithEncodedAttributes,
    )
    client = await Client.connect(os.environ["TEMPORAL_ADDRESS"], data_converter=converter)
    activities = [charge, decline, resume, made, seen, read]
    await Worker(client, task_queue=sys.argv[1], activities=activities).run()


asyncio.run(main())
