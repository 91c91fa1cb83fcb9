"""Serves one activity, traced as the official SDK traces it, and sends each span to a collector as JSON."""

import asyncio
import json
import os
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from temporalio import activity
from temporalio.client import Client
from temporalio.contrib.opentelemetry import TracingInterceptor
from temporalio.worker import Worker


class Exporter(SpanExporter):
    def export(self, spans):
        told = [
            {
                "trace": format(span.context.trace_id, "032x"),
                "id": format(span.context.span_id, "016x"),
                "parent": format(span.parent.span_id, "016x") if span.parent else "",
                "name": span.name,
            }
            for span in spans
        ]
        body = json.dumps(told).encode()
        urllib.request.urlopen(urllib.request.Request(sys.argv[2] + "/spans", data=body)).close()
        return SpanExportResult.SUCCESS


@activity.defn
def greet(name: str) -> str:
    with trace.get_tracer("greet").start_as_current_span("find words"):
        return f"Hello, {name}!"


async def main(task_queue: str) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Exporter()))
    trace.set_tracer_provider(provider)
    client = await Client.connect(os.environ["TEMPORAL_ADDRESS"], interceptors=[TracingInterceptor()])
    async with Worker(
        client, task_queue=task_queue, activities=[greet], activity_executor=ThreadPoolExecutor(2)
    ):
        await asyncio.Event().wait()


asyncio.run(main(sys.argv[1]))
