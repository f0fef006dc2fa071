"""MySQL's SQL in SQLite's words. sqlglot does most of it; what it leaves out is done on the tree here.

Declared types stay MySQL's own (SQLite takes any name), so that DESCRIBE shows what was created, and results can be typed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from shardproxy.backends.sqlite_functions import SERVER_VERSION, SYSTEM_VARIABLES
from shardproxy.errors import UNSUPPORTED_STATEMENT, ProxyError, ServerError

# Long texts are rows of data, which do not come again.
_CACHED_BYTES = 4096
_TRANSACTION = re.compile(rb"\s*(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|START\s+TRANSACTION)\b[^;]*", re.IGNORECASE)
# An INSERT of nothing but plain values means the same to both, and may be too long to be parsed in passing.
_VALUE = rb"(?:NULL|-?\d+(?:\.\d+)?|'[^'\\]*+(?:''[^'\\]*+)*+')\s*"
_PLAIN_INSERT = re.compile(
    rb"\s*(?:INSERT|REPLACE)\s+INTO\s+`?(\w+)`?\s*(?:\([\w`,\s]*+\)\s*)?VALUES\s*"
    rb"(?:\(\s*(?:" + _VALUE + rb",\s*)*+" + _VALUE + rb"\)\s*,?\s*)++",
    re.IGNORECASE,
)
# What SQLite has no place for: a table is a table, and strings compare byte by byte.
_DROPPED_CONSTRAINTS = (
    exp.CharacterSetColumnConstraint,
    exp.CollateColumnConstraint,
    exp.CommentColumnConstraint,
    exp.OnUpdateColumnConstraint,
)
_KEPT_PROPERTIES = (exp.LikeProperty, exp.TemporaryProperty)


@dataclass(frozen=True, slots=True)
class Translation:
    """`statements` in turn do what the statement asked for. `query` is the tree of a SELECT, for the types of its result;
    `names` are what MySQL calls those of its columns that have no name of their own. `into` is the table of an INSERT."""

    statements: tuple[str, ...]
    query: exp.Query | None = None
    names: tuple[str, ...] = ()
    into: str = ""


def translate(sql: bytes) -> Translation:
    """A statement in SQLite's dialect; raises `ProxyError` where there is none."""
    return _cached(sql) if len(sql) <= _CACHED_BYTES else _translate(sql)


@lru_cache(maxsize=2048)
def _cached(sql: bytes) -> Translation:
    return _translate(sql)


def _translate(sql: bytes) -> Translation:
    text = sql.decode("utf-8", "replace")
    plain = _PLAIN_INSERT.fullmatch(sql)
    if plain:
        return Translation((text,), into=plain[1].decode())
    if _TRANSACTION.fullmatch(sql):
        return Translation(("BEGIN" if text.split()[0].upper() in ("BEGIN", "START") else text,))
    try:
        tree = sqlglot.parse_one(text, read="mysql")
        names = _names(text, tree) if isinstance(tree, exp.Select) else ()
        query = tree.copy() if isinstance(tree, exp.Query) else None
        target = tree.find(exp.Table) if isinstance(tree, exp.Insert) else None
        into = target.name if target is not None else ""
        statements = [_common(part).sql("sqlite", unsupported_level=sqlglot.ErrorLevel.RAISE) for part in _parts(tree)]
    except SqlglotError as error:
        raise ProxyError(UNSUPPORTED_STATEMENT, f"SQLite cannot do this: {str(error).splitlines()[0]}") from None
    return Translation(tuple(statements), query, names, into)


# -- schema changes ---------------------------------------------------------------------------------------------------


def _parts(tree: exp.Expr) -> list[exp.Expr]:
    """The statements that SQLite needs for this one."""
    change = _CHANGES.get((type(tree), str(tree.args.get("kind") or "")))
    return [tree] if change is None else change(tree)


def _create_table(tree: exp.Expr) -> list[exp.Expr]:
    """The table, then its indexes, which are statements of their own."""
    properties = tree.args.get("properties")
    if properties is not None:
        properties.set("expressions", [p for p in properties.expressions if isinstance(p, _KEPT_PROPERTIES)])
        if not properties.expressions:
            tree.set("properties", None)
    schema = tree.this
    if not isinstance(schema, exp.Schema):
        return [tree]
    table, kept, indexes = schema.this.name, [], []
    for part in schema.expressions:
        inner = part.expressions[0] if isinstance(part, exp.Constraint) else part
        if isinstance(inner, (exp.IndexColumnConstraint, exp.UniqueColumnConstraint)):
            name = part.name if isinstance(part, exp.Constraint) else ""
            indexes.append(_index(table, inner, name, exists=bool(tree.args.get("exists"))))
        elif not isinstance(part, exp.ForeignKey) and not isinstance(inner, exp.ForeignKey):
            kept.append(_column(part) if isinstance(part, exp.ColumnDef) else part)
    schema.set("expressions", kept)
    return [tree, *indexes]


