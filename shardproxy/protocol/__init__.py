"""The MySQL client/server protocol, both roles, without I/O: bytes in, typed messages out."""
