"""Every command of the protocol gets its answer, or a proper error, however its bytes arrive."""

import socket

import pytest

from tests.support.shop import S0, S1, Shop, run
from tests.support.waiting import eventually
from tests.support.wire import LOGIN_FLAGS, MULTI_STATEMENTS, ClosedError, Err, WireClient, err, native_scramble, packet, sha2_scramble

PING, INIT_DB, FIELD_LIST, STATISTICS, KILL = b"\x0e", b"\x02", b"\x04", b"\x09", b"\x0c"
CHANGE_USER, SET_OPTION, RESET = b"\x11", b"\x1b", b"\x1f"
OK = b"\0\0\0\x02\0\0\0"
MORE_RESULTS = 8


def test_ping_is_answered_with_the_session_s_status(running_shop: Shop) -> None:
    """Pools look at the status of a ping: it says whether a transaction is open."""
    with running_shop.wire() as client:
        assert client.command(PING) == OK
        client.query(b"BEGIN")
        assert client.command(PING)[3] == 3
        client.query(b"ROLLBACK")
        assert client.command(PING)[3] == 2
        client.query(b"SET autocommit = 0")
        assert client.command(PING)[3] == 0


def test_init_db_knows_one_schema(running_shop: Shop) -> None:
    """The logical schema can be chosen, the shards' own cannot."""
    with WireClient(running_shop.proxy.port).login(database="") as client:
        assert client.query(b"SELECT DATABASE()") == [(None,)]
        assert err(client.command(INIT_DB + b"app_0")).errno == 1049
        assert client.query(b"SELECT DATABASE()") == [(None,)]
        assert client.command(INIT_DB + b"app") == OK
        assert client.query(b"SELECT DATABASE()") == [(b"app",)]


def test_table_without_a_schema_is_refused(running_shop: Shop) -> None:
    """As on any server: 1046, no database selected."""
    with WireClient(running_shop.proxy.port).login(database="") as client:
        answer = client.query(b"SELECT * FROM users")
        assert isinstance(answer, Err)
        assert answer.errno == 1046


def test_statistics_are_a_bare_string(running_shop: Shop) -> None:
    """`mysqladmin status` prints it as it is."""
    with running_shop.wire() as client:
        text = client.command(STATISTICS)
        assert text.startswith(b"Uptime: ")
        assert b"Threads: " in text
        assert client.command(PING) == OK


@pytest.mark.parametrize("table", ["users", "orders", "countries", "notes"])
def test_field_list_gives_the_columns_of_every_kind_of_table(running_shop: Shop, table: str) -> None:
    """The command line client asks for each table's columns when it connects."""
    with running_shop.wire() as client:
        payload = client.command(FIELD_LIST + table.encode() + b"\0")
        names = []
        while payload[:1] != b"\xfe":
            assert payload.startswith(b"\x03def\x03app"), payload
            names.append(payload)
            payload = client.read_packet()
        wanted = [row[0] for row in run(running_shop.connect(), f"SHOW COLUMNS FROM {table}")]
        assert len(names) == len(wanted)
        assert all(name.encode() in column for name, column in zip(wanted, names, strict=True))
        assert client.command(PING) == OK


def test_field_list_of_an_unknown_table_is_an_error(running_shop: Shop) -> None:
    """The shard's error comes through under the logical schema's name, and the session goes on."""
    with running_shop.wire() as client:
        answer = err(client.command(FIELD_LIST + b"nowhere\0"))
        assert answer.errno == 1146
        assert "app_" not in answer.text
        assert client.command(PING) == OK


def test_set_option_switches_several_statements_on_and_off(running_shop: Shop) -> None:
    """Each way is answered by an EOF; off, a second statement is an error in the syntax."""
    with running_shop.wire() as client:
        assert client.command(SET_OPTION + b"\0\0") == b"\xfe\0\0\x02\0"
        assert client.query(b"SELECT 1; SELECT 2") == [(b"1",)]
        assert client.read_result() == [(b"2",)]
        assert client.command(SET_OPTION + b"\x01\0") == b"\xfe\0\0\x02\0"
        answer = client.query(b"SELECT 1; SELECT 2")
        assert isinstance(answer, Err)
        assert answer.errno == 1064


def test_header_of_a_result_says_that_another_follows(shop: Shop) -> None:
    """A client that skips the rows looks there: told otherwise, it takes the next result for the answer to its next command."""
    shop.fill_users()
    point, scattered, local = f"SELECT name FROM users WHERE uid = {S0}", "SELECT COUNT(*) FROM users", "SHOW WARNINGS"
    for statements in ([point, scattered, point], [scattered, point], [local, scattered], [point, "SELECT 1"], [point]):
        with WireClient(shop.proxy.port).login(flags=LOGIN_FLAGS | MULTI_STATEMENTS) as client:
            client.send_packet(b"\x03" + ";".join(statements).encode())
            for left in reversed(range(len(statements))):
                assert not isinstance(client.read_result(), Err)
                assert bool(client.header_status & MORE_RESULTS) == bool(client.status & MORE_RESULTS) == bool(left), statements
            assert client.command(PING) == OK


