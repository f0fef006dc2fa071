"""What the programs of ORMs have in common."""

from collections.abc import Iterator

from compat import SETTINGS, STREAMED

PEOPLE, ORDERS, NOTES = SETTINGS.table("people"), SETTINGS.table("orders"), SETTINGS.table("notes")
# Names of people, with their ids.
NAMES = {1: "Zoë", 2: "Åsa", 3: "José 🦀", 4: "Ann", 5: "Bo"}
STREAMED_SUM = STREAMED * (STREAMED - 1) // 2
BATCH = 1000
TASKS, STATEMENTS = 20, 50

# An ORM has no part in these; the programs of the drivers check them.
OF_THE_DRIVER = dict.fromkeys(
    (
        "connect_sha2",
        "connect_tls",
        "connect_socket",
        "types_text",
        "types_prepared",
        "prepared",
        "large",
        "kill",
        "multi",
        "infile",
        "compress",
    ),
    "the driver's own programs check it",
)


def filling(table: str) -> Iterator[str]:
    """Statements that put in what is to be streamed; ORMs would take their time."""
    for start in range(0, STREAMED, 10_000):
        rows = ",".join(f"({number},'n')" for number in range(start, start + 10_000))
        yield f"INSERT INTO {table} (id, name) VALUES {rows}"


def raises(error: Exception, code: int) -> None:
    """Compare the server's number, which ORMs keep in the driver's exception that they wrap."""
    seen: BaseException | None = error
    while seen is not None:
        origin = getattr(seen, "orig", None)
        for candidate in (seen, origin):
            number = candidate.args[0] if isinstance(candidate, Exception) and candidate.args else None
            if isinstance(number, int):
                if number != code:
                    raise AssertionError(f"{number} in place of {code}: {error}")
                return
        seen = seen.__cause__ or seen.__context__
    raise AssertionError(f"no number in place of {code}: {error}")
