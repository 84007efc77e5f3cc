"""The measurements, each on an installation whose processes it starts and stops itself."""

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

from . import load, statements
from .installation import SERVER, SERVER_AND_WORKER, WORKER

READ_FLOOR = "key read (pgbench)"
WRITE_FLOOR = "insert + notify (pgbench)"

# The settling time before memory counts as idle.
IDLE_S = 3
# Uncounted load before the rounds: pools and prepared statements are filled once per process.
WARM_UP_S = 1
JOB_LIMIT_S = 120
# Pause between two admissions on the idle queue, seconds: beyond the second looks of the queue,
# and uneven, so that the admissions do not fall into step with its polling.
PAUSE_S = (0.08, 0.16)


@dataclass
class Results:
    """Everything that was measured."""

    cold_start_s: float = 0.0
    warm_starts_s: list = field(default_factory=list)
    # (what, VmRSS, VmHWM) in MiB.
    memory: list = field(default_factory=list)
    start_delays_ms: list = field(default_factory=list)
    jobs: int = 0
    jobs_s: float = 0.0
    # One dictionary of name -> Rate for each round.
    rounds: list = field(default_factory=list)
    costs: dict = field(default_factory=dict)

    def note_memory(self, what, process):
        """Keeps what a process uses now and what it used at most."""
        row = (what, process.memory_mib("VmRSS"), process.memory_mib("VmHWM"))
        self.memory.append(row)

    def ratio(self, name, floor):
        """The median over the rounds of a rate against the floor of the same round."""
        pairs = [(rates[name].per_second, rates[floor].per_second) for rates in self.rounds]
        return median(rate / base for rate, base in pairs)

    def median_rate(self, name):
        """The median rate over the rounds."""
        return median(rates[name].per_second for rates in self.rounds)


@contextmanager
def running(installation, mode, waits=True):
    """A process of the service, stopped at the end."""
    process = installation.start(mode)
    if waits:
        process.wait_ready()
    yield process
    process.stop()


def starts(installation, results, plan):
    """Start on an empty home, then with the database up, then memory at rest."""
    process = installation.start(SERVER_AND_WORKER)
    results.cold_start_s = process.wait_ready()
    process.stop()
    for _ in range(plan.starts):
        process = installation.start(SERVER_AND_WORKER)
        results.warm_starts_s.append(process.wait_ready())
        process.stop()
    with running(installation, SERVER_AND_WORKER) as process:
        time.sleep(IDLE_S)
        results.note_memory("idle after start, server and worker", process)


def start_delays(installation, results, users, plan, random):
    """Admissions one at a time while the worker has nothing else to do."""
    with running(installation, SERVER_AND_WORKER):
        api = load.Api(installation.port)
        for _ in range(plan.delays):
            api.admit(random.choice(users))
            time.sleep(random.uniform(*PAUSE_S))
        wait_until_done(installation)
    rows = installation.sql("select extract(epoch from started_at - created_at) * 1000 from jobs")
    results.start_delays_ms = sorted(float(row) for row in rows)


def lifecycle(installation, results, users, plan):
    """Jobs admitted first, then worked by a process that does nothing else; gives the jobs."""
    with running(installation, SERVER):
        jobs = load.admit_many(installation.port, users, plan.jobs)
    with running(installation, WORKER, waits=False) as process:
        wait_until_done(installation)
        results.note_memory("worker after the jobs", process)
    # The database's own times: starting the process and looking for the end do not count.
    seconds = installation.sql(
        "select extract(epoch from max(completed_at) - min(started_at)) from"
        f" (select * from jobs order by created_at desc limit {plan.jobs}) admitted"
    )
    results.jobs, results.jobs_s = plan.jobs, float(seconds[0])
    return jobs


def wait_until_done(installation):
    """Waits until no job is open; a job that failed ends the run."""
    deadline = time.monotonic() + JOB_LIMIT_S
    while installation.sql("select 1 from jobs where status in ('PENDING', 'PROCESSING') limit 1"):
        if time.monotonic() > deadline:
            raise SystemExit("the jobs were not done in time")
        time.sleep(0.5)
    if installation.sql("select 1 from jobs where status <> 'COMPLETED' limit 1"):
        raise SystemExit("a job failed")


def rounds(installation, results, files, plan):
    """Floors and routes in turn, so that a slow moment of the machine meets both."""

    def floor(script, number):
        return load.pgbench(installation, script, plan.seconds, plan.seed + number)

    def route(name):
        return load.wrk(installation.port, files[name], plan.seconds)

    with running(installation, SERVER) as process:
        for requests in files.values():
            load.wrk(installation.port, requests, WARM_UP_S)
        for number in range(plan.rounds):
            begin_alike(installation)
            rates = {READ_FLOOR: floor("floor_read.sql", number)}
            rates |= {name: route(name) for name in (load.ME, load.USER, load.JOB)}
            rates[WRITE_FLOOR] = floor("floor_write.sql", number)
            rates[load.ADMISSION] = route(load.ADMISSION)
            results.rounds.append(rates)
        results.note_memory("server after the rounds", process)


def begin_alike(installation):
    """Brings the database into the state that every round begins in.

    No waiting jobs: no worker is there to work them, and admission counts those of its user. And
    fresh statistics: the plans for tables that have just grown from nothing depend on when
    autovacuum last came by.
    """
    installation.sql(
        "update jobs set status = 'CANCELLED', next_run_at = null, completed_at = now()"
        " where status = 'PENDING'",
        "delete from apalis.jobs where status = 'Pending'",
        "vacuum analyze",
        "checkpoint",
    )


def sql_costs(installation, results, user, job):
    """Statements of one request of each route, on a process with nothing else to do."""
    with running(installation, SERVER):
        results.costs = statements.per_route(installation, user, job)


def memory_under_load(installation, results, files, plan):
    """Reads and admissions while the same process works the jobs."""
    with running(installation, SERVER_AND_WORKER) as process:
        for name in (load.ME, load.ADMISSION):
            load.wrk(installation.port, files[name], plan.seconds)
        results.note_memory("under load, server and worker", process)