def test_process_kill_ends_another_connection_of_the_user(running_shop: Shop) -> None:
    """An unknown thread is 1094, another user's 1095, and the victim's next statement fails."""
    with running_shop.wire() as client, running_shop.wire() as victim:
        stranger = running_shop.connect(user="native", password="secret")
        assert err(client.command(KILL + (1 << 31).to_bytes(4, "little"))).errno == 1094
        assert err(client.command(KILL + stranger.thread_id().to_bytes(4, "little"))).errno == 1095
        stranger.close()
        answer = victim.query(b"SELECT CONNECTION_ID()")
        assert isinstance(answer, list)
        assert client.command(KILL + int(answer[0][0] or b"0").to_bytes(4, "little")) == OK
        assert victim.is_closed()


@pytest.mark.parametrize("kill", [b"KILL CONNECTION_ID()", b"KILL HARD CONNECTION connection_id ( )"])
def test_kill_of_one_s_own_connection(running_shop: Shop, kill: bytes) -> None:
    """Without asking for its number; anything else in that place is refused."""
    with running_shop.wire() as client:
        for sql in (b"KILL CONNECTION_ID", b"KILL CONNECTION_ID() + 1", b"KILL x CONNECTION_ID()", b"KILL"):
            answer = client.query(sql)
            assert isinstance(answer, Err)
            assert answer.errno == 1064
        assert isinstance(client.query(kill), Err)
        assert client.is_closed()


def test_kill_stops_a_running_statement(running_shop: Shop) -> None:
    """The shard does not go on with what nobody waits for."""
    with running_shop.wire() as client, running_shop.wire() as victim:
        answer = victim.query(b"SELECT CONNECTION_ID()")
        assert isinstance(answer, list)
        victim.send_packet(b"\x03SELECT SLEEP(30) FROM notes RIGHT JOIN (SELECT 1) x ON 1")
        sleeping = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP(30)%'"
        eventually(lambda: sum(rows[0][0] for rows in running_shop.on_each(sleeping).values()) > 0)
        client.command(KILL + int(answer[0][0] or b"0").to_bytes(4, "little"))
        assert victim.is_closed()
        eventually(lambda: sum(rows[0][0] for rows in running_shop.on_each(sleeping).values()) == 0)


@pytest.mark.parametrize("user", ["app", "native", "digest", "stored", "empty"])
def test_change_user_logs_in_anew(running_shop: Shop, user: str) -> None:
    """The new user answers a new salt; nothing of the old session is left, and the schema is the one that was asked for."""
    password = {"app": b"app", "empty": b""}.get(user, b"secret")
    running_shop.connect(user=user, password=password).close()  # `stored` has been seen: the fast path will do
    with running_shop.wire() as client:
        client.query(b"SET @x = 1, SESSION group_concat_max_len = 7")
        client.query(b"CREATE TEMPORARY TABLE left_behind (a INT)")
        client.query(b"BEGIN")
        answer = _change_user(client, user, password, b"app")
        assert answer == OK
        assert client.query(b"SELECT USER(), DATABASE(), @x, @@group_concat_max_len") == [
            (f"{user}@127.0.0.1".encode(), b"app", None, b"1048576")
        ]
        gone = client.query(b"SELECT * FROM left_behind")
        assert isinstance(gone, Err)
        assert gone.errno == 1146
        assert client.command(PING) == OK


def test_failed_change_user_closes_the_connection(running_shop: Shop) -> None:
    """Neither the old nor the new user can go on."""
    with running_shop.wire() as client:
        assert err(_change_user(client, "native", b"wrong", b"app")).errno == 1045
        assert client.is_closed()


def test_change_user_glued_behind_another_command(running_shop: Shop) -> None:
    """It is taken in its turn like any command."""
    with running_shop.wire() as client:
        client.send(packet(PING) + packet(_change_user_payload("native", b"app")))
        assert client.read_packet() == OK
        assert _answer_switch(client, b"secret") == OK


def test_reset_connection_forgets_everything_but_the_schema(running_shop: Shop) -> None:
    """Variables, temporary tables, locks and an open transaction are gone; schema and thread id stay."""
    with running_shop.wire() as client, running_shop.wire() as other:
        before = client.query(b"SELECT CONNECTION_ID()")
        client.query(b"SET @x = 1, SESSION group_concat_max_len = 7")
        client.query(b"CREATE TEMPORARY TABLE left_behind (a INT)")
        client.query(b"SELECT GET_LOCK('reset', 0)")
        client.query(b"SET autocommit = 0")
        client.query(b"INSERT INTO users (uid) VALUES (1)")
        assert client.command(RESET) == OK
        assert client.query(b"SELECT @x, @@group_concat_max_len, @@autocommit, DATABASE(), CONNECTION_ID()") == [
            (None, b"1048576", b"1", b"app", before[0][0])  # type: ignore[index]
        ]
        assert client.query(b"SELECT uid FROM users WHERE uid = 1") == []
        assert client.query(b"SELECT * FROM left_behind")[0] == 1146
        eventually(lambda: other.query(b"SELECT GET_LOCK('reset', 5)") == [(b"1",)])


