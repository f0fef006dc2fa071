"""What the tokens of a statement tell without its tree: whose business it is, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from shardproxy.planner.template import Edit
from shardproxy.sql.lexer import Kind, Token, function_names, is_name, unquote_name
from shardproxy.sql.statement import Statement

LOCK_FUNCTIONS = frozenset(("GET_LOCK", "RELEASE_LOCK", "RELEASE_ALL_LOCKS", "IS_FREE_LOCK", "IS_USED_LOCK"))
# What administers a server: in a whole schema, users who have the right to may do it.
ADMINISTRATION = frozenset(("GRANT", "REVOKE", "FLUSH", "INSTALL", "UNINSTALL"))
# Besides, what would stop a server or change what it replicates, which nobody may do from here.
NOT_FOR_CLIENTS = ADMINISTRATION | {"RESET", "PURGE", "CHANGE", "STOP", "SHUTDOWN", "CLONE", "RESTART"}


# Variables that decide what replication carries, or speak for another session: no client's to set.
NEVER_SET = frozenset(
    (
        "insert_id", "sql_log_bin", "gtid_next", "gtid_seq_no", "gtid_domain_id", "server_id", "pseudo_thread_id", "pseudo_slave_mode",
        "rand_seed1", "rand_seed2", "session_track_gtids",
    )
)  # fmt: skip
# Schemas of a server's own, whose change could take it over.
SERVERS_OWN = frozenset(("mysql", "sys", "performance_schema"))


# What the session carries out itself; the second ones only where tables are sharded, else a server can.
SESSION_VERBS = frozenset(("SET", "USE", "BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "KILL"))
LOCAL_VERBS = SESSION_VERBS | {"UNLOCK", "PREPARE", "EXECUTE", "DEALLOCATE"}
_LOCAL_SHOWS = frozenset(("WARNINGS", "ERRORS", "COUNT", "PROCESSLIST", "DATABASES", "SCHEMAS", "GRANTS"))


# Functions, and words that look like them, of which it is certain that they only compute: the common ones.
HARMLESS_FUNCTIONS = frozenset(
    """
    abs adddate and any_value as avg bit_length by cast ceil ceiling char char_length coalesce concat concat_ws connection_id
    convert count crc32 curdate current_date current_time current_timestamp current_user curtime database date date_add
    date_format date_sub datediff day dayofweek decimal dense_rank distinct exists field find_in_set floor format found_rows from
    from_unixtime greatest group_concat hex hour if ifnull in instr int integer interval isnull json_extract json_object
    json_unquote key lag last_day last_insert_id lead least left length locate log lower lpad ltrim max md5 mid min minute mod
    month not now nullif on or over partition position pow power quarter rand rank repeat replace reverse right round row_count
    row_number rpad rtrim schema second select sha1 sha2 sign sqrt str_to_date strcmp substr substring substring_index sum time
    timediff timestamp timestampdiff trim truncate unhex unix_timestamp upper user using utc_timestamp uuid values varchar version
    week weekday where year
    """.split()  # noqa: SIM905 - a list with a line for each would be longer than the module
)


SEQUENCE_FUNCTIONS = frozenset(("NEXTVAL", "LASTVAL", "SETVAL"))


def moves_sequence(tokens: Sequence[Token]) -> bool:
    """Whether a query takes a value from a sequence, which is a write."""
    return bool(function_names(tokens) & SEQUENCE_FUNCTIONS) or any(a.upper == "NEXT" and b.upper == "VALUE" for a, b in pairwise(tokens))


def needs_primary(statement: Statement) -> bool:
    """Whether a read does or asks something that only the primary can: locks by name, sequences, or what is the server's own."""
    tokens = statement.tokens
    if function_names(tokens) & (LOCK_FUNCTIONS | SEQUENCE_FUNCTIONS):
        return True
    return any(
        (a.upper in ("NEXT", "PREVIOUS") and b.upper == "VALUE")
        or (b.text == "." and is_name(a) and unquote_name(a.text).lower() in SERVERS_OWN | {"information_schema"})
        or (a.kind is Kind.VARIABLE and a.text.startswith("@@"))
        for a, b in pairwise([*tokens, *tokens[-1:]])
    )


