"""Primaries that die, hang, are cut off or replaced, under load: writes wait or fail clearly, and none is lost or done twice."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pymysql
import pytest

from tests.support.incident import SOON_S, Incident, incident
from tests.support.load import TABLE
from tests.support.proxy import ProxyProcess
from tests.support.replication import SCHEMA, Node, ReplicatedShard
from tests.support.shop import run
from tests.support.waiting import eventually
from tests.support.wire import WireClient

GONE: dict[str, tuple[Callable[[Node], None], Callable[[Node], None]]] = {
    "killed": (Node.kill, Node.start),
    "hung": (Node.pause, Node.resume),
    "cut off": (Node.cut_off, Node.heal),
}
# What a client may be told of a write for which there was no primary in time, or which was under way when that went.
AWAY = {"SP1401", "SP1403", "SP1408"}
Record = Callable[[str, object], None]
StartProxy = Callable[..., ProxyProcess]


def nobody_was_told_nonsense(found: Incident, writers: int = 2) -> None:
    """Reads have not failed. Writes have only with an error that says why, and one per client that was under way at most."""
    assert not found.load.errors("read", "login")
    errors = found.load.errors("write", "own read")
    assert set(errors) <= AWAY
    assert errors["SP1403"] <= writers


def refused(proxy: ProxyProcess, sql: str) -> str:
    """The error that a statement gets."""
    with pytest.raises(pymysql.err.Error) as failed:
        proxy.execute(sql)
    return str(failed.value)


def proxy_takes(proxy: ProxyProcess, sql: str) -> None:
    """Wait until a statement succeeds."""
    eventually(lambda: proxy.execute(sql) == [], SOON_S, retry_on=pymysql.err.Error)


# ---------------------------------------------------------------- the same primary comes back


@pytest.mark.timeout(150)
@pytest.mark.parametrize("how", GONE)
def test_primary_goes_away_and_returns(how: str, replicated: ReplicatedShard, start_proxy: StartProxy, record_property: Record) -> None:
    """Reads go on; writes that come meanwhile wait for it and are done once."""
    away, back = GONE[how]
    with incident(replicated, start_proxy, {"write_wait_s": SOON_S}) as found:
        primary = replicated.primary
        found.hurt(lambda: away(primary))
        record_property("detected_s", round(found.is_said("server changed state", primary, state="down"), 3))
        found.is_used(*replicated.replicas)
        assert not found.load.written_after(found.begin + 0.5) < float("inf")
        back(primary)
        returned = time.time()
        record_property("resumed_s", round(found.writes_go_on(returned), 3))
        found.is_used(*replicated.replicas)
        nobody_was_told_nonsense(found)
        record_property("errors", dict(found.load.errors("write")))
        found.check()


@pytest.mark.timeout(150)
def test_primary_stays_away(replicated: ReplicatedShard, start_proxy: StartProxy) -> None:
    """Writes wait as long as they are told to, and then say that there is no primary. Reads go on for ever, on all replicas."""
    replicated.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    replicated.wait_caught_up()
    proxy = start_proxy({"s0": replicated.config() | {"write_wait_s": 1, "max_replica_lag_s": 2, "balance": "round_robin"}})
    sessions = [proxy.connect() for _ in range(4)]
    for session in sessions:
        assert run(session, "SELECT * FROM t") == []
    replicated.primary.kill()
    begun = time.time()
    assert "SP1408" in refused(proxy, "INSERT INTO t VALUES (1)")
    assert 0.9 < time.time() - begun < SOON_S
    with WireClient(proxy.port).login() as client:
        for sql in (b"SELECT * FROM t WHERE id = ?", b"INSERT INTO t VALUES (?)"):
            assert client.command(b"\x16" + sql)[:1] == b"\0", "statements are prepared on a replica meanwhile"
            client.read_packet(), client.read_packet()  # the parameter
            if sql.startswith(b"SELECT"):
                client.read_packet(), client.read_packet()  # the column
    while time.time() < begun + 4:  # twice as long as a replica may be behind
        for session in [*sessions, proxy.connect()]:
            with session.cursor() as cursor:
                cursor.execute("SELECT * FROM t")
        time.sleep(0.1)
    replicated.primary.start()
    proxy_takes(proxy, "INSERT INTO t VALUES (2)")
    eventually(lambda: run(sessions[0], "SELECT * FROM t") == [(2,)], SOON_S)


@pytest.mark.timeout(150)
def test_transactions_on_a_dying_primary(replicated: ReplicatedShard, start_proxy: StartProxy) -> None:
    """Their clients learn that they are over; a COMMIT without an answer is not called one thing or the other."""
    replicated.execute(f"CREATE TABLE {TABLE} (writer INT, number INT)")
    replicated.wait_caught_up()
    proxy = start_proxy({"s0": replicated.config() | {"write_wait_s": SOON_S}})
    primary = replicated.primary
    with proxy.connect() as first, proxy.connect() as second, proxy.connect() as third:
        for number, connection in enumerate((first, second, third)):
            run(connection, "BEGIN")
            run(connection, f"INSERT INTO {TABLE} VALUES ({number}, 1)")
        primary.black_hole()
        with pytest.raises(pymysql.err.Error, match="SP1503"):
            run(third, "COMMIT")  # held up on its way, and done when that opens
        primary.kill()
        primary.heal()
        for connection, sql in ((first, f"SELECT * FROM {TABLE}"), (second, "COMMIT")):
            with pytest.raises(pymysql.err.OperationalError, match="SP1504") as lost:
                run(connection, sql)
            assert lost.value.args[0] == 1213  # what applications begin anew on
        primary.start()
        # The sessions go on, and what they do next waits for the primary.
        for number, connection in enumerate((first, second)):
            run(connection, "BEGIN")
            run(connection, f"INSERT INTO {TABLE} VALUES ({number}, 2)")
            run(connection, "COMMIT")
    assert sorted(primary.execute(f"SELECT * FROM {TABLE}", SCHEMA)) == [(0, 2), (1, 2)]


# ---------------------------------------------------------------- another primary


def replace_primary(found: Incident, how: str, node: Node) -> None:
    """The primary is cut off first, so that all it has acknowledged can come to the replicas; then it is gone for them too."""
    old = found.shard.primary
    old.cut_off()
    node.wait_for(old.position())
    GONE[how][0](old)
    found.shard.promote(node)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("how", ["killed", "hung"])
def test_promotion_and_a_zombie(how: str, replicated: ReplicatedShard, start_proxy: StartProxy, record_property: Record) -> None:
    """Writes go on where a replica was made the primary. The old one, back and taking writes, gets no statement before it follows."""
    with incident(replicated, start_proxy, {"write_wait_s": SOON_S}) as found:
        old, (new, other) = replicated.primary, replicated.replicas
        found.hurt(lambda: replace_primary(found, how, new))
        record_property("resumed_s", round(found.writes_go_on(time.time()), 3))
        record_property("gap_ms", round(found.load.gap_ms(found.begin)))
        found.is_used(other)

        GONE[how][1](old)
        statements = old.data_dir / "statements"
        statements.unlink(missing_ok=True)
        old.execute("SET GLOBAL general_log_file = 'statements'; SET GLOBAL general_log = 1")
        had, returned = old.position(), time.time()
        old.heal()
        found.is_said("server changed state", old, since=returned, state="up")
        found.is_used(other)
        assert old.position() == had
        assert TABLE not in statements.read_text(errors="replace")

        replicated.rejoin(old)
        found.is_used(old, other)
        assert f"FROM {TABLE}" in statements.read_text(errors="replace")
        assert f"INTO {TABLE}" not in statements.read_text(errors="replace")
        old.execute("SET GLOBAL general_log = 0")
        nobody_was_told_nonsense(found)
        record_property("errors", dict(found.load.errors("write")))
        found.check()


@pytest.mark.timeout(150)
def test_planned_switchovers(replicated: ReplicatedShard, start_proxy: StartProxy, record_property: Record) -> None:
    """Nothing fails: what comes in between waits."""
    with incident(replicated, start_proxy) as found:
        for new in (replicated.replicas[0], replicated.replicas[1], replicated.nodes[0]):
            old = replicated.primary
            found.hurt(lambda old=old: replicated.fence(old))  # type: ignore[misc]
            new.wait_for(old.position())
            replicated.promote(new)
            replicated.rejoin(old)
            found.writes_go_on(time.time())
            found.is_used(*replicated.replicas)
            record_property("gap_ms", round(found.load.gap_ms(found.begin)))
        assert not found.load.errors("read", "own read", "write", "login")
        found.check()


@pytest.mark.timeout(150)
def test_planned_switchovers_under_statements_on_both_shards(replicated: ReplicatedShard, start_proxy: StartProxy) -> None:
    """Writes of several shards and of all copies of a table wait as well, and reads of several shards go on."""
    replicated.primary.create_schema("app_1")
    for schema in ("app", "app_1"):
        replicated.primary.execute("CREATE TABLE spread (id INT PRIMARY KEY); CREATE TABLE copied (id INT PRIMARY KEY)", schema)
    replicated.wait_caught_up()
    shards = {"s0": replicated.config("app"), "s1": replicated.config("app_1")}
    proxy = start_proxy(shards, '[tables.spread]\nby = "hash"\nkey = "id"\n[tables.copied]\nby = "reference"\n')
    done, stopping = {"spread": 0, "copied": 0, "reads": 0}, threading.Event()

    def client(name: str, statement: Callable[[int], str]) -> None:
        with proxy.connect() as connection:
            while not stopping.is_set():
                run(connection, statement(done[name]))
                done[name] += 1

    statements: dict[str, Callable[[int], str]] = {
        "spread": lambda number: "INSERT INTO spread VALUES " + ", ".join(f"({8 * number + i})" for i in range(8)),
        "copied": lambda number: f"INSERT INTO copied VALUES ({number})",
        "reads": lambda _: "SELECT COUNT(*) FROM spread",
    }
    with ThreadPoolExecutor() as pool:
        clients = [pool.submit(client, name, statement) for name, statement in statements.items()]
        try:
            for new in replicated.replicas:
                old = replicated.primary
                replicated.fence()
                new.wait_for(old.position())
                replicated.promote(new)
                replicated.rejoin(old)
                before = dict(done)
                eventually(lambda before=before: all(done[name] > before[name] + 5 for name in done), SOON_S)  # type: ignore[misc]
        finally:
            stopping.set()
        for each in clients:
            each.result()
    counts = [
        replicated.primary.execute("SELECT (SELECT COUNT(*) FROM spread), COUNT(*) FROM copied", schema)[0] for schema in ("app", "app_1")
    ]
    assert sum(spread for spread, _ in counts) == 8 * done["spread"]
    assert [copied for _, copied in counts] == [done["copied"]] * 2


@pytest.mark.timeout(150)
def test_two_servers_take_writes(replicated: ReplicatedShard, start_proxy: StartProxy) -> None:
    """None gets any until one of them is fenced; reads go on."""
    with incident(replicated, start_proxy, {"write_wait_s": 1}) as found:
        usurper, other = replicated.replicas
        found.hurt(lambda: usurper.set_read_only(False))
        eventually(lambda: found.load.errors("write")["SP1409"] >= 4, SOON_S)
        found.is_used(other)
        assert not found.load.errors("read", "login")
        replicated.fence(usurper)
        found.writes_go_on(time.time())
        found.is_used(usurper, other)
        assert set(found.load.errors("write", "own read")) == {"SP1409"}
        found.check()


# ---------------------------------------------------------------- servers that must not be followed


@pytest.mark.timeout(150)
@pytest.mark.parametrize("told", ["told", "not told"])
def test_server_without_acknowledged_writes_is_not_followed(told: str, replicated: ReplicatedShard, start_proxy: StartProxy) -> None:
    """However many it has got since: not even where the server did not tell the position of what was acknowledged last."""
    returning = "" if told == "told" else " RETURNING id"
    if returning and replicated.flavour == "mysql":
        pytest.skip("MySQL tells of every write")
    replicated.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    replicated.wait_caught_up()
    proxy = start_proxy({"s0": replicated.config() | {"write_wait_s": 1}})
    old, new = replicated.primary, replicated.replicas[0]
    proxy.execute("INSERT INTO t VALUES (1)")
    replicated.wait_caught_up()
    for node in replicated.replicas:
        node.starve()
    proxy.execute(f"INSERT INTO t VALUES (2){returning}")
    old.kill()
    replicated.promote(new, apply_all=False)
    assert "SP1408" in refused(proxy, "INSERT INTO t VALUES (3)")
    for number in range(100, 120):
        new.execute(f"INSERT INTO t VALUES ({number})", SCHEMA)
    time.sleep(1.5)  # so that its checks have seen them
    assert "lacks some that were acknowledged" in refused(proxy, "INSERT INTO t VALUES (4)")
    assert new.execute("SELECT id FROM t WHERE id BETWEEN 2 AND 99", SCHEMA) == []
    # The old one has them all, and is the primary again as soon as it is the only one.
    replicated.fence(new)
    old.start()
    proxy_takes(proxy, "INSERT INTO t VALUES (5)")
    assert old.execute("SELECT id FROM t ORDER BY id", SCHEMA) == [(1,), (2,), (5,)]


@pytest.mark.timeout(150)
def test_proxy_starts_between_two_primaries(replicated: ReplicatedShard, start_proxy: StartProxy) -> None:
    """The one in its config is written to only when all have been asked: here it was replaced, and nobody has told it."""
    replicated.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    replicated.wait_caught_up()
    config = replicated.config() | {"write_wait_s": 1}
    old, (new, silent) = replicated.primary, replicated.replicas
    replicated.promote(new)
    silent.black_hole()
    proxy = ProxyProcess({"s0": config})
    proxy._is_ready = lambda: proxy.http("/healthz")[0] == 200  # type: ignore[method-assign]
    proxy.start()
    try:
        for number in range(3):
            assert "SP1409" in refused(proxy, f"INSERT INTO t VALUES ({number})")
        assert old.execute("SELECT id FROM t", SCHEMA) == []
        replicated.rejoin(old)
        proxy_takes(proxy, "INSERT INTO t VALUES (9)")
        assert new.execute("SELECT id FROM t", SCHEMA) == [(9,)]
    finally:
        proxy.kill()
