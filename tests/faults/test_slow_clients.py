"""A client that does not read makes its own shard connection wait: nobody else, and not the proxy's memory."""

from collections.abc import Iterator

import pytest

from tests.conftest import Shards
from tests.faults.test_abuse import undisturbed
from tests.support.shop import Shop, open_shop
from tests.support.wire import WireClient

# A result of 40 MB; what a connection's two sockets hold of it is about a quarter.
ROWS, PAD = 5000, 8000


@pytest.fixture(scope="module")
def big_shop(shards: Shards) -> Iterator[Shop]:
    """A shop with more in it than the proxy may hold."""
    for shop in open_shop(shards):
        for first in range(0, ROWS, 1000):
            rows = ", ".join(f"(7, {oid}, REPEAT('x', {PAD}))" for oid in range(first, first + 1000))
            notes = ", ".join(f"(REPEAT('x', {PAD}))" for _ in range(1000))
            for shard in shop.shards.placement:
                shop.shards.execute(shard, f"INSERT INTO orders (uid, oid, pad) VALUES {rows}")
            shop.shards.execute("s1", f"INSERT INTO notes (note) VALUES {notes}")
        yield shop


CASES = {
    "point read": ("SELECT pad FROM orders WHERE uid = 7", ()),
    "unsharded table": ("SELECT note FROM notes", ()),
    "in a transaction": ("SELECT pad FROM orders WHERE uid = 7", ("BEGIN",)),
    "pinned": ("SELECT pad FROM orders WHERE uid = 7", ("SET @a = 1",)),
    "rewritten": ("SELECT pad, DATABASE() FROM orders WHERE uid = 7", ()),
    "scatter": ("SELECT pad FROM orders", ()),
    "ordered scatter": ("SELECT oid, pad FROM orders ORDER BY oid", ()),
    "reference join": ("SELECT o.pad FROM orders o LEFT JOIN countries c ON c.id = 1 WHERE o.uid = 7", ()),
}


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("case", CASES)
def test_slow_client_disturbs_nobody(big_shop: Shop, case: str, tls: bool) -> None:
    """Four clients ask for 40 MB or more each and read nothing; then one of them reads on and gets it all."""
    sql, before = CASES[case]
    if tls and case not in ("point read", "pinned", "scatter"):
        pytest.skip("TLS changes nothing for this one")
    shards = 4 if "scatter" in case else 1
    # Memory that an earlier case has used and freed would hide what this one takes.
    big_shop.proxy.kill()
    big_shop.proxy.start()
    with undisturbed(big_shop, growth_mb=60):
        clients = [WireClient(big_shop.proxy.port, 30) for _ in range(4)]
        for client in clients:
            client.login(tls=tls)
            for statement in before:
                client.query(statement.encode())
            client.send_packet(b"\x03" + sql.encode())
        for client in clients:
            client.read_packet()
        big_shop.proxy.execute("SELECT COUNT(*) FROM orders")
        rows = 0
        while not (payload := clients[0].read_packet()).startswith(b"\xfe") or rows == 0:
            rows += len(payload) > PAD
        assert rows == ROWS * shards
        for client in clients:
            client.socket.close()


def test_client_that_goes_away_in_the_middle_frees_everything(big_shop: Shop) -> None:
    """The shard stops sending, and its connections are not handed on with the rest of the rows in them."""
    for sql, before in CASES.values():
        for _ in range(2):
            client = WireClient(big_shop.proxy.port, 30).login()
            for statement in before:
                client.query(statement.encode())
            client.send_packet(b"\x03" + sql.encode())
            client.read_packet()
            client.socket.close()
            with big_shop.wire() as other:
                assert other.query(b"SELECT COUNT(*) FROM orders WHERE uid = 7") == [(b"5000",)]
                assert other.query(b"SELECT COUNT(*) FROM orders") == [(b"20000",)]
                assert other.query(b"SELECT COUNT(*) FROM notes") == [(b"5000",)]
