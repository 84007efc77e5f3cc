"""Who asks: users of the API, and the two load generators."""

import http.client
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .installation import run

BENCHES = Path(__file__).resolve().parent.parent

CONNECTIONS = 16
THREADS = 2
FLOOR_ROWS = 10_000
CREDITS = 100_000
PASSWORD = "correct horse battery staple"
# The smallest picture there is: the least work behind a job.
WANTED = {"prompt": "A lighthouse at dusk", "providerOptions": {"width": 64, "height": 64}}

ME = "GET /api/auth/me"
USER = "GET /api/users/me"
JOB = "GET /api/jobs/:id"
ADMISSION = "POST /api/image/flux"

# What a program may take beyond the time it measures.
SLACK_S = 30


@dataclass(frozen=True)
class User:
    """A user with credits, signed in."""

    email: str
    token: str


@dataclass(frozen=True)
class Rate:
    """What a load generator found."""

    per_second: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    failures: int = 0


class Api:
    """A client with one connection."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def call(self, method, path, token=None, body=None):
        """Sends a request and gives the answer's JSON; anything but a success ends the run."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if not 200 <= answer.status < 300:
            raise SystemExit(f"{method} {path} answered {answer.status}: {text[:300]!r}")
        return json.loads(text)

    def admit(self, user):
        """Asks for a picture; gives the job's id."""
        return self.call("POST", "/api/image/flux", user.token, WANTED)["jobId"]


def sign_up(installation, count):
    """Makes users with credits, signed in."""

    def one(number):
        api = Api(installation.port)
        email = f"bench-{number}@example.com"
        account = {"email": email, "password": PASSWORD}
        api.call("POST", "/api/auth/signup", body={**account, "displayName": f"Bench {number}"})
        token = api.call("POST", "/api/auth/login", body=account)["accessToken"]
        installation.task("credits_adjust", f"user:{email}", f"amount:{CREDITS}")
        return User(email, token)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, range(count)))


def admit_many(port, users, count):
    """Admits `count` jobs, spread evenly over the users; gives them as (user, id)."""

    def some(client):
        api = Api(port)
        turns = range(client, count, CONNECTIONS)
        return [(users[turn % len(users)], api.admit(users[turn % len(users)])) for turn in turns]

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return [job for part in pool.map(some, range(CONNECTIONS)) for job in part]


def request_files(folder, users, jobs):
    """Writes, for each route, the file of requests that wrk sends in turn; gives their paths."""
    body = json.dumps(WANTED)
    lines = {
        ME: [("GET", "/api/auth/me", user.token, "") for user in users],
        USER: [("GET", "/api/users/me", user.token, "") for user in users],
        JOB: [("GET", f"/api/jobs/{job}", user.token, "") for user, job in jobs],
        ADMISSION: [("POST", "/api/image/flux", user.token, body) for user in users],
    }
    files = {}
    for number, (route, requests) in enumerate(lines.items()):
        files[route] = folder / f"requests-{number}.tsv"
        files[route].write_text("".join("\t".join(request) + "\n" for request in requests))
    return files


def wrk(port, requests, seconds):
    """Sends the requests of a file in turn for some seconds, from all connections at once."""
    command = ["wrk", f"-t{THREADS}", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s"]
    script = ["-s", BENCHES / "requests.lua", f"http://127.0.0.1:{port}", "--", requests]
    found = json.loads(run([*command, *script], None, seconds + SLACK_S).splitlines()[-1])
    return Rate(
        per_second=found["requests"] / found["seconds"],
        p50_ms=found["p50_ms"],
        p99_ms=found["p99_ms"],
        failures=found["refused"] + found["broken"],
    )


def prepare_floors(installation):
    """Makes the scratch tables of the floors."""
    installation.sql(
        "create schema bench",
        "create table bench.reads (id bigint primary key, payload text not null)",
        f"insert into bench.reads select n, repeat('x', 100) from generate_series(1, {FLOOR_ROWS}) n",
        "create table bench.writes"
        " (id bigint generated always as identity primary key, payload text not null)",
        "vacuum analyze bench.reads",
    )


def pgbench(installation, script, seconds, seed):
    """Repeats a transaction for some seconds, from as many connections as wrk has."""
    options = ["-n", "-M", "prepared", "-c", str(CONNECTIONS), "-j", str(THREADS)]
    bounds = ["-T", str(seconds), "--random-seed", str(seed), "-D", f"rows={FLOOR_ROWS}"]
    command = ["pgbench", *options, *bounds, "-f", BENCHES / script]
    text = run(command, installation.database(), seconds + SLACK_S)
    return Rate(
        per_second=float(re.search(r"^tps = ([\d.]+)", text, re.MULTILINE)[1]),
        failures=int(re.search(r"failed transactions: (\d+)", text)[1]),
    )
