"""Builds all tests and runs them, one job after another; ./test calls it.

Each job's output is printed when it ends, and is in target/suite/ while it runs.

    suite.py          everything
    suite.py quick    tests that need no server, except QUICK_SKIPPED
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import time
from dataclasses import dataclass

# How many tests are listed at the end.
SLOWEST = 20

# The output of each job, while it runs and afterwards.
LOGS = pathlib.Path("target/suite")


@dataclass
class Job:
    """Tests of one binary whose names begin with a prefix; a test belongs to the first job that fits it."""

    name: str
    binary: str
    prefixes: tuple = ("",)


# In this order. Tests on a server need the processors for themselves: beside others, workflow tasks time out.
JOBS = [
    Job("units", "segno"),
    Job("language", "language"),
    Job("local", "local"),
    Job("attack", "attack"),
    Job("hunt", "hunt"),
    Job("steps", "cluster", ("steps::",)),
    Job("simulator", "cluster", ("simulator::",)),
    Job("cluster", "cluster"),
]

# Tests without a server that take more than a few seconds each.
QUICK_SKIPPED = (
    "hostile::every_shape_costs_in_proportion_to_its_size",
    "hostile::every_other_shape_costs_in_proportion_to_its_size",
    "hostile::what_cannot_be_compiled_within_the_bounds_names_them",
    "random::random_programs_replay_and_go_on_as_they_did",
    "replay::every_golden_history",
    "golden::",
    "run::",
)

RESULT = re.compile(r"^test (\S+)(?: - should panic)? \.\.\. (ok|FAILED|ignored)[^<\n]*(?:<([0-9.]+)s>)?$", re.M)


class Suite:
    def __init__(self):
        self.begin = time.monotonic()
        self.failures = []
        self.timings = []

    def report(self, text):
        print(f"test: {time.monotonic() - self.begin:4.0f} s  {text}", flush=True)

    def check(self, name, command, **settings):
        """Runs a command; its output is shown again at the end if it fails."""
        begin = time.monotonic()
        log = LOGS / f"{name.split()[0]}.log"
        with log.open("w") as file:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, **settings)
        # The processor time includes that of its own processes.
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output = log.read_text(errors="replace")
        took = time.monotonic() - begin
        if process.returncode:
            self.failures.append((name, output))
        result = "failed" if process.returncode else "ok"
        print(output, end="")
        self.report(f"{name}: {result} in {took:.0f} s ({used.ru_utime + used.ru_stime:.0f} s of a processor)")
        return process.returncode, output

    def job(self, job, executables):
        for executable, tests in executables:
            if not tests:
                continue
            command = [executable, "--exact", "-Zunstable-options", "--report-time"]
            # Durations are unstable in the standard test harness. Never set this for Cargo: build scripts ask for it, and all would be built anew.
            environment = {**os.environ, "RUSTC_BOOTSTRAP": "1"}
            code, output = self.check(f"{job.name} ({len(tests)})", [*command, *tests], env=environment)
            results = RESULT.findall(output)
            passed = re.search(r"^test result: ok\. (\d+) passed", output, re.M)
            self.timings += [(float(took or 0), name, job.name) for name, _, took in results]
            # A binary that is left early, or a test that is renamed, must not pass unseen.
            if not code and (not passed or int(passed[1]) != len(tests)):
                self.failures.append((job.name, f"not all of {len(tests)} tests have run\n{output}"))

    def end(self):
        for took, name, job in sorted(self.timings, reverse=True)[:SLOWEST]:
            print(f"{took:8.1f} s  {job:10} {name}")
        for name, output in self.failures:
            print(f"\n==== {name} failed ====\n{failed_parts(output)}")
        took = time.monotonic() - self.begin
        print(f"\n{len(self.timings)} tests in {took:.0f} s; {summary(self.failures)}")
        return 1 if self.failures else 0


def summary(failures):
    return "failed: " + ", ".join(name for name, _ in failures) if failures else "all passed"


def failed_parts(output):
    """Without the lines of tests that passed."""
    return "\n".join(line for line in output.splitlines() if not re.match(r"^test .* \.\.\. ok", line))


def built(arguments):
    """The name and the path of each test binary."""
    command = ["cargo", "test", "--no-run", "--message-format=json-render-diagnostics", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    messages = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    tests = [m for m in messages if m.get("executable") and m["profile"]["test"]]
    return [(m["target"]["name"], m["executable"]) for m in tests]


def assigned(binaries, wanted):
    """Each job with its binaries and their tests. Every test is in exactly one job."""
    found = {job.name: [] for job in JOBS}
    for binary, path in binaries:
        listed = subprocess.run([path, "--list", "--format", "terse"], stdout=subprocess.PIPE, text=True, check=True)
        tests = [line.removesuffix(": test") for line in listed.stdout.splitlines() if line.endswith(": test")]
        own = sorted((job for job in JOBS if job.binary == binary), key=lambda job: job.prefixes == ("",))
        by_job = {job.name: [] for job in own}
        for test in filter(wanted, tests):
            job = next((job for job in own if test.startswith(job.prefixes)), None)
            if job is None:
                sys.exit(f"tools/suite.py has no job for {binary} {test}")
            by_job[job.name].append(test)
        for name, chosen in by_job.items():
            found[name].append((path, chosen))
    return [(job, found[job.name]) for job in JOBS]


def main():
    is_quick = sys.argv[1:] == ["quick"]
    if sys.argv[1:] not in ([], ["quick"]):
        sys.exit("usage: ./test [quick]")
    os.environ["CARGO_TERM_COLOR"] = os.environ.get("CARGO_TERM_COLOR", "auto")
    LOGS.mkdir(parents=True, exist_ok=True)
    suite = Suite()
    suite.check("format", ["cargo", "fmt", "--check"])
    targets = QUICK_TARGETS if is_quick else []
    suite.check("clippy", ["cargo", "clippy", *(targets or ["--all-targets"]), "--", "-D", "warnings"])
    binaries = built(targets)
    suite.report("built")
    wanted = (lambda test: not test.startswith(QUICK_SKIPPED)) if is_quick else (lambda test: True)
    for job, executables in assigned(binaries, wanted):
        suite.job(job, executables)
    if not is_quick:
        suite.check("documentation", ["cargo", "test", "--doc"])
    sys.exit(suite.end())


QUICK_TARGETS = ["--lib", "--bins", "--test", "language", "--test", "local"]

if __name__ == "__main__":
    main()
