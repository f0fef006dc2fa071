"""A sharding router for MySQL and MariaDB: one address over range-sharded and hash-sharded databases."""

__version__ = "0.1.0"
