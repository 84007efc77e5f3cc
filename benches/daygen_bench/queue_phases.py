"""The measurements of the queue, in turn, so that a slow moment of the machine meets everybody."""

from dataclasses import dataclass, field
from statistics import median

from . import statements

# Jobs for the cost of one; the statements of starting and stopping are spread over them.
COST_JOBS = 200


@dataclass
class QueueResults:
    """Everything that was measured, one dictionary of contender's name -> result a round."""

    drains: list = field(default_factory=list)
    latencies: list = field(default_factory=list)
    cost: statements.Cost | None = None

    def rates(self, name, key):
        """Tasks a second of each round; `key` is enqueueS or drainS."""
        return [results[name]["count"] / results[name][key] for results in self.drains]

    def rate_ratio(self, name, base, key="drainS"):
        """The median over the rounds of a rate against the base's of the same round."""
        pairs = zip(self.rates(name, key), self.rates(base, key))
        return median(rate / other for rate, other in pairs)

    def samples(self, name, key="entryMs"):
        """The samples of all rounds, in order."""
        return sorted(ms for results in self.latencies for ms in results[name][key])

    def latency_ratio(self, name, base):
        """The median over the rounds of the medians' ratios."""
        return median(
            median(results[name]["entryMs"]) / median(results[base]["entryMs"])
            for results in self.latencies
        )


def drains(installation, results, contenders, plan):
    """Each contender enqueues and works the same number of tasks, `plan.rounds` times."""
    for number in range(plan.rounds):
        of_round = {}
        for contender in in_turn(contenders, number):
            begin_alike(installation)
            of_round[contender.name] = contender.measure(installation, "drain", plan.tasks)
        results.drains.append(of_round)


def latencies(installation, results, contenders, plan):
    """Single tasks on the idle queue."""
    for number in range(plan.rounds):
        of_round = {}
        for contender in in_turn(contenders, number):
            begin_alike(installation)
            of_round[contender.name] = contender.measure(installation, "latency", plan.samples)
        results.latencies.append(of_round)


def in_turn(contenders, number):
    """Another one begins each round."""
    first = number % len(contenders)
    return contenders[first:] + contenders[:first]


def begin_alike(installation):
    """No deliveries of earlier measurements, fresh statistics, nothing left to write out."""
    installation.sql("delete from apalis.jobs", "vacuum analyze", "checkpoint")


def job_cost(installation, results, contender):
    """The statements of a job from admission to its end, with the times the server gives."""
    begin_alike(installation)
    log = installation.server_log()
    statements.configure(installation, "alter system set log_min_duration_statement = 0")
    try:
        begin = log.stat().st_size
        contender.measure(installation, "drain", COST_JOBS)
        results.cost = statements.read(log, begin, COST_JOBS)
    finally:
        statements.configure(installation, "alter system reset log_min_duration_statement")
