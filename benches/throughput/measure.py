"""2,000 runs of one workflow on four kinds of worker, one server, one session: CPU, memory, workflows a second, and what
a parked, cached run takes.

Run by benches/throughput/run, which builds the workers and names them on the command line:
    measure.py TEMPORAL_BINARY RUNS CONCURRENCY NAME=COMMAND...
A command is split at spaces; {queue} stands for the task queue. The first name is what the others are compared with.
"""

import asyncio
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time

from server import connect, free_port
from temporalio.client import Client

TICKS = os.sysconf("SC_CLK_TCK")
# Fewer than the runs that each worker keeps cached.
PARKED = 900


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_kib(pid: int, key: str) -> int:
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(key))


async def park(client: Client, name: str, queue: str) -> None:
    """Starts runs that wait for an hour."""
    slots = asyncio.Semaphore(50)

    async def one(number: int) -> None:
        async with slots:
            await client.start_workflow("parked", f"{number}", id=f"{name}-parked-{number}", task_queue=queue)

    await asyncio.gather(*(one(number) for number in range(PARKED)))


async def settled(pid: int) -> None:
    """Waits until a process has had nearly nothing to do for three seconds."""
    while True:
        cpu = cpu_seconds(pid)
        await asyncio.sleep(3)
        if cpu_seconds(pid) - cpu < 0.1:
            return


async def measure(client: Client, name: str, command: str, runs: int, concurrency: int) -> dict:
    queue = f"bench-{name}"
    env = os.environ | {"TEMPORAL_ADDRESS": client.service_client.config.target_host}
    worker = subprocess.Popen(shlex.split(command.format(queue=queue)), env=env, stdout=subprocess.DEVNULL)
    try:
        slots = asyncio.Semaphore(concurrency)

        async def one(run: str) -> None:
            async with slots:
                result = await client.execute_workflow("throughput", run, id=f"{name}-{run}", task_queue=queue)
                assert result == f"{run} done", result

        async def all_of(names: list) -> None:
            """Every run, or the end of the worker, which none of them would survive."""
            work = asyncio.gather(*(one(run) for run in names))
            while not (await asyncio.wait([work], timeout=1))[0]:
                if worker.poll() is not None:
                    raise SystemExit(f"the worker of {name} ended with {worker.returncode}")
            await work

        await all_of([f"warm-{i}" for i in range(concurrency)])
        cpu, began = cpu_seconds(worker.pid), time.monotonic()
        await all_of([f"run-{i}" for i in range(runs)])
        took = time.monotonic() - began
        used = cpu_seconds(worker.pid) - cpu
        before = memory_kib(worker.pid, "VmRSS")
        await park(client, name, queue)
        await settled(worker.pid)
        return {
            "parked_kib": (memory_kib(worker.pid, "VmRSS") - before) / PARKED,
            "cpu_ms": used * 1000 / runs,
            "per_second": runs / took,
            "peak_mib": memory_kib(worker.pid, "VmHWM") / 1024,
        }
    finally:
        worker.send_signal(signal.SIGTERM)
        try:
            worker.wait(timeout=30)
        except subprocess.TimeoutExpired:
            worker.kill()


async def main() -> None:
    temporal, runs, concurrency = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    workers = [argument.split("=", 1) for argument in sys.argv[4:]]
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        arguments = [temporal, "server", "start-dev", "--headless", "--port", str(port), "--log-level", "error"]
        server = subprocess.Popen(arguments, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            client = await connect(f"127.0.0.1:{port}")
            rows = {}
            for name, command in workers:
                rows[name] = await measure(client, name, command, runs, concurrency)
        finally:
            server.terminate()
            server.wait()
    first = rows[workers[0][0]]
    print(f"{runs} runs at concurrency {concurrency}; ratios are CPU beside {workers[0][0]}")
    print(f"{'worker':<12}{'CPU ms/run':>12}{'ratio':>8}{'runs/s':>10}{'peak MiB':>10}{'KiB/parked':>12}")
    for name, row in rows.items():
        ratio = row["cpu_ms"] / first["cpu_ms"]
        print(f"{name:<12}{row['cpu_ms']:>12.2f}{ratio:>8.2f}{row['per_second']:>10.1f}{row['peak_mib']:>10.1f}{row['parked_kib']:>12.1f}")


asyncio.run(main())