@pytest.mark.parametrize(
    ("code", "errno"),
    [(code, 1047) for code in (0x00, 0x05, 0x06, 0x0B, 0x0F, 0x10, 0x12, 0x13, 0x14, 0x15, 0x1D, 0x1E, 0x20, 0xFA, 0xFF)]
    + [(code, 1227) for code in (0x07, 0x08, 0x0A, 0x0D)],
)
@pytest.mark.parametrize("body", [b"", b"\0", b"x" * 40])
def test_other_commands_are_refused_and_the_session_goes_on(running_shop: Shop, code: int, errno: int, body: bytes) -> None:
    """Nothing is left without an answer, and none of them reaches a shard."""
    with running_shop.wire(5) as client:
        assert err(client.command(bytes((code,)) + body)).errno == errno
        assert client.query(b"SELECT 7") == [(b"7",)]


def test_command_without_a_byte_is_an_error(running_shop: Shop) -> None:
    """An empty packet is no command."""
    with running_shop.wire(5) as client:
        assert client.command(b"")[:1] == b"\xff"


def test_quit_closes_without_an_answer(running_shop: Shop) -> None:
    """COM_QUIT is the polite end."""
    with running_shop.wire() as client:
        client.send_packet(b"\x01")
        with pytest.raises(ClosedError):
            client.read_packet()


def test_pipelined_commands_are_answered_in_order(shop: Shop) -> None:
    """Drivers glue commands together; point reads, scatters, local answers and errors come back in their turn."""
    shop.fill_users()
    with shop.wire() as client:
        statements = [
            (f"SELECT name FROM users WHERE uid = {S0}", [(b"ann",)]),
            ("SELECT COUNT(*) FROM users", [(b"4",)]),
            ("SET @a = 5", []),
            ("SELECT nonsense FROM users", 1054),
            ("SELECT @a", [(b"5",)]),
            (f"SELECT name FROM users WHERE uid = {S1}", [(b"bob",)]),
        ] * 50
        client.send(b"".join(packet(b"\x03" + sql.encode()) for sql, _ in statements))
        for sql, wanted in statements:
            answer = client.read_result()
            assert (answer.errno if isinstance(answer, Err) else answer) == wanted, sql


def test_statement_in_single_bytes(running_shop: Shop) -> None:
    """A packet is a packet however many segments it comes in."""
    with running_shop.wire() as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in packet(b"\x03SELECT 'split' AS a") + packet(PING):
            client.send(bytes((byte,)))
        assert client.read_result() == [(b"split",)]
        assert client.read_packet() == OK


@pytest.mark.timeout(120)
@pytest.mark.parametrize("size", [0xFFFFFF - 1, 0xFFFFFF, 0xFFFFFF + 1])
def test_statement_and_row_around_the_split_at_16_mb(running_shop: Shop, size: int) -> None:
    """Payloads are split at 0xFFFFFF bytes, and one of exactly that size is followed by an empty packet."""
    with running_shop.connect(max_allowed_packet=64 << 20) as connection:
        head, tail = "SELECT LENGTH('", "')"
        text = "x" * (size - 1 - len(head) - len(tail))
        if size <= 0xFFFFFF - 1:  # more than the servers' max_allowed_packet takes
            assert run(connection, head + text + tail) == [(len(text),)]
        # A value of that length takes four bytes more.
        [(value,)] = run(connection, f"SELECT REPEAT('y', {min(size - 4, (16 << 20) - 1024)})")
        assert set(value) == {"y"}
        assert run(connection, "SELECT 1") == [(1,)]


def _change_user_payload(user: str, database: bytes) -> bytes:
    return CHANGE_USER + user.encode() + b"\0\0" + database + b"\0\x2d\0mysql_native_password\0"


def _change_user(client: WireClient, user: str, password: bytes, database: bytes) -> bytes:
    client.send_packet(_change_user_payload(user, database))
    return _answer_switch(client, password)


def _answer_switch(client: WireClient, password: bytes) -> bytes:
    """Answer the switch to a new salt, which a user without a password is not asked for, and read its outcome."""
    payload = client.read_packet()
    if payload == OK:
        return payload
    assert payload[:1] == b"\xfe", payload
    plugin, salt = payload[1:].split(b"\0")[:2]
    scramble = native_scramble if plugin == b"mysql_native_password" else sha2_scramble
    client.send_packet(scramble(password, salt), client.sequence + 1)
    answer = client.read_packet()
    return client.read_packet() if answer == b"\x01\x03" else answer


def test_login_flags_of_the_raw_client_are_those_of_a_driver(running_shop: Shop) -> None:
    """The tests of this file speak for real clients only if the proxy offers what the raw one uses."""
    with WireClient(running_shop.proxy.port) as client:
        rest = client.read_greeting()
        rest = rest[rest.index(b"\0", 1) + 1 :]
        offered = int.from_bytes(rest[13:15], "little") | int.from_bytes(rest[18:20], "little") << 16
        assert LOGIN_FLAGS & ~offered == 0
