"""An installation of its own: a home in a temporary folder, its cluster and its processes."""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

# Only what programs need to run. Everything else would configure the service from outside, and
# two people would measure two different things.
INHERITED = ("PATH", "HOME", "USER", "LANG", "TMPDIR", "PG_BINDIR")

SERVER = ("--no-banner",)
WORKER = ("--worker", "--no-banner")
SERVER_AND_WORKER = ("--server-and-worker", "--no-banner")

START_LIMIT_S = 60
STOP_LIMIT_S = 20
TASK_LIMIT_S = 30


class Installation:
    """A home with its cluster. Nothing of it is left after `remove`."""

    def __init__(self, binary, config, settings):
        self.binary = binary
        self.root = Path(tempfile.mkdtemp(prefix="daygen-bench-"))
        # The cluster of a caller who is root runs as another user, who has to reach it.
        self.root.chmod(0o711)
        self.home = self.root / "home"
        self.port = free_port()
        self.processes = []
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        self.environment = {
            **inherited,
            "LOCO_CONFIG_FOLDER": str(config),
            "DAYGEN_HOME": str(self.home),
            "PORT": str(self.port),
            "BINDING": "127.0.0.1",
            # All users sign up from this machine.
            "SIGN_UPS_PER_ADDRESS": "1000000",
            **settings,
        }

    def start(self, mode):
        """Starts a process and returns without waiting for it."""
        process = Process(self, mode)
        self.processes.append(process)
        return process

    def task(self, *arguments):
        """Runs an operator's task."""
        run([self.binary, "task", *arguments], self.environment, TASK_LIMIT_S)

    def database(self):
        """The variables that lead PostgreSQL's own programs to the cluster."""
        folder = self.home / "postgres"
        return {
            **self.environment,
            "PGHOST": "127.0.0.1",
            "PGPORT": (folder / "port").read_text().strip(),
            "PGPASSWORD": (folder / "password").read_text().strip(),
            "PGUSER": "daygen",
            "PGDATABASE": "daygen",
        }

    def sql(self, *statements):
        """Runs statements, each in its own transaction; gives what they return as lines."""
        commands = [part for statement in statements for part in ("-c", statement)]
        options = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        return run(["psql", *options, *commands], self.database(), TASK_LIMIT_S).splitlines()

    def server_log(self):
        """The log of the database server; it lies beside the data folder, wherever that is."""
        return Path(self.sql("show data_directory")[0]).parent / "server.log"

    def remove(self):
        """Ends every process and deletes cluster and home."""
        for process in self.processes:
            process.kill()
        if self.home.exists():
            self.task("db_reset_cluster", "confirm:yes")
        shutil.rmtree(self.root, ignore_errors=True)


class Process:
    """One running process of the service."""

    def __init__(self, installation, mode):
        self.port = installation.port
        self.log = installation.root / f"process-{len(installation.processes)}.log"
        command = [installation.binary, "start", *mode]
        with self.log.open("wb") as log:
            self.started = time.perf_counter()
            self.child = subprocess.Popen(
                command, env=installation.environment, stdout=log, stderr=log
            )

    def wait_ready(self):
        """Waits until /health answers; gives the seconds since the process was started."""
        while not self.is_healthy():
            if self.child.poll() is not None:
                raise SystemExit(f"the service ended at start:\n{self.log.read_text()[-2000:]}")
            if time.perf_counter() - self.started > START_LIMIT_S:
                raise SystemExit("the service did not answer in time")
            # Short against what is measured, and long enough to leave the processor to it.
            time.sleep(0.001)
        return time.perf_counter() - self.started

    def is_healthy(self):
        """Whether /health answers with 200 now."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def memory_mib(self, field):
        """A field of the process's status file, such as VmRSS or VmHWM."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)[1]) / 1024

    def stop(self):
        """Ends the process as an operator would."""
        self.child.send_signal(signal.SIGTERM)
        self.child.wait(timeout=STOP_LIMIT_S)

    def kill(self):
        """Ends the process at once, if it runs."""
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def run(command, environment, limit_s):
    """Runs a program to its end and gives what it printed."""
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=limit_s, check=False
    )
    if done.returncode != 0:
        name = Path(command[0]).name
        raise SystemExit(f"{name} failed:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
    return done.stdout
