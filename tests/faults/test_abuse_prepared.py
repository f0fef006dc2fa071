"""Hostile clients of prepared statements and of files: each gets an error or a closed connection; others are served meanwhile."""

import contextlib
import threading
import time
from collections.abc import Iterator

import pytest

from tests.conftest import Shards
from tests.support.binary import CLOSE, LONG_DATA, PREPARE, BinaryClient, Result, decoded, execute_payload, integer, long_data_payload, text
from tests.support.shop import S0, Shop, memory_mb, open_shop
from tests.support.waiting import eventually
from tests.support.wire import LOGIN_FLAGS, ClosedError, Err, packet

PATIENCE_S = 1.0
MB = 1 << 20
LOCAL_FILES = 1 << 7
MULTI = 1 << 16 | 1 << 17 | 1 << 18


@pytest.fixture(scope="module")
def running_shop(shards: Shards) -> Iterator[Shop]:
    """A proxy whose clients may have 1 000 statements each, and hold 16 MB of rows."""
    yield from open_shop(shards, "session_statements = 1000\nmerge_bytes = 16777216")


@pytest.fixture
def shop(running_shop: Shop) -> Shop:
    """The same with one user per shard."""
    running_shop.fill_users()
    return running_shop


def a_client(shop: Shop, flags: int = LOGIN_FLAGS, timeout_s: float = 20) -> BinaryClient:
    """A raw client; the caller closes it."""
    return BinaryClient(shop.proxy.port, timeout_s).login(flags=flags)


@contextlib.contextmanager
def undisturbed(shop: Shop, growth_mb: float = 100) -> Iterator[None]:
    """Fails if a second client's point reads take too long meanwhile, or if the proxy has grown by more than that."""
    before = memory_mb(shop.proxy.pid)
    waits: list[float] = []
    stop = threading.Event()

    def keep_asking() -> None:
        with a_client(shop) as client:
            while not stop.wait(0.005):
                begun = time.monotonic()
                right = client.query(b"SELECT uid FROM users WHERE uid = %d" % S0) == [(b"%d" % S0,)]
                waits.append(time.monotonic() - begun if right else float("inf"))

    other = threading.Thread(target=keep_asking, daemon=True)
    other.start()
    eventually(lambda: waits, 15)
    waits.clear()
    try:
        yield
        eventually(lambda: waits, 15)
    finally:
        stop.set()
        other.join()
    assert max(waits) < PATIENCE_S, f"the other client waited {max(waits):.1f} s"
    grown = memory_mb(shop.proxy.pid) - before
    assert grown < growth_mb, f"the proxy has grown by {grown:.0f} MB"


# ---------------------------------------------------------------- numbers and sizes


def test_too_many_statements(shop: Shop) -> None:
    """The thousand-and-first is refused, until one is closed; the others go on."""
    with undisturbed(shop), a_client(shop) as client:
        client.send(b"".join(packet(bytes((PREPARE,)) + b"SELECT uid FROM users WHERE uid = ?") for _ in range(3000)))
        answers = [client.read_prepared() for _ in range(3000)]
        refused = [answer for answer in answers if isinstance(answer, Err)]
        assert len(refused) == 2000
        assert {answer.errno for answer in refused} == {1461}
        client.close_statement(answers[0].id)
        assert not isinstance(client.prepare("SELECT 1"), Err)
        assert decoded(client.execute(answers[1].id, [integer(S0)])) == [(S0,)]


@pytest.mark.parametrize("command", [CLOSE, LONG_DATA])
def test_flood_of_commands_without_an_answer(shop: Shop, command: int) -> None:
    """100 000 of them in one go hold up nobody else."""
    with undisturbed(shop), a_client(shop, timeout_s=60) as client:
        made = client.prepare("SELECT ?")
        payload = long_data_payload(made.id, 0, b"x") if command == LONG_DATA else bytes((CLOSE,)) + b"\xee\0\0\0"
        client.send(packet(payload) * 100_000)
        answer = client.execute(made.id, [text("")], sent=[0] if command == LONG_DATA else [])
        assert len(answer.rows[0][0] or b"") == (100_000 if command == LONG_DATA else 0)


@pytest.mark.parametrize(
    "sql",
    [b"SELECT 1" + b" LIMIT ?" * 100_000, b"SELECT '" + b"x" * 8_000_000 + b"'", b"SELECT " + b"?," * 500_000 + b"1", b"`?" * 200_000],
    ids=["counts", "literal", "marks", "names"],
)
def test_long_text_holds_up_nobody(shop: Shop, sql: bytes) -> None:
    """Whatever it looks like; it is prepared or refused."""
    with undisturbed(shop, growth_mb=200), a_client(shop, timeout_s=50) as client:
        client.prepare(sql)
        assert client.query(b"SELECT 1") == [(b"1",)]


def test_many_parameters_hold_up_nobody(shop: Shop) -> None:
    """As many as fit, in a statement that is written anew for its shard."""
    with undisturbed(shop), a_client(shop, timeout_s=50) as client:
        made = client.prepare("INSERT INTO notes (note) VALUES " + "(?)," * 10_000 + "(DATABASE())")
        assert not isinstance(made, Err)
        for _ in range(3):
            assert client.execute(made.id, [integer(1)] * 10_000).affected == 10_001
        client.query(b"TRUNCATE notes")


