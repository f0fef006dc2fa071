"""Column types, and the values that the generator puts into them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

CI = ("utf8mb4_general_ci", "utf8mb4_unicode_ci", "utf8mb4_unicode_nopad_ci", "utf8mb4_swedish_ci", "utf8mb4_uca1400_ai_ci")
# Weighted: the last one has several levels of weights, and hardly anybody uses it.
CS = ("utf8mb4_bin",) * 4 + ("utf8mb4_nopad_bin",) * 3 + ("utf8mb4_uca1400_as_cs",)
# Few enough to collide, with everything in them that collations see differently.
WORDS = (
    "", " ", "  ", "a", "A", "á", "a ", "a  ", "A ", "b", "B", "ab", "aB", "a\tb", "a b", "z", "Z", "ö", "o", "Ö", "oe",
    "ß", "ss", "SS", "æ", "ae", "é", "E", "e", "1", "01", "1a", "-1", "1.0", "10", "9", "O'Brien", 'say "x"', "back\\slash",
    "tab\t", "new\nline", "100%", "a_c", "😀", "😀a", "日本", "ﬁ", "Å", "å", "x", "X", "y", "\x01", "a\x01", "null", "NULL",
)  # fmt: skip
ASCII_WORDS = tuple(word for word in WORDS if word.isascii())
LATIN_WORDS = tuple(word for word in WORDS if all(ord(char) < 256 for char in word))


@dataclass(frozen=True)
class Column:
    """A column: `kind` says what may be done with it, `pool` makes a literal for it."""

    name: str
    ddl: str
    kind: str
    pool: Callable[[Random], str]
    collation: str = ""
    nullable: bool = True
    exact: bool = True

    @property
    def definition(self) -> str:
        """As CREATE TABLE has it."""
        return f"{self.name} {self.ddl}{'' if self.nullable else ' NOT NULL'}"

    def literal(self, rng: Random) -> str:
        """A value that fits, now and then NULL."""
        return "NULL" if self.nullable and rng.random() < 0.12 else self.pool(rng)


def quote(text: str) -> str:
    """A string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\x00", "\\0")
    return f"'{escaped}'"


def one_of(*values: object) -> Callable[[Random], str]:
    """A pool of fixed literals."""
    texts = [str(value) for value in values]
    return lambda rng: rng.choice(texts)


def words(values: Sequence[str]) -> Callable[[Random], str]:
    """A pool of strings."""
    return lambda rng: quote(rng.choice(values))


def integers(low: int, high: int) -> Callable[[Random], str]:
    """Small numbers that collide, and the ends of the type."""

    def pool(rng: Random) -> str:
        if rng.random() < 0.12:
            return str(rng.choice((low, high, low + 1, high - 1)))
        return str(rng.randint(max(low, -5), min(high, 20)))

    return pool


def decimals(digits: int, scale: int) -> Callable[[Random], str]:
    """Decimals with up to `scale` digits behind the point, some of them large."""

    def pool(rng: Random) -> str:
        used = min(digits - scale, rng.choice((1, 1, 2, 3, digits - scale)))
        whole = rng.randint(0, 10**used - 1)
        sign = "-" if rng.random() < 0.3 else ""
        return f"{sign}{whole}" + (f".{rng.randint(0, 10**scale - 1):0{scale}d}" if scale else "")

    return pool


def dates(with_time: int = -1) -> Callable[[Random], str]:
    """Days around a few edges; `with_time` is the number of digits of a second, or -1 for a DATE."""

    def pool(rng: Random) -> str:
        year, month, day = rng.choice((1000, 1999, 2000, 2023, 2024, 2024, 9999)), rng.choice((1, 2, 12)), rng.choice((1, 28, 15))
        text = f"{year:04d}-{month:02d}-{day:02d}"
        if with_time >= 0:
            text += rng.choice((" 00:00:00", " 12:34:56", " 23:59:59"))
        if with_time > 0 and rng.random() < 0.6:
            text += "." + rng.choice(("5", "123456", "000001", "999"))[:with_time]
        return f"'{text}'"

    return pool


def times(digits: int) -> Callable[[Random], str]:
    """Times, negative ones and more than a day."""
    plain = ("00:00:00", "12:00:00", "-01:30:00", "838:59:59", "-838:59:59", "09:59:59", "-00:00:01", "100:00:00", "99:59:59")
    fractions = ("00:00:00.5", "-00:00:00.25", "12:00:00.125") if digits else ()
    return one_of(*(f"'{text}'" for text in (*plain, *fractions)))


def doubles(rng: Random) -> str:
    """Doubles whose sums depend on the order of adding, and some that print with exponents."""
    return rng.choice(("0.1", "0.2", "0.3", "-1.5", "3.14159", "1e15", "123456789012345678", "1e-7", "2.5e-15", "1e20", "7", "0", "-0.7"))


