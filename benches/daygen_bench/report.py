"""The results as text."""

import os
import subprocess
from statistics import median

from .load import ADMISSION, CONNECTIONS, JOB, ME, THREADS, USER
from .phases import READ_FLOOR, WRITE_FLOOR

AIM_ME = 0.25
AIM_ADMISSION = 0.3
AIM_IDLE_MIB = 40
AIM_READY_S = 0.3

STATEMENT_WIDTH = 88


def settings(installation, plan, settings_of_service):
    """What was run, on what."""
    names = ("server_version", "fsync", "synchronous_commit", "shared_buffers")
    shown = installation.sql(*(f"show {name}" for name in names))
    database = ", ".join(f"{name} {value}" for name, value in zip(names, shown))
    raised = ", ".join(f"{name}={value}" for name, value in settings_of_service.items())
    return [
        f"plan       {plan}",
        f"clients    {CONNECTIONS} connections on {THREADS} threads, closed loop",
        f"service    development settings, and {raised}",
        f"database   {database}",
        f"machine    {os.cpu_count()} processors, load before {machine_load()}, "
        f"database files on {filesystem(installation)}",
    ]


def machine_load():
    """The load averages: who else computes makes everything slower."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def filesystem(installation):
    """The kind of file system under the cluster: on one in memory, a commit costs nothing."""
    command = ["stat", "-f", "-c", "%T", installation.server_log().parent]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def rates(results):
    """The floors and routes."""
    lines = [f"{'':28}{'median/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'failed':>8}   each round/s"]
    for name in (READ_FLOOR, ME, USER, JOB, WRITE_FLOOR, ADMISSION):
        of_rounds = [rates[name] for rates in results.rounds]
        each = "  ".join(f"{rate.per_second:.0f}" for rate in of_rounds)
        lines.append(
            f"{name:28}{results.median_rate(name):10.0f}"
            f"{middle(rate.p50_ms for rate in of_rounds):>9}"
            f"{middle(rate.p99_ms for rate in of_rounds):>9}"
            f"{sum(rate.failures for rate in of_rounds):8}   {each}"
        )
    return lines


def middle(values):
    """The median of what is known, as text."""
    known = [value for value in values if value is not None]
    return f"{median(known):.2f}" if known else ""


def others(results):
    """Jobs, starts and memory."""
    delays = results.start_delays_ms
    lines = [
        f"whole jobs with a 64x64 picture     {results.jobs / results.jobs_s:.0f}/s "
        f"({results.jobs} in {results.jobs_s:.1f} s)",
        f"admission to start, idle queue      p50 {percentile(delays, 50):.1f}  "
        f"p99 {percentile(delays, 99):.1f}  max {delays[-1]:.1f} ms  ({len(delays)} jobs)",
        f"ready on an empty home              {results.cold_start_s:.2f} s",
        f"ready with the database up          {median(results.warm_starts_s):.3f} s "
        f"(median of {len(results.warm_starts_s)}, "
        f"{min(results.warm_starts_s):.3f} to {max(results.warm_starts_s):.3f})",
    ]
    for what, resident, highest in results.memory:
        lines.append(f"{what:38}VmRSS {resident:6.1f} MiB, VmHWM {highest:6.1f} MiB")
    return lines


def percentile(ordered, percent):
    """The nearest-rank percentile of ordered values."""
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(rank, 1) - 1]


def aims(results):
    """What is wanted beside what was found."""
    me = results.ratio(ME, READ_FLOOR)
    admission = results.ratio(ADMISSION, WRITE_FLOOR)
    idle = results.memory[0][1]
    ready = median(results.warm_starts_s)
    rows = [
        (f"{ME} / key read", f"{me:.2f}", f">= {AIM_ME}", me >= AIM_ME),
        (f"{USER} / key read", f"{results.ratio(USER, READ_FLOOR):.2f}", "", None),
        (f"{JOB} / key read", f"{results.ratio(JOB, READ_FLOOR):.2f}", "", None),
        (
            f"{ADMISSION} / insert + notify",
            f"{admission:.2f}",
            f">= {AIM_ADMISSION}",
            admission >= AIM_ADMISSION,
        ),
        (
            "whole jobs / insert + notify",
            f"{results.jobs / results.jobs_s / results.median_rate(WRITE_FLOOR):.2f}",
            "",
            None,
        ),
        ("memory at rest", f"{idle:.1f} MiB", f"< {AIM_IDLE_MIB} MiB", idle < AIM_IDLE_MIB),
        ("ready, database up", f"{ready:.3f} s", f"<= {AIM_READY_S} s", ready <= AIM_READY_S),
    ]
    verdicts = {True: "met", False: "MISSED", None: ""}
    lines = [f"{'':40}{'found':>12}{'aim':>14}"]
    lines += [f"{what:40}{found:>12}{aim:>14}   {verdicts[met]}" for what, found, aim, met in rows]
    return lines


def costs(results):
    """Statements of each route, with the time the server gives for them."""
    lines = []
    for route, cost in results.costs.items():
        total = sum(milliseconds for _, milliseconds in cost.parts)
        lines.append(f"{route}: {cost.statements:g} statements, {total:.2f} ms in the database")
        lines += [f"  {ms:7.3f} ms  {text[:STATEMENT_WIDTH]}" for text, ms in cost.parts]
    return lines


def show(title, lines):
    """Prints a section."""
    print(f"\n{title}\n{'-' * len(title)}", *lines, sep="\n", flush=True)
