"""The results of the queue as text."""

import os

from .phases import median
from .report import STATEMENT_WIDTH, filesystem, machine_load, percentile

AIM_RATE = 0.25
AIM_P50 = 1.5
AIM_P99_MS = 15
# Far above what a woken queue takes, far below the poll interval.
WAITED_MS = 100
# Statements that a job needs less often than this belong to starting, stopping and the duties.
RARE = 0.02


def settings(installation, plan, rivals_note):
    """What was run, on what."""
    names = ("server_version", "fsync", "synchronous_commit", "shared_buffers")
    shown = installation.sql(*(f"show {name}" for name in names))
    database = ", ".join(f"{name} {value}" for name, value in zip(names, shown))
    return [
        f"plan       {plan}",
        f"rivals     {rivals_note}",
        f"database   {database}",
        f"machine    {os.cpu_count()} processors, load before {machine_load()}, "
        f"database files on {filesystem(installation)}",
    ]


def drains(results, contenders, base_of):
    """Rates of enqueueing and working, and their ratios to apalis alone with as many slots."""
    lines = [f"{'':34}{'enqueue/s':>10}{'ratio':>7}{'drain/s':>9}{'ratio':>7}   each round/s"]
    for contender in contenders:
        name, base = contender.name, base_of(contender).name
        each = "  ".join(f"{rate:.0f}" for rate in results.rates(name, "drainS"))
        lines.append(
            f"{name:34}{median(results.rates(name, 'enqueueS')):10.0f}"
            f"{results.rate_ratio(name, base, 'enqueueS'):7.2f}"
            f"{median(results.rates(name, 'drainS')):9.0f}"
            f"{results.rate_ratio(name, base):7.2f}   {each}"
        )
    return lines


def latencies(results, contenders, base):
    """Milliseconds from the call that enqueues to the entry of the handler."""
    lines = [
        f"{'':34}{'p50':>7}{'p90':>7}{'p99':>7}{'max':>8}{'waited':>8}{'p50 ratio':>11}"
        f"{'enqueue p50':>13}   samples"
    ]
    for contender in contenders:
        name = contender.name
        samples = results.samples(name)
        shown = "".join(f"{percentile(samples, percent):7.2f}" for percent in (50, 90, 99))
        lines.append(
            f"{name:34}{shown}{samples[-1]:8.2f}{waited(samples):8}"
            f"{results.latency_ratio(name, base.name):11.2f}"
            f"{percentile(results.samples(name, 'enqueueMs'), 50):13.2f}   {len(samples)}"
        )
    return lines


def waited(samples):
    """How many samples look like waiting for the poll interval."""
    return sum(ms > WAITED_MS for ms in samples)


def cost(results):
    """The statements of a job, with the time the server gives for them."""
    found = results.cost
    lines = [f"{found.statements:.1f} statements a job, admission included"]
    for text, times, milliseconds in found.parts_with_counts:
        if times >= RARE:
            lines.append(f"  {times:6.2f} x {milliseconds:7.3f} ms  {text[:STATEMENT_WIDTH]}")
    return lines


def aims(results, pairs, latency_pair):
    """What is wanted beside what was found."""
    lines = [f"{'':52}{'found':>12}{'aim':>14}"]
    verdicts = {True: "met", False: "MISSED"}

    def row(what, found, aim, is_met):
        lines.append(f"{what:52}{found:>12}{aim:>14}   {verdicts[is_met]}")

    for own, bare in pairs:
        ratio = results.rate_ratio(own.name, bare.name)
        row(f"jobs / apalis alone, {own.slots} slots", f"{ratio:.2f}", f">= {AIM_RATE}", ratio >= AIM_RATE)
    own, bare = latency_pair
    ratio = results.latency_ratio(own.name, bare.name)
    row("admission to handler, p50 / apalis alone", f"{ratio:.2f}", f"<= {AIM_P50}", ratio <= AIM_P50)
    samples = results.samples(own.name)
    p99 = percentile(samples, 99)
    row("admission to handler, p99", f"{p99:.1f} ms", f"<= {AIM_P99_MS} ms", p99 <= AIM_P99_MS)
    count = waited(samples)
    row("samples that waited for the poll interval", str(count), "0", count == 0)
    return lines
