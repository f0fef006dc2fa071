"""Plans. A plan holds no literal and no live object: it refers to literals by number and to tables by name, so one plan serves
every statement of its shape, whatever its values, until the topology or the catalog changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from shardproxy.config.model import ReadMode
from shardproxy.errors import ProxyError
from shardproxy.merge.spec import MergeSpec
from shardproxy.planner.template import Template
from shardproxy.topology.keys import IntegerKey, Key
from shardproxy.topology.placement import Placement


class Kind(Enum):
    """What a statement does, as metrics and EXPLAIN ROUTE name it."""

    SELECT = "select"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    DDL = "ddl"
    SHOW = "show"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Operand:
    """A value that a statement compares the sharding key with: literal `slot`, negated where a minus stands before it."""

    slot: int
    negative: bool = False


@dataclass(frozen=True, slots=True)
class OneOf:
    """The key equals one of the operands. An operand may stand for a whole literal list."""

    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Within:
    """The key lies between two operands; None is an open end. The lower end counts as inclusive."""

    low: Operand | None
    high: Operand | None
    high_inclusive: bool = True


@dataclass(frozen=True, slots=True)
class AllOf:
    """All parts hold."""

    parts: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple[Predicate, ...]


Predicate = OneOf | Within | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class KeyRoute:
    """The shards of one class of co-located tables: those that its predicate leaves, or all that own a partition of it."""

    table: str
    placement: Placement
    predicate: Predicate | None


class Opcode(Enum):
    """What a route needs before its shards are known."""

    FIXED = "one named shard"
    ANY = "any one shard"
    EVERY = "every shard"
    KEYED = "the shards that the sharding key names"


@dataclass(frozen=True, slots=True)
class Point:
    """The most common condition on a key: it equals literal `slot`, negated where a minus stands before it."""

    placement: Placement
    slot: int
    negative: bool


@dataclass(frozen=True, slots=True)
class Route:
    """Where a statement goes. `point` is the shortcut for the most common case: one table, one literal equal to its key."""

    opcode: Opcode
    shard: str = ""
    keys: tuple[KeyRoute, ...] = ()
    point: Point | None = None


@dataclass(frozen=True, slots=True)
class RowInsert:
    """An INSERT of rows of values into a sharded table: where the key stands in each row.

    `auto_position` is that of an AUTO_INCREMENT column, whose value must be given, or -1. `many` says that the statement has
    several rows: it is then split, and each shard gets its own.
    """

    placement: Placement
    key_column: str
    key_position: int
    width: int
    auto_position: int = -1
    auto_column: str = ""
    many: bool = False

    def accepts(self, key: Key) -> bool:
        """Whether the column can hold the key as it is."""
        kind = self.placement.key_type
        return not isinstance(kind, IntegerKey) or kind.low <= int(key) <= kind.high


@dataclass(frozen=True, slots=True)
class Plan:
    """How one statement shape is carried out.

    - `template`: the text for a shard, or None to send the text as it came.
    - `scatter`: what each of several shards is asked instead, and `merge` how the answers become one. A write on several shards
      has no `merge`: its counts are added up.
    - `refusal`: what a client is told where the route comes to more than one shard.
    - `split_list`: a list behind IN of which each shard gets its own part only.
    - `system`: a question about the schema; the shards' schema name is replaced by the logical one both ways.
    - `schema_slots`: the literals of such a question that may be the schema's name; None: all.
    - `system_order`: the columns, and directions, by which such an answer of several shards is ordered.
    - `pin`: what the statement leaves behind on its connection.
    - `fixed_slots`: the literals whose values the plan depends on.
    - `auto_slots`: the literals given to an AUTO_INCREMENT column; unless one is zero, LAST_INSERT_ID() stays as it was.
    - `asks_id`: the answer may name an id that was not kept (INSERT IGNORE and the like), so LAST_INSERT_ID() is asked for.
    - `unknown_ids`: the table is not known, so the answer may name an id that the statement gave itself.
    - `offset_slot`: the literal of OFFSET, which FOUND_ROWS() counts too.
    - `calc_found_rows`: the server is asked for FOUND_ROWS() behind the statement.
    - `first_only`: one shard's answer will do (EXPLAIN).
    - `local_file`: the client is asked for a file (LOAD DATA LOCAL).
    - `whole`: the statement was not looked into, so what it did to the transaction is told from the answer.
    - `taints`: it may leave something on its connection that cannot be told: the connection is reset before anyone else gets it.
    - `sees`: it shows rows of tables, in a schema that is passed through.
    - `replica`: a plain read of tables, which a replica may answer. `reads` is how strict its tables are about that, if they are.
    - `right`: what a client without the right to administer is told, or "" where nobody needs it.
    - `point`: set where the text can go straight to the shard that one literal names.
    - `label`: the kind's name in metrics.
    - `short`: whether the session's short way may be tried.
    """

    kind: Kind
    route: Route
    template: Template | None = None
    scatter: Template | None = None
    merge: MergeSpec | None = None
    refusal: ProxyError | None = None
    split_list: int | None = None
    insert: RowInsert | None = None
    writes: bool = False
    locks: bool = False
    reference_write: bool = False
    system: bool = False
    pin: str = ""
    tables: tuple[str, ...] = ()
    fixed_slots: tuple[int, ...] = ()
    auto_slots: tuple[int, ...] | None = None
    asks_id: bool = False
    unknown_ids: bool = False
    offset_slot: int | None = None
    system_order: tuple[tuple[int, bool], ...] = ()
    schema_slots: frozenset[int] | None = None
    first_only: bool = False
    calc_found_rows: bool = False
    local_file: bool = False
    whole: bool = False
    taints: bool = False
    right: str = ""
    replica: bool = False
    sees: bool = False
    reads: ReadMode | None = None
    point: Point | None = field(init=False)
    short: bool = field(init=False)
    label: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.kind.value)
        more = (
            self.pin
            or self.kind is Kind.DDL
            or self.local_file
            or self.taints
            or self.right
            or self.asks_id
            or self.calc_found_rows
            or self.system
            or self.reference_write
            or (self.insert is not None and self.insert.many)
        )
        # Where an OFFSET skips every row, FOUND_ROWS() has to be asked for; merged rows are counted here.
        short = not more and (self.offset_slot is None or self.scatter is not None)
        object.__setattr__(self, "point", self.route.point if short and self.template is None and self.offset_slot is None else None)
        object.__setattr__(self, "short", short and (self.insert is None or self.point is not None))

    def for_many_rows(self) -> Plan:
        """The same INSERT with any number of rows."""
        return self if self.insert is None else replace(self, insert=replace(self.insert, many=True))

    def chose_ids(self, literals: Sequence[bytes]) -> bool:
        """Whether the statement gave all its AUTO_INCREMENT values itself: the server then reports one that it did not choose."""
        return self.auto_slots is not None and all(literals[slot].strip(b"'\"0.") for slot in self.auto_slots)

    @property
    def keeps_warnings(self) -> bool:
        """Whether the warnings of the statement before stay: on servers, a query that uses no table does not clear them."""
        return self.kind is Kind.SELECT and not (self.writes or self.system or self.tables or self.sees)

    @property
    def plain_read(self) -> bool:
        """Whether the statement only reads and leaves nothing behind: it may be repeated on a lost connection."""
        return not (self.writes or self.locks or self.pin)


@dataclass(frozen=True, slots=True)
class DdlStep:
    """One schema change: its text and the shards that get it, in turn."""

    text: Template
    shards: tuple[str, ...]
    table: str


@dataclass(frozen=True, slots=True)
class DdlPlan:
    """A DDL statement: its steps. `temporary` tables belong to the session, which is then pinned. `dropped_schema` is that of a DROP
    DATABASE. `right` is that of `Plan`."""

    steps: tuple[DdlStep, ...]
    temporary: bool = False
    dropped_schema: str = ""
    right: str = ""
    kind: Kind = Kind.DDL
    fixed_slots: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LocalPlan:
    """A statement that the session carries out itself: SET, USE, BEGIN, SHOW WARNINGS and the like."""

    verb: str
    kind: Kind = Kind.SESSION
    fixed_slots: tuple[int, ...] = ()


AnyPlan = Plan | DdlPlan | LocalPlan