def _text(name: str, ddl: str, collation: str) -> Column:
    charset = collation.split("_")[0]
    pool = {"utf8mb4": WORDS, "latin1": LATIN_WORDS, "ascii": ASCII_WORDS}[charset]
    # To a NOPAD collation, a character without weight equals nothing at all, but GROUP BY parts the two: no oracle there.
    ignorable = "\x01" if "nopad" in collation or "uca1400" in collation else "\0"
    short = [word for word in pool if len(word) <= 8 and (collation.endswith("_bin") or ignorable not in word)]
    return Column(name, f"{ddl} CHARACTER SET {charset} COLLATE {collation}", "str", words(short), collation)


def without_controls(values: Sequence[str]) -> list[str]:
    """For CHAR under a NOPAD collation: ORDER BY fills it up with spaces and `<` does not, so nothing below a space fits."""
    return [word for word in values if not any(char < " " for char in word)]


def _numbers() -> list[Column]:
    return [
        Column("ti", "TINYINT", "int", integers(-128, 127)),
        Column("si", "SMALLINT UNSIGNED", "int", integers(0, 65535)),
        Column("i", "INT", "int", integers(-(1 << 31), (1 << 31) - 1)),
        Column("bi", "BIGINT", "int", integers(-(1 << 63), (1 << 63) - 1)),
        Column("bu", "BIGINT UNSIGNED", "int", integers(0, (1 << 64) - 1)),
        Column("d0", "DECIMAL(12,0)", "dec", decimals(12, 0)),
        Column("d2", "DECIMAL(10,2)", "dec", decimals(10, 2)),
        Column("d5", "DECIMAL(20,5)", "dec", decimals(20, 5)),
        Column("d9", "DECIMAL(18,9)", "dec", decimals(18, 9)),
        Column("d10", "DECIMAL(30,10)", "dec", decimals(30, 10)),
        Column("fl", "FLOAT", "float", one_of(0, 1.5, -2.25, 0.1, 3.3, 1e10, 16777216, -0.001), exact=False),
        Column("db", "DOUBLE", "float", doubles, exact=False),
        Column("dx", "DOUBLE", "float", one_of(0, 0.5, -1.25, 3, 1024, 7.75, -100)),
        Column("bt", "BIT(9)", "bit", one_of("b'0'", "b'1'", "b'101'", "b'111111111'", 300)),
    ]


def _others() -> list[Column]:
    return [
        Column("vb", "VARBINARY(16)", "bin", one_of("''", "'a'", "'A'", "'a '", "x'00FF'", "x'00'", "x'FF'", "'zz'")),
        Column("bn", "BINARY(4)", "bin", one_of("'a'", "'ab'", "x'00FF'", "x'61'", "''")),
        Column("dt", "DATE", "date", dates()),
        Column("ts", "DATETIME", "datetime", dates(0)),
        Column("t3", "DATETIME(3)", "datetime", dates(3)),
        Column("t6", "DATETIME(6)", "datetime", dates(6)),
        Column("tm", "TIME", "time", times(0)),
        Column("tm3", "TIME(3)", "time", times(3)),
        Column("yr", "YEAR", "year", one_of(1999, 2000, 2024, 1901, 2155)),
        Column("en", "ENUM('red','Green','blue','a','10')", "enum", one_of("'red'", "'Green'", "'blue'", "'a'", "'10'")),
        Column("st", "SET('x','y','w','Z')", "set", one_of("''", "'x'", "'x,y'", "'y,Z'", "'w'", "'x,y,w,Z'")),
    ]


def _strings(rng: Random) -> list[Column]:
    return [
        _text("ci", "VARCHAR(20)", rng.choice(CI)),
        _text("cs", "VARCHAR(20)", rng.choice(CS)),
        _text("ch", "CHAR(10)", rng.choice([name for name in CI + CS if "nopad" not in name])),
        _text("tx", "TEXT", rng.choice(CI + CS)),
        _text("la", "VARCHAR(12)", "latin1_swedish_ci"),
        _text("nn", "VARCHAR(20)", rng.choice(CI)),
    ]


def random_columns(rng: Random, count: int) -> list[Column]:
    """Some columns of each family, in any order."""
    numbers, others, strings = _numbers(), _others(), _strings(rng)
    chosen = rng.sample(numbers, count // 3 + 1) + rng.sample(strings, count // 4 + 1)
    chosen += rng.sample(others, max(0, count - len(chosen)))
    rng.shuffle(chosen)
    return [column if rng.random() < 0.7 else Column(**(vars(column) | {"nullable": False})) for column in chosen]
