"""docs/errors.md, written from the catalogue of errors. `--check FILE` fails where the file has drifted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from shardproxy.errors import CATALOGUE, ErrorSpec, Fault

_CHAPTERS = {
    "SP10": "Protocol and login",
    "SP11": "Names and syntax",
    "SP12": "What cannot be done over several shards",
    "SP13": "The shards' schema against the config",
    "SP14": "Shards and their servers",
    "SP15": "Transactions",
    "SP19": "Internal",
}
_FAULTS = {
    Fault.CLIENT: "what the client sent is wrong, here as on any server",
    Fault.REFUSED: "one server could do it; over shards it cannot be done exactly yet. Nothing has happened",
    Fault.BACKEND: "a shard's server, or the way to it",
    Fault.OPERATOR: "for whoever runs the proxy",
    Fault.INTERNAL: "a bug: the proxy's log has more",
}
# What to do, where the summary does not say it.
ADVICE = {
    "SP1001": "an incompatible driver, or something that does not speak MySQL",
    "SP1003": "raise `limits.max_packet_bytes`, or send less at once",
    "SP1005": "raise `limits.max_connections`, or use fewer",
    "SP1007": "use a client that knows `mysql_native_password` or `caching_sha2_password`; `client_ed25519` where a key of it is stored",
    "SP1009": "connect again; the connection had nothing open",
    "SP1010": "use utf8mb4",
    "SP1022": "close statements that are done with; many drivers have a limit of their own for those they keep",
    "SP1105": "shorten the statement; lists behind IN and rows of INSERT do not count",
    "SP1201": "join on equal sharding keys of one group, name the key, or make one of the tables a reference table",
    "SP1202": "tie the subquery to the outer row by the sharding key, or ask in two statements",
    "SP1204": "select the aggregates and compute the expression in the application",
    "SP1206": "order by columns that are selected, or in the application",
    "SP1207": "name the sharding key, so that one shard does it",
    "SP1208": "delete the row and insert it under its new key",
    "SP1209": "give the sharding key a value",
    "SP1210": "write the key as a plain literal of the column's type",
    "SP1211": "add a range, or leave the last one open, before the table is first served",
    "SP1214": "give the value from the application",
    "SP1215": "compute the value in the application, or name the rows",
    "SP1218": "narrow the statement, or raise `limits.merge_rows`",
    "SP1221": "see [operations.md](operations.md#a-schema-change-has-failed-halfway)",
    "SP1301": "`shardproxy check` says what does not fit and how to mend it",
    "SP1302": "a shard is away, and the others do not have the table",
    "SP1401": "see [operations.md](operations.md#a-shard-is-down)",
    "SP1402": "raise `limits.pool_size`, or look for long transactions and pinned sessions",
    "SP1403": "a read may be repeated; of a write it is not known whether it took effect",
    "SP1404": "raise `limits.query_timeout_s`, or look at the statement",
    "SP1406": "the shard cannot keep up: fewer clients, or a larger `limits.pool_size`",
    "SP1407": "copies or columns differ: `shardproxy check`",
    "SP1501": "two transactions, or tables of one group and one key",
    "SP1502": "see [operations.md](operations.md#a-commit-has-reached-some-shards-only)",
    "SP1503": "read the rows to find out",
    "SP1504": "repeat the transaction, as after a deadlock",
    "SP1505": "connect again, and set again what was set",
}


def errors_text() -> str:
    """The document."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Errors"
    yield ""
    yield "Written by `python -m shardproxy.cli.errors_doc docs/errors.md`."
    yield ""
    yield "An error of shardproxy's own starts with a stable id: `SP1201: the joined tables are …`. The errno and SQLSTATE are those"
    yield "that drivers and connection pools already handle. An error without an id is a shard's own, given on as it came, or one that"
    yield "applications parse and that is worded as a server would."
    yield ""
    yield "| whose fault | meaning |"
    yield "|---|---|"
    for fault, meaning in _FAULTS.items():
        yield f"| {fault.value} | {meaning} |"
    for prefix, title in _CHAPTERS.items():
        yield ""
        yield f"## {title}"
        yield ""
        yield "| id | errno | SQLSTATE | fault | meaning | what to do |"
        yield "|---|---|---|---|---|---|"
        for spec in CATALOGUE.values():
            if spec.id.startswith(prefix):
                yield _row(spec)


def _row(spec: ErrorSpec) -> str:
    advice = ADVICE.get(spec.id, "")
    return f"| {spec.id} | {spec.errno} | {spec.sqlstate} | {spec.fault.value} | {spec.summary} | {advice} |"


def main(arguments: list[str]) -> int:
    """`[--check] FILE`: write the document, or compare it with what is there."""
    check = arguments[:1] == ["--check"]
    target = Path(arguments[-1])
    if not check:
        target.write_text(errors_text(), encoding="utf-8")
        return 0
    if target.is_file() and target.read_text(encoding="utf-8") == errors_text():
        return 0
    print(f"{target} differs from the catalogue: python -m shardproxy.cli.errors_doc {target}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
