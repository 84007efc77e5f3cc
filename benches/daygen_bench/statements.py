"""Which SQL statements a route costs, read from the log of the database server."""

import re
import time
from collections import Counter, defaultdict
from dataclasses import dataclass

from .load import ADMISSION, JOB, ME, USER, Api

# Requests to look at; the first ones of a connection are planned anew and would cost more.
WARM_UP = 20
SAMPLES = 10
# The server rereads its configuration soon after it was told to, not at once.
RELOAD_S = 0.5
LINE = re.compile(r"LOG:  duration: ([\d.]+) ms  (parse|bind|execute|statement)[^:]*: *(.*)")


@dataclass(frozen=True)
class Cost:
    """What the database does for one request."""

    statements: float
    # (text, milliseconds) of each statement, in the order of a request.
    parts: list
    # (text, times, milliseconds) likewise.
    parts_with_counts: list


def per_route(installation, user, job):
    """The cost of each route. The process must be quiet otherwise."""
    api = Api(installation.port)
    requests = {
        ME: lambda: api.call("GET", "/api/auth/me", user.token),
        USER: lambda: api.call("GET", "/api/users/me", user.token),
        JOB: lambda: api.call("GET", f"/api/jobs/{job}", user.token),
        ADMISSION: lambda: api.admit(user),
    }
    log = installation.server_log()
    configure(installation, "alter system set log_min_duration_statement = 0")
    try:
        return {route: cost(log, send) for route, send in requests.items()}
    finally:
        configure(installation, "alter system reset log_min_duration_statement")


def configure(installation, statement):
    """Changes the configuration of the running server."""
    installation.sql(statement, "select pg_reload_conf()")
    time.sleep(RELOAD_S)


def cost(log, send):
    """Sends a request some times and reads what the server logged meanwhile."""
    for _ in range(WARM_UP):
        send()
    begin = log.stat().st_size
    for _ in range(SAMPLES):
        send()
    return read(log, begin, SAMPLES)


def read(log, begin, samples):
    """The cost of each of `samples` things that were done since the log was `begin` bytes long.

    Binding is part of the statement it is followed by.
    """
    with log.open("rb") as file:
        file.seek(begin)
        text = file.read().decode(errors="replace")
    times = defaultdict(float)
    counts = Counter()
    # A statement of several lines goes on in lines that begin with a tab.
    for line in text.replace("\n\t", " ").splitlines():
        found = LINE.search(line)
        if not found:
            continue
        milliseconds, kind, statement = found.groups()
        statement = " ".join(statement.split())
        times[statement] += float(milliseconds)
        if kind in ("execute", "statement"):
            counts[statement] += 1
    parts = [(statement, times[statement] / samples) for statement in counts]
    with_counts = [(text, counts[text] / samples, milliseconds) for text, milliseconds in parts]
    return Cost(sum(counts.values()) / samples, parts, with_counts)
