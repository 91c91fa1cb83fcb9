"""Deploys again and again: how soon new runs have the new version, whether runs in flight keep theirs, and what many take.

Run by benches/deploy/run: measure.py TEMPORAL_BINARY RELEASE_FOLDER DEPLOYMENTS DEFINITIONS MANY
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from server import connect, free_port
from temporalio.client import Client

QUEUE = "deploy"
# Runs that begin in each of so many deployments, and wait for the end of all of them.
IN_FLIGHT_DEPLOYMENTS, IN_FLIGHT_RUNS = 50, 10
DEFINITION_SIZE = 10_000
QUICK = "segno: 1\nworkflow: quick\nsteps:\n  - return: version {version}\n"
HELD = """\
segno: 1
workflow: held
steps:
  - wait: {{ signal: finish }}
  - return: version {version}
queries:
  version: version {version}
"""


class Bench:
    def __init__(self, client: Client, segno: str, address: str, folder: Path):
        self.client, self.segno, self.address, self.folder = client, segno, address, folder

    def deploy(self, folder: Path, registry: str) -> dict:
        arguments = [self.segno, "deploy", str(folder), "--yes", "--output", "json"]
        arguments += ["--registry", registry, "--address", self.address]
        done = subprocess.run(arguments, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(done.stderr or done.stdout)
        return json.loads(done.stdout)

    def deploy_version(self, version: int) -> None:
        (self.folder / "quick.yaml").write_text(QUICK.format(version=version))
        (self.folder / "held.yaml").write_text(HELD.format(version=version))
        self.deploy(self.folder, "segno-registry")

    async def first_runs(self, deployments: int) -> None:
        delays, took, held = [], [], []
        for version in range(1, deployments + 1):
            begun = time.monotonic()
            await asyncio.to_thread(self.deploy_version, version)
            deployed = time.monotonic()
            took.append(deployed - begun)
            run = 0
            while True:
                started = time.monotonic()
                result = await self.client.execute_workflow("quick", id=f"quick-{version}-{run}", task_queue=QUEUE)
                if result == f"version {version}":
                    break
                run += 1
            delays.append(started - deployed)
            if version <= IN_FLIGHT_DEPLOYMENTS:
                for run in range(IN_FLIGHT_RUNS):
                    handle = await self.client.start_workflow("held", id=f"held-{version}-{run}", task_queue=QUEUE)
                    # A run is bound when its first task is done, which a query waits for.
                    held.append((await handle.query("version"), version, handle))
        delays.sort()
        took.sort()
        print(f"{deployments} deployments, each a command of {took[len(took) // 2] * 1e3:.0f} ms (median)")
        at = lambda share: delays[min(len(delays) - 1, int(len(delays) * share))] * 1e3
        print(f"from its end to the start of the first run on the new version: median {at(0.5):.1f} ms, p99 {at(0.99):.1f} ms, at most {delays[-1] * 1e3:.1f} ms")
        await asyncio.gather(*[handle.signal("finish") for _, _, handle in held])
        results = await asyncio.gather(*[handle.result() for _, _, handle in held])
        own = sum(
            began == result == f"version {version}" for (began, version, _), result in zip(held, results)
        )
        print(f"{len(held)} runs in flight, begun in {min(deployments, IN_FLIGHT_DEPLOYMENTS)} deployments: {own} ended on their own version")

    def large(self, definitions: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for number in range(definitions):
                steps = "".join(
                    f"  - set: {{ v{number}_{step}: 'text {number} of step {step}, which says something of its own' }}\n"
                    for step in range(10_000)
                    if step * 78 < DEFINITION_SIZE
                )
                text = f"segno: 1\nworkflow: large-{number}\nsteps:\n{steps}  - return: {number}\n"
                (Path(folder) / f"{number}.yaml").write_text(text)
            size = sum(file.stat().st_size for file in Path(folder).iterdir())
            begun = time.monotonic()
            done = self.deploy(Path(folder), "large")
            took = time.monotonic() - begun
        print(f"{len(done['changes'])} definitions of {size // definitions} bytes in one command: {took:.1f} s")


async def main() -> None:
    temporal, release = sys.argv[1], sys.argv[2]
    deployments, definitions, many = (int(argument) for argument in sys.argv[3:6])
    address = f"127.0.0.1:{free_port()}"
    server = subprocess.Popen(
        [temporal, "server", "start-dev", "--headless", "--log-level", "never", "--port", address.split(":")[1]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    worker = None
    try:
        client = await connect(address)
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(client, f"{release}/segno", address, Path(folder))
            bench.deploy_version(0)
            arguments = [bench.segno, "worker", "--task-queue", QUEUE, "--address", address]
            worker = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            await client.execute_workflow("quick", id="first", task_queue=QUEUE)
            await bench.first_runs(deployments)
            bench.large(definitions)
        subprocess.run([f"{release}/segno-bench-deploy", address, "many", str(many)], check=True)
    finally:
        if worker:
            worker.terminate()
        server.terminate()


asyncio.run(main())
