"""What the benchmarks need of a development server of their own."""

import asyncio
import socket

from temporalio.client import Client


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


async def connect(address: str) -> Client:
    for _ in range(100):
        try:
            return await Client.connect(address)
        except Exception:  # the server is not up yet
            await asyncio.sleep(0.1)
    raise SystemExit("the development server did not come up")
