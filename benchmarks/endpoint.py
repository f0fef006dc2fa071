"""An address to send statements to, and the processes that stand behind it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One way to the rows: directly, through HAProxy, or through the proxy."""

    name: str
    port: int
    user: str
    password: str
    schema: str
    proxy_pids: tuple[int, ...] = ()  # roots of what stands between client and servers; none when direct
    server_pids: tuple[int, ...] = ()  # the MariaDB servers behind it