def is_local_question(tokens: Sequence[Token]) -> bool:
    """Whether a SHOW or an EXPLAIN is answered by the session itself."""
    words = [token.upper for token in tokens[:3] if token.upper != "FULL"]
    return (words[:1] == ["SHOW"] and words[1:2] != [] and words[1] in _LOCAL_SHOWS) or words[:2] == [
        "EXPLAIN",
        "ROUTE",
    ]


def creates_from_query(tokens: Sequence[Token]) -> bool:
    """Whether a statement is CREATE TABLE ... SELECT, whose query is run at once."""
    words = [token.upper for token in tokens]
    return words[:1] == ["CREATE"] and "TABLE" in words[1:5] and "SELECT" in words and "VIEW" not in words[1:8]


def writes_file(words: Sequence[str]) -> bool:
    """Whether a query would write a file on a shard's server."""
    return any(a == "INTO" and b in ("OUTFILE", "DUMPFILE") for a, b in pairwise(words))


def gives_last_insert_id(words: Sequence[str]) -> bool:
    """Whether LAST_INSERT_ID is called with a value, which changes what it says afterwards."""
    return any(a == "LAST_INSERT_ID" and b == "(" and c != ")" for a, b, c in zip(words, words[1:], words[2:], strict=False))


def leaves_behind(statement: Statement, verb: str) -> str:
    """What a statement leaves behind on its connection, or "" where it leaves nothing. `verb` is its own, behind SET STATEMENT too."""
    tokens = statement.tokens
    if function_names(tokens) & (LOCK_FUNCTIONS - {"IS_FREE_LOCK", "IS_USED_LOCK"}):
        return "named lock"
    if verb in ("PREPARE", "EXECUTE", "DEALLOCATE"):
        return "prepared statement"
    for token, after in pairwise(tokens):
        if token.kind is Kind.VARIABLE and not token.text.startswith("@@") and after.text == ":=":
            return "user variable"
        if token.upper == "INTO" and token.kind is Kind.WORD and after.kind is Kind.VARIABLE:
            return "user variable"
    return ""


def named(statement: Statement, edits: list[Edit]) -> list[Edit]:
    """Keep the column's name where a whole selected expression is replaced: `SELECT DATABASE()` is named `DATABASE()`."""
    tokens = statement.tokens
    ends = {token.end: i for i, token in enumerate(tokens)}
    result = []
    for edit in edits:
        result.append(edit)
        i = ends.get(edit.end, -1)
        first = next((j for j, token in enumerate(tokens) if token.start == edit.start), -1)
        after = tokens[i + 1].upper if 0 <= i < len(tokens) - 1 else ""
        before = tokens[first - 1].upper if first > 0 else ""
        whole = before in ("SELECT", ",", "DISTINCT", "ALL") and after in ("", ",", "FROM", "LIMIT", ")")
        if edit.piece != b"" and whole and _depth(tokens, first) == 0:
            name = statement.text[edit.start : edit.end].replace("`", "``")
            result.append(Edit(edit.end, edit.end, f" AS `{name}`".encode("latin-1")))
    return result


def _depth(tokens: list[Token], at: int) -> int:
    return sum((t.text == "(") - (t.text == ")") for t in tokens[:at])


def qualifier_edits(tokens: list[Token], schema: str) -> list[Edit]:
    """Take the logical schema's name off tables and columns: the shards have the schema under names of their own."""
    aliased = any(
        unquote_name(b.text) == schema and is_name(b) and (a.upper == "AS" or is_name(a) or a.text == ")") and a.upper not in _BEFORE_TABLES
        for a, b, c in zip(tokens, tokens[1:], [*tokens[2:], tokens[-1]], strict=False)
        if c.text != "."
    )
    if aliased:
        return []
    edits = []
    for i in range(len(tokens) - 2):
        leads = i == 0 or tokens[i - 1].text != "."
        qualifies = leads and tokens[i + 1].text == "." and is_name(tokens[i + 2])
        if qualifies and is_name(tokens[i]) and unquote_name(tokens[i].text) == schema:
            edits.append(Edit(tokens[i].start, tokens[i + 2].start, b""))
    return edits


_BEFORE_TABLES = frozenset(("FROM", "JOIN", "INTO", "UPDATE", "TABLE", "STRAIGHT_JOIN", "SELECT", "WHERE", "AND", "OR", "ON", "BY", "SET"))