def _column(column: exp.ColumnDef) -> exp.ColumnDef:
    """A column's definition under its type's own name."""
    constraints = [c for c in column.args.get("constraints") or [] if not isinstance(c.kind, _DROPPED_CONSTRAINTS)]
    column.set("constraints", constraints)
    column.set("position", None)
    # Only a column of exactly the type INTEGER counts by itself.
    counts = any(isinstance(c.kind, exp.AutoIncrementColumnConstraint) for c in constraints)
    kind = column.args["kind"]
    name = "INTEGER" if counts else kind.sql("mysql")
    if kind.this == exp.DataType.Type.DECIMAL:
        name = name.replace(" ", "")
    column.set("kind", exp.DataType(this=exp.DataType.Type.USERDEFINED, kind=name))
    return column


def _index(table: str, part: exp.Expr, name: str = "", *, exists: bool = False) -> exp.Expr:
    """CREATE INDEX for a KEY or UNIQUE of a table's definition."""
    unique = isinstance(part, exp.UniqueColumnConstraint)
    members = part.this.expressions if unique else part.expressions
    own = part.this.this if unique else part.this
    columns = [_index_member(member) for member in members]
    name = name or (own.name if own is not None else "") or columns[0].name
    return _create_index(name, table, columns, unique=unique, exists=exists)


def _index_member(member: exp.Expr) -> exp.Expr:
    """A column of an index. Its prefix length and direction make no difference to an answer."""
    while not isinstance(member, (exp.Column, exp.Identifier)):
        member = exp.to_identifier(member.name) if isinstance(member, exp.Anonymous) else member.this
    return exp.to_identifier(member.name)


def _create_index(name: str, table: str, columns: list[exp.Expr], *, unique: bool, exists: bool) -> exp.Expr:
    """Names of indexes are the database's in SQLite, the table's in MySQL: the table's name goes before."""
    quoted = ", ".join(f'"{column.name}"' for column in columns)
    kind, guard = ("UNIQUE INDEX" if unique else "INDEX"), ("IF NOT EXISTS " if exists else "")
    return sqlglot.parse_one(f'CREATE {kind} {guard}"{table}.{name}" ON "{table}" ({quoted})', read="sqlite")


def _create_index_statement(tree: exp.Expr) -> list[exp.Expr]:
    index = tree.this
    columns = [_index_member(member) for member in index.args["params"].args.get("columns") or []]
    exists = bool(tree.args.get("exists"))
    return [_create_index(index.name, index.args["table"].name, columns, unique=bool(tree.args.get("unique")), exists=exists)]


def _drop_index(tree: exp.Expr) -> list[exp.Expr]:
    table = tree.args["cluster"].this.name
    names = [found.name for found in tree.args["tables"]]
    return [sqlglot.parse_one(f'DROP INDEX "{table}.{name}"', read="sqlite") for name in names]


def _drop_table(tree: exp.Expr) -> list[exp.Expr]:
    """SQLite drops one table at a time."""
    exists = bool(tree.args.get("exists"))
    return [exp.Drop(tables=[found.copy()], kind=tree.args["kind"], exists=exists) for found in tree.args["tables"]]


def _alter(tree: exp.Expr) -> list[exp.Expr]:
    """SQLite takes one action at a time, and indexes as statements of their own."""
    parts: list[exp.Expr] = []
    for action in tree.args["actions"]:
        if isinstance(action, exp.AddConstraint):
            parts += [_index(tree.this.name, inner) for inner in action.expressions]
            continue
        if isinstance(action, exp.ColumnDef):
            action = _column(action)  # noqa: PLW2901
        parts.append(exp.Alter(this=tree.this.copy(), kind="TABLE", actions=[action.copy()]))
    return parts


def _truncate(tree: exp.Expr) -> list[exp.Expr]:
    return [exp.Delete(this=table.copy()) for table in tree.expressions]


