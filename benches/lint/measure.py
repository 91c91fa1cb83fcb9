"""`segno lint` over a folder of generated definitions: time, CPU and peak memory, the best and the median of five.

Run by benches/lint/run:
    measure.py SEGNO_BINARY TEMPLATE COUNT
Each definition is the template with its own number for each `@`.
"""

import os
import pathlib
import statistics
import sys
import tempfile
import time

REPEATS = 5


def lint(segno: str, folder: str) -> tuple[float, float, float]:
    began = time.monotonic()
    child = os.posix_spawn(
        segno,
        [segno, "lint", folder],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, usage = os.wait4(child, 0)
    took = time.monotonic() - began
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit("segno lint found errors in the generated definitions")
    kib = usage.ru_maxrss if sys.platform != "darwin" else usage.ru_maxrss / 1024
    return took, usage.ru_utime + usage.ru_stime, kib / 1024


def main() -> None:
    segno, template, count = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).read_text(), int(sys.argv[3])
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            path = pathlib.Path(folder, f"{number % 10}", f"order-{number}.yaml")
            path.parent.mkdir(exist_ok=True)
            path.write_text(template.replace("@", str(number)))
        rows = [lint(segno, folder) for _ in range(REPEATS)]
    lines = template.count("\n")
    print(f"{count} definitions of {lines} lines, {REPEATS} times")
    for name, unit, column in (("wall", "s", 0), ("CPU", "s", 1), ("peak memory", "MiB", 2)):
        values = [row[column] for row in rows]
        print(f"{name:<12}{min(values):>8.2f} {unit} best{statistics.median(values):>8.2f} {unit} median")


main()
