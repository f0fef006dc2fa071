"""The cases, in the order in which they run."""

from collections.abc import Callable

from benchmarks import rebalance_plan
from benchmarks.cases import (
    cache,
    failover,
    idle,
    move_copy,
    move_pause,
    move_tail,
    move_traffic,
    oltp,
    plan_cache,
    prepared,
    read_your_writes,
    replica_reads,
    scatter,
    stream,
)
from benchmarks.lab import Lab
from benchmarks.report import Table

CASES: dict[str, Callable[[Lab], Table | list[Table]]] = {
    "point-select": oltp.point_select,
    "read-only": oltp.read_only,
    "prepared": prepared.measure,
    "scatter": scatter.measure,
    "stream": stream.measure,
    "idle": idle.measure,
    "plan-cache": plan_cache.measure,
    # After the others: it leaves other rows on each side, which the scatter case would take for wrong answers.
    "write-only": oltp.write_only,
    # These have servers of their own.
    "replica-point": replica_reads.point,
    "replica-aggregate": replica_reads.aggregate,
    "replica-limited": replica_reads.limited,
    "read-your-writes": read_your_writes.measure,
    "failover": failover.measure,
    "move-copy": move_copy.measure,
    "move-tail": move_tail.measure,
    "move-pause": move_pause.measure,
    "move-traffic": move_traffic.measure,
    "cache": cache.measure,
    # Plans alone, without a server.
    "rebalance-plan": lambda _: rebalance_plan.tables(),
}