_CHANGES: dict[tuple[type, str], Callable[[exp.Expr], list[exp.Expr]]] = {
    (exp.Create, "TABLE"): _create_table,
    (exp.Create, "INDEX"): _create_index_statement,
    (exp.Drop, "INDEX"): _drop_index,
    (exp.Drop, "TABLE"): _drop_table,
    (exp.Drop, "VIEW"): _drop_table,
    (exp.Alter, "TABLE"): _alter,
    (exp.TruncateTable, ""): _truncate,
}


# -- rows -------------------------------------------------------------------------------------------------------------


def _common(tree: exp.Expr) -> exp.Expr:
    """What any statement may contain."""
    if isinstance(tree, exp.Insert) and tree.args.get("conflict") is not None:
        _on_duplicate_key(tree)
    if isinstance(tree, exp.Query):
        for select in tree.find_all(exp.Select):
            select.set("locks", None)  # a SQLite file has one writer
    return tree.transform(_node, copy=False)


def _node(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.SessionParameter):
        value = SYSTEM_VARIABLES.get(node.name.lower())
        if value is None:
            raise ServerError(1193, "HY000", f"Unknown system variable '{node.name}'")
        return exp.Literal.number(value) if isinstance(value, int) else exp.Literal.string(value)
    if isinstance(node, exp.CurrentVersion):
        return exp.Literal.string(SERVER_VERSION)
    if isinstance(node, exp.Table) and node.db.lower() == "information_schema":
        alias = node.alias or node.name
        return exp.to_table(f"information_schema_{node.name.lower()}", alias=alias)
    if isinstance(node, exp.Table) and node.name.upper() == "DUAL" and isinstance(node.parent, exp.From):
        return exp.alias_(exp.select("1").subquery(), "dual")
    return node


def _on_duplicate_key(tree: exp.Insert) -> None:
    """SQLite's upsert; VALUES(c) is the value that could not be inserted."""
    for found in list(tree.args["conflict"].find_all(exp.Anonymous)):
        if found.name.upper() == "VALUES":
            found.replace(exp.column(found.expressions[0].name, table="excluded"))
    tree.args["conflict"].set("duplicate", False)
    tree.args["conflict"].set("action", exp.var("DO UPDATE"))
    source = tree.expression
    if isinstance(source, exp.Select) and source.args.get("where") is None:
        source.where("TRUE", copy=False)  # else SQLite reads ON CONFLICT as a join's ON


# -- names ------------------------------------------------------------------------------------------------------------


def _names(text: str, tree: exp.Select) -> tuple[str, ...]:
    """What MySQL calls the columns of a SELECT: an expression without an alias is called by its own text, '' where it is not
    one. Empty where the SELECT has a star."""
    items = tree.expressions
    if any(item.is_star and not isinstance(item, exp.Count) for item in items):
        return ()
    plain = ["" if isinstance(item, (exp.Alias, exp.Column)) else "?" for item in items]
    if not any(plain):
        return ()
    texts = _item_texts(text)
    if len(texts) != len(items):
        return ()
    return tuple(own and _shown(item, raw) for own, item, raw in zip(plain, items, texts, strict=True))


def _shown(item: exp.Expr, raw: str) -> str:
    return item.name if isinstance(item, exp.Literal) and item.is_string else raw


_AFTER_ITEMS = frozenset(
    (sqlglot.TokenType.FROM, sqlglot.TokenType.WHERE, sqlglot.TokenType.LIMIT, sqlglot.TokenType.ORDER_BY, sqlglot.TokenType.UNION)
)


def _item_texts(text: str) -> list[str]:
    """The texts between SELECT and FROM, cut at the commas."""
    tokens = sqlglot.tokenize(text, read="mysql")
    first = next((i for i, token in enumerate(tokens) if token.token_type is sqlglot.TokenType.SELECT), 0) + 1
    texts: list[str] = []
    depth, start, end = 0, -1, 0
    for token in tokens[first:]:
        if depth == 0 and token.token_type in _AFTER_ITEMS:
            break
        if start < 0:
            if token.token_type in (sqlglot.TokenType.DISTINCT, sqlglot.TokenType.ALL):
                continue
            start = token.start
        depth += (token.token_type is sqlglot.TokenType.L_PAREN) - (token.token_type is sqlglot.TokenType.R_PAREN)
        if depth == 0 and token.token_type is sqlglot.TokenType.COMMA:
            texts.append(text[start:end].strip())
            start = -1
            continue
        end = token.end + 1
    if start >= 0:
        texts.append(text[start:end].strip())
    return texts
