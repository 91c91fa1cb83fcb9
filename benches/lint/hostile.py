"""`segno lint` over files made to hurt: time and peak memory of each. Every one of them must be refused.

Run by benches/lint/run:
    hostile.py SEGNO_BINARY
"""

import itertools
import os
import pathlib
import sys
import tempfile
import time


def bomb() -> str:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for of, name in zip("abcdefghi", "bcdefghij"):
        lines.append(f"{name}: &{name} [" + ", ".join([f"*{of}"] * 9) + "]")
    return "\n".join(lines)


def step(expression: str) -> str:
    return f"segno: 1\nworkflow: w\nsteps:\n  - if: '{expression}'\n    then:\n      - return: 1\n"


# Made one at a time, and never whole where it is large: a process is born with the peak of the one that began it.
FILES = {
    "alias bomb": lambda: bomb(),
    "250,000 aliases": lambda: "a: &a x\nb: [" + ",".join(["*a"] * 250_000) + "]",
    "100,000 open lists": lambda: "segno: " + "[" * 100_000,
    "100,000 closed lists": lambda: "segno: " + "[" * 100_000 + "]" * 100_000,
    "100,000 open mappings": lambda: "{a: " * 100_000,
    "100,000 nested list items": lambda: "- " * 100_000 + "x",
    "100,000 explicit keys": lambda: "? " * 100_000,
    "100 MB scalar": lambda: itertools.chain([b"segno: "], itertools.repeat(b"x" * (1 << 20), 100)),
    "1 MB of invalid UTF-8": lambda: [b"segno: " + b"\xff\xfe" * (1 << 19)],
    "1 MB of NUL bytes": lambda: [b"segno: " + b"\0" * (1 << 20)],
    "250,000 documents": lambda: "---\n" * 250_000,
    "60,000 unknown keys": lambda: "segno: 1\n" + "".join(f"key{i}: 1\n" for i in range(60_000)),
    "40,000 prefix operators": lambda: step("!" * 40_000 + "true"),
    "16,000 brackets": lambda: step("(" * 16_000),
}


def lint(segno: str, path: pathlib.Path) -> tuple[float, float]:
    began = time.monotonic()
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    child = os.posix_spawn(segno, [segno, "lint", str(path)], os.environ, file_actions=quiet)
    _, status, usage = os.wait4(child, 0)
    took = time.monotonic() - began
    if os.waitstatus_to_exitcode(status) != 1:
        raise SystemExit(f"{path.name} was not refused")
    return took, usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1 << 20)


def main() -> None:
    segno = os.path.abspath(sys.argv[1])
    print(f"{'hostile file':<28}{'seconds':>9}{'peak MiB':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for name, make in FILES.items():
            path = pathlib.Path(folder, f"{name}.yaml")
            content = make()
            with path.open("wb") as file:
                file.writelines([content.encode()] if isinstance(content, str) else content)
            del content
            took, peak = lint(segno, path)
            print(f"{name:<28}{took:>9.2f}{peak:>10.1f}")


main()