def test_long_data_over_the_limit(shop: Shop) -> None:
    """One parameter or all statements together: refused at the execution, and the memory is given back."""
    with undisturbed(shop, growth_mb=150), a_client(shop, timeout_s=50) as client:
        made = [client.prepare("SELECT LENGTH(?)") for _ in range(20)]
        for one in made:
            for _ in range(2):
                client.long_data(one.id, 0, b"x" * 15 * MB)
        answers = [client.execute(one.id, [text("")], sent=[0]) for one in made]
        assert any(isinstance(answer, Err) and answer.errno == 1153 for answer in answers)
        assert decoded(client.execute(made[0].id, [text("ab")])) == [(2,)]


def test_cursors_over_the_limit(shop: Shop) -> None:
    """All rows that a client keeps unread are within limits.merge_bytes."""
    with undisturbed(shop, growth_mb=120), a_client(shop, timeout_s=50) as client:
        answers = []
        for _ in range(12):
            made = client.prepare("SELECT REPEAT('x', 10000) FROM seq_1_to_1000")
            answers.append(client.execute(made.id, flags=1))
        assert any(isinstance(answer, Err) for answer in answers)
        assert client.query(b"SELECT 1") == [(b"1",)]


# ---------------------------------------------------------------- wrong and cut off


@pytest.mark.parametrize("given", [0, 1, 3, 300])
def test_wrong_number_of_parameters(shop: Shop, given: int) -> None:
    """Too few are an error or the end of this connection; too many cannot always be told from values. Nobody else notices."""
    with a_client(shop) as client:
        made = client.prepare("SELECT ?, ?")
        client.send_packet(execute_payload(made.id, [integer(7)] * given))
        with contextlib.suppress(ClosedError):
            assert isinstance(client.read_binary(), Err) or given > 2
    assert shop.proxy.execute("SELECT 1") == [(1,)]


@pytest.mark.parametrize("step", ["cursor", "several", "file", "long data", "prepare"])
def test_client_that_goes_away_half_way(shop: Shop, step: str) -> None:
    """What it held is free again: all connections to the shards, and no row of a file is there."""
    for _ in range(10):
        with a_client(shop, LOGIN_FLAGS | LOCAL_FILES | MULTI) as client:
            if step == "cursor":
                made = client.prepare("SELECT uid FROM users ORDER BY uid")
                client.execute(made.id, flags=1)
                client.fetch(made, made.columns, 1)
            elif step == "several":
                client.send_packet(b"\x03SELECT 1; SELECT SLEEP(0.5) FROM users; SELECT uid, REPEAT('x', 100000) FROM users, seq_1_to_1000")
                client.read_result()
            elif step == "file":
                client.send_packet(b"\x03LOAD DATA LOCAL INFILE 'x' INTO TABLE notes (note)")
                assert client.read_packet() == b"\xfbx"
                client.send_packet(b"half a line", client.sequence + 1)
            elif step == "long data":
                client.long_data(client.prepare("SELECT ?").id, 0, b"x" * 100_000)
            else:
                client.send_packet(bytes((PREPARE,)) + b"SELECT uid FROM users WHERE uid = ?")
    eventually(lambda: _in_use(shop) == 0)
    assert shop.proxy.execute("SELECT COUNT(*) FROM notes") == [(0,)]


def _in_use(shop: Shop) -> float:
    lines = shop.proxy.http("/metrics")[1].splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("shardproxy_pool_connections") and 'state="in_use"' in line)


def test_file_without_an_end(shop: Shop) -> None:
    """It goes on and on; others use the same table meanwhile, and nothing piles up."""
    with undisturbed(shop, growth_mb=60), a_client(shop, LOGIN_FLAGS | LOCAL_FILES) as client:
        client.send_packet(b"\x03LOAD DATA LOCAL INFILE 'x' INTO TABLE notes (note)")
        assert client.read_packet() == b"\xfbx"
        for step in range(300):
            client.send_packet(b"x" * 60_000 + b"\n", (client.sequence + 1 + step) & 0xFF)
        assert shop.proxy.execute("SELECT COUNT(*) FROM notes") == [(0,)]
    eventually(lambda: shop.proxy.execute("SELECT COUNT(*) FROM notes") == [(0,)] and _in_use(shop) == 0)


def test_kill_of_a_client_in_the_middle_of_its_file(shop: Shop) -> None:
    """Its statement is stopped, its rows are gone, and it goes on or is told."""
    with a_client(shop, LOGIN_FLAGS | LOCAL_FILES) as client, a_client(shop) as other:
        number = client.query(b"SELECT CONNECTION_ID()")[0][0] or b""
        client.send_packet(b"\x03LOAD DATA LOCAL INFILE 'x' INTO TABLE notes (note)")
        assert client.read_packet() == b"\xfbx"
        client.send_packet(b"one\n", client.sequence + 1)
        assert other.query(b"KILL QUERY " + number) == []
        with contextlib.suppress(ClosedError, ConnectionError):
            client.send_packet(b"two\n", client.sequence + 2)
            client.send_packet(b"", client.sequence + 3)
            answer = client.read_result()
            assert isinstance(answer, Err) or client.query(b"SELECT COUNT(*) FROM notes") == [(b"2",)]
            assert client.query(b"SELECT 5") == [(b"5",)]
        other.query(b"DELETE FROM notes")


def test_many_clients_with_the_same_statements(shop: Shop) -> None:
    """The servers have them once per connection, and not once per client."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(a_client(shop)) for _ in range(250)]
        for client in clients:
            for n in range(2):
                made = client.prepare(f"SELECT uid, {n} FROM users WHERE uid = ?")
                answer = client.execute(made.id, [integer(S0)])
                assert isinstance(answer, Result)
        counts = [int(server.execute("SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'")[0][1]) for server in shop.shards.servers]
        assert max(counts) < 100, counts
