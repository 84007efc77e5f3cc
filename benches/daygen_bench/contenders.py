"""Who is measured on the queue: the service, apalis alone, and two queues on Node."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .installation import run

BENCHES = Path(__file__).resolve().parent.parent
RIVALS = BENCHES / "rivals"
# Steps at the same time, and deliveries fetched at once: what the service ships with for images,
# and more.
SLOTS = 8
MANY_SLOTS = 32
INSTALL_LIMIT_S = 300
MEASURE_LIMIT_S = 330


@dataclass(frozen=True)
class Contender:
    """Something that enqueues and works tasks."""

    name: str
    program: tuple
    slots: int
    variant: tuple = ()

    def measure(self, installation, what, count):
        """Runs one measurement in a process of its own and gives its result."""
        words = (*self.program, what, str(count), str(self.slots), *self.variant)
        log = installation.root / "measurements.log"
        with log.open("ab") as errors:
            begin = log.stat().st_size
            done = subprocess.run(
                words,
                env=installation.database(),
                stdout=subprocess.PIPE,
                stderr=errors,
                timeout=MEASURE_LIMIT_S,
                check=False,
            )
        if done.returncode != 0:
            said = log.read_bytes()[begin:].decode(errors="replace")
            raise SystemExit(f"{self.name}, {what}, failed:\n{said[-2000:]}")
        return json.loads(done.stdout)


def ours(program):
    """The service and apalis alone, at each number of slots."""
    return [
        Contender(f"{name}, {slots} slots", (program, side), slots)
        for slots in (SLOTS, MANY_SLOTS)
        for name, side in (("apalis alone", "bare"), ("DayGen, whole jobs", "own"))
    ]


def rivals(target):
    """The queues on Node, installed below `target`; none, with a reason, where there is no Node."""
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if missing:
        return [], f"graphile-worker and pg-boss are left out: {' and '.join(missing)} not found"
    folder = target / "rivals"
    try:
        install(folder)
    except (SystemExit, subprocess.TimeoutExpired) as error:
        return [], f"graphile-worker and pg-boss are left out: {error}"
    graphile = ("node", folder / "graphile.mjs")
    pgboss = ("node", folder / "pgboss.mjs")
    version = run(["node", "--version"], None, INSTALL_LIMIT_S).strip()
    return [
        Contender(f"graphile-worker, {SLOTS} slots", graphile, SLOTS),
        Contender(f"pg-boss, {SLOTS} loops", pgboss, SLOTS),
        Contender("graphile-worker, batches of 500", graphile, MANY_SLOTS, ("batched",)),
        Contender("pg-boss, 4 x batch 32", pgboss, MANY_SLOTS, ("batched",)),
    ], f"Node {version}; versions in benches/rivals/package.json"


def install(folder):
    """Copies the scripts and installs exactly the pinned versions beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    lock, installed = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
    is_current = installed.is_file() and lock.read_bytes() == (RIVALS / lock.name).read_bytes()
    for file in RIVALS.iterdir():
        shutil.copy(file, folder)
    if is_current:
        return
    command = ["npm", "ci", "--no-audit", "--no-fund", "--prefix", folder]
    run(command, None, INSTALL_LIMIT_S)
