"""Edits a definition again and again while runs of it are in flight; each must end on the version it began with.

Run by benches/edits/run: measure.py TEMPORAL_BINARY SEGNO_BINARY EDITS RUNS_PER_EDIT
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from server import connect, free_port
from temporalio.client import Client

QUEUE = "edits"
DEFINITION = """\
segno: 1
workflow: versioned
steps:
  - wait: {{ signal: finish }}
  - return: version {version}
queries:
  version: {version}
"""


def start_worker(segno: str, folder: Path, address: str) -> subprocess.Popen:
    arguments = [segno, "worker", "--definitions", str(folder), "--task-queue", QUEUE, "--address", address]
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def measure(client: Client, segno: str, folder: Path, address: str, edits: int, per_edit: int) -> None:
    definition = folder / "versioned.yaml"
    definition.write_text(DEFINITION.format(version=0))
    worker = start_worker(segno, folder, address)
    runs, delays, number = [], [], 0

    async def start() -> int:
        nonlocal number
        number += 1
        handle = await client.start_workflow("versioned", id=f"run-{number}", task_queue=QUEUE)
        version = await handle.query("version")
        runs.append((handle, version))
        return version

    try:
        await start()
        for version in range(1, edits + 1):
            temporary = folder / "versioned.tmp"
            temporary.write_text(DEFINITION.format(version=version))
            os.replace(temporary, definition)
            edited = time.monotonic()
            while await start() != version:
                await asyncio.sleep(0.01)
            delays.append(time.monotonic() - edited)
            for _ in range(per_edit - 1):
                await start()
            if version % 10 == 0:
                worker.send_signal(signal.SIGKILL)
                worker.wait()
                worker = start_worker(segno, folder, address)
        results = []
        for handle, version in runs:
            await handle.signal("finish")
        for handle, version in runs:
            results.append((await handle.result(), f"version {version}"))
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait()
    wrong = [pair for pair in results if pair[0] != pair[1]]
    delays.sort()
    print(f"{edits} edits, {len(runs)} runs in flight, the worker killed {edits // 10} times")
    print(f"runs that ended on another version than they began with: {len(wrong)}")
    print(
        f"from an edit to the start of the first run on it: median {delays[len(delays) // 2]:.2f} s, "
        f"longest {delays[-1]:.2f} s"
    )
    if wrong:
        raise SystemExit(1)


async def main() -> None:
    temporal, segno, edits, per_edit = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        arguments = [temporal, "server", "start-dev", "--headless", "--port", str(port), "--log-level", "error"]
        server = subprocess.Popen(arguments, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            definitions = Path(folder) / "definitions"
            definitions.mkdir()
            address = f"127.0.0.1:{port}"
            await measure(await connect(address), segno, definitions, address, edits, per_edit)
        finally:
            server.terminate()
            server.wait()


asyncio.run(main())
