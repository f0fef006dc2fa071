"""Replicas that die, hang, are cut off or stop replicating, under load: clients see nothing of it, and they come back by themselves."""

import time
from collections.abc import Callable, Iterable

import pytest

from tests.support.incident import SOON_S, Incident, incident
from tests.support.proxy import ProxyProcess
from tests.support.replication import Node, ReplicatedShard
from tests.support.waiting import eventually


def _shut_down(node: Node) -> None:
    node.stop()


# How a server goes away and comes back.
GONE: dict[str, tuple[Callable[[Node], None], Callable[[Node], None]]] = {
    "killed": (Node.kill, Node.start),
    "hung": (Node.pause, Node.resume),
    "cut off": (Node.cut_off, Node.heal),
    "black hole": (Node.black_hole, Node.heal),
    "shut down": (_shut_down, Node.start),
}
Record = Callable[[str, object], None]


def to_each(nodes: Iterable[Node], do: Callable[[Node], None]) -> None:
    """One after the other."""
    for node in nodes:
        do(node)


def nobody_noticed(found: Incident) -> None:
    """No client has got an error, and no statement took longer than it takes to find a server out and to go to another one."""
    assert not found.load.errors("read", "own read", "write", "login")
    assert found.load.slowest_s("read", "own read") < SOON_S
    found.check()


@pytest.mark.timeout(150)
@pytest.mark.parametrize("how", GONE)
def test_replica_goes_away(
    how: str, replicated: ReplicatedShard, start_proxy: Callable[..., ProxyProcess], record_property: Record
) -> None:
    """Reads that it had got are answered by others; it is found out within two seconds, and used again when it is back."""
    away, back = GONE[how]
    with incident(replicated, start_proxy) as found:
        node, other = replicated.replicas
        found.hurt(lambda: away(node))
        detected = found.is_said("server changed state", node, state="down")
        record_property("detected_s", round(detected, 3))
        assert detected < 8  # 2 on a machine that has nothing else to do
        known = time.time()
        found.is_used(other)
        assert found.load.slowest_s("read", "own read", since=known + 0.2) < 2
        record_property("slowest_read_s", round(found.load.slowest_s("read", since=found.begin - 1), 3))
        back(node)
        found.is_said("server changed state", node, since=known, state="up")
        found.is_used(node, other)
        nobody_noticed(found)


@pytest.mark.timeout(150)
@pytest.mark.parametrize("how", ["stopped", "broken"])
def test_replica_stops_applying(
    how: str, replicated: ReplicatedShard, start_proxy: Callable[..., ProxyProcess], record_property: Record
) -> None:
    """One that says so is read no more at the next check, and is again as soon as it applies."""
    with incident(replicated, start_proxy) as found:
        node, other = replicated.replicas
        found.hurt(node.stop_sql if how == "stopped" else lambda: node.break_replication(replicated.primary))
        record_property("out_s", round(found.is_out(node), 3))
        assert found.server(node)["state"] == "up"
        found.is_used(other)
        if how == "stopped":
            node.start_sql()
        else:
            node.repair()
        found.is_used(node, other)
        nobody_noticed(found)


@pytest.mark.timeout(150)
def test_replica_is_starved(replicated: ReplicatedShard, start_proxy: Callable[..., ProxyProcess], record_property: Record) -> None:
    """One that gets nothing and does not know it leaves by how far it is behind, with the default of ten seconds."""
    with incident(replicated, start_proxy) as found:
        node, other = replicated.replicas
        found.hurt(node.starve)
        record_property("out_s", round(found.is_out(node), 3))
        status = node.replication()
        assert (status["Replica_IO_Running"], status["Replica_SQL_Running"]) == ("Yes", "Yes")
        found.is_used(other)
        node.heal()
        found.is_used(node, other)
        nobody_noticed(found)


@pytest.mark.timeout(150)
def test_all_replicas_lag(replicated: ReplicatedShard, start_proxy: Callable[..., ProxyProcess]) -> None:
    """The nearest one stays, so that the primary does not get everything at once; when they are there again, all are used."""
    with incident(replicated, start_proxy, {"max_replica_lag_s": 1}) as found:
        nodes = replicated.replicas
        found.hurt(lambda: to_each(nodes, Node.starve))
        eventually(lambda: [found.server(node)["read"] for node in nodes].count(True) == 1, SOON_S)
        time.sleep(1)  # nothing more is to happen
        assert [found.server(node)["read"] for node in nodes].count(True) == 1
        to_each(nodes, Node.heal)
        eventually(lambda: all(found.server(node)["read"] for node in nodes), SOON_S)
        found.is_used(*nodes)
        nobody_noticed(found)


@pytest.mark.timeout(150)
@pytest.mark.parametrize("how", ["killed", "hung"])
def test_all_replicas_go_away(how: str, replicated: ReplicatedShard, start_proxy: Callable[..., ProxyProcess]) -> None:
    """The primary serves everything, and no longer than it has to."""
    away, back = GONE[how]
    with incident(replicated, start_proxy) as found:
        nodes = replicated.replicas
        found.hurt(lambda: to_each(nodes, away))
        for node in nodes:
            found.is_said("server changed state", node, state="down")
        found.is_used(replicated.primary)
        to_each(nodes, back)
        found.is_used(*nodes)
        nobody_noticed(found)


@pytest.mark.timeout(150)
def test_replicas_go_away_again_and_again(replicated: ReplicatedShard, start_proxy: Callable[..., ProxyProcess]) -> None:
    """Connections that break all the time, now here and now there, are nothing that a reading client gets to know."""
    with incident(replicated, start_proxy) as found:
        begin = time.time()
        while time.time() < begin + 3:
            for node in replicated.replicas:
                node.relay.cut()
                time.sleep(0.1)
        found.is_used(*replicated.replicas)
        nobody_noticed(found)
