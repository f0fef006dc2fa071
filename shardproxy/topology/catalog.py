"""What the shards' servers say about their tables: columns, unique keys, collations, stored functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Column:
    """One column, as information_schema has it. `data_type` is the bare type name in lower case."""

    name: str
    data_type: str
    column_type: str = ""
    nullable: bool = True
    charset: str | None = None
    collation: str | None = None
    max_chars: int = 0
    decimals: int = 0
    auto_increment: bool = False
    generated: bool = False
    has_default: bool = True

    @property
    def unsigned(self) -> bool:
        """Whether an integer column has no sign."""
        return "unsigned" in self.column_type.lower()


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """A primary or unique key."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableSchema:
    """One table or view. A view's `definition` is its SELECT."""

    name: str
    columns: tuple[Column, ...]
    unique_keys: tuple[UniqueKey, ...] = ()
    definition: str | None = None

    def column(self, name: str) -> Column | None:
        """The column of that name, in any case, or None."""
        lowered = name.lower()
        return next((column for column in self.columns if column.name.lower() == lowered), None)

    def position(self, name: str) -> int:
        """The position of a column, from 0, or -1."""
        lowered = name.lower()
        return next((i for i, column in enumerate(self.columns) if column.name.lower() == lowered), -1)


@dataclass(frozen=True, slots=True)
class Catalog:
    """The schema that clients work on, merged from all shards.

    `homes` names for each table the shards that have it. `collations` gives the weight of a space for a PAD SPACE collation,
    b"" for one that does not pad, None for one whose padding no single weight can express (several levels).
    `problems` says of a table why it cannot be served. `version` grows with every change.
    """

    version: int = 0
    tables: Mapping[str, TableSchema] = field(default_factory=lambda: MappingProxyType({}))
    homes: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    collations: Mapping[str, bytes | None] = field(default_factory=lambda: MappingProxyType({}))
    routines: frozenset[str] = frozenset()
    problems: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    flavour: str = "mariadb"
    server_version: str = "10.11.0-MariaDB"
    unread_shards: tuple[str, ...] = ()
