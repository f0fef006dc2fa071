"""Prepared statements while triggers that guard a move come and go.

MariaDB then now and then answers the execution of a prepared DELETE with 1146 for a table that only the trigger uses and that is there all
the time, and goes on doing so until the statement is prepared anew.
"""

import threading
import time
from collections.abc import Callable

from tests.conftest import Shards
from tests.support.binary import BinaryClient, Statement, integer
from tests.support.proxy import ProxyProcess
from tests.support.wire import Err

CLIENTS = 6
_GUARD = """CREATE TRIGGER _sp_1_{event}_items BEFORE {event} ON items FOR EACH ROW BEGIN
  DECLARE found VARCHAR(10) DEFAULT ''; SELECT state INTO found FROM _sp_fence WHERE move = 1 LOCK IN SHARE MODE; END"""


def come_and_go(shards: Shards, seconds: float) -> int:
    """Make and drop guards for a while; how often."""
    times = 0
    server, schema = shards.placement["s0"]
    with server.connect(schema) as connection, connection.cursor() as cursor:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for event in ("INSERT", "DELETE"):
                cursor.execute(_GUARD.format(event=event))
            time.sleep(0.02)
            for event in ("INSERT", "DELETE"):
                cursor.execute(f"DROP TRIGGER _sp_1_{event}_items")
            times += 1
    return times


def test_clients_do_not_notice(shards: Shards, start_proxy: Callable[..., ProxyProcess]) -> None:
    shards.reset()
    for shard in shards.placement:
        shards.execute(shard, "CREATE TABLE items (customer BIGINT NOT NULL, op BIGINT NOT NULL, PRIMARY KEY (customer, op))")
    shards.execute("s0", "CREATE TABLE _sp_fence (move BIGINT PRIMARY KEY, state VARCHAR(10)); INSERT INTO _sp_fence VALUES (1, 'open')")
    proxy = start_proxy({"s0": shards.urls["s0"]}, '[tables.items]\nby = "hash"\nkey = "customer"\n')
    stopping = threading.Event()
    refused: list[object] = []

    def work(number: int) -> None:
        client = BinaryClient(proxy.port, 20).login(database="app")
        insert, delete = (
            client.prepare(sql) for sql in ("INSERT INTO items VALUES (?, ?)", "DELETE FROM items WHERE customer = ? AND op = ?")
        )
        assert isinstance(insert, Statement) and isinstance(delete, Statement)
        for op in range(10_000_000):
            if stopping.is_set():
                break
            for statement in (insert, delete):
                answer = client.execute(statement.id, [integer(number), integer(op)])
                if isinstance(answer, Err):
                    refused.append(answer)
        client.socket.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    times = come_and_go(shards, 5)
    stopping.set()
    for thread in threads:
        thread.join(20)
    assert times > 10
    assert not refused, (len(refused), refused[0])
