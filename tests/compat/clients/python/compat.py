"""The contract of tests/compat/README.md for programs in Python: where to connect, and how checks are run and reported."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

CHECKS = (
    "connect connect_sha2 connect_tls connect_socket types_text types_prepared unicode prepared transactions batch keys stream large "
    "errors reset pool kill multi infile compress orm_schema orm_use"
)
# A check that hangs must not take those after it along.
CHECK_TIMEOUT_S = 60

Check = Callable[[], Awaitable[None]]


class Skip(Exception):
    """The driver cannot do it, or there is nothing to do it on; the message says which."""


@dataclass(frozen=True)
class Settings:
    """Where to connect, from the environment."""

    host: str
    port: int
    user: str
    password: str
    database: str
    sha2_user: str
    sha2_password: str
    ca: str
    socket: str
    prefix: str
    sharded: bool

    def table(self, name: str) -> str:
        """The program's own table of that name."""
        return f"{self.prefix}_{name}"


def _settings() -> Settings:
    def read(name: str) -> str:
        return os.environ.get(f"COMPAT_{name}", "")

    return Settings(
        host=read("HOST"),
        port=int(read("PORT")),
        user=read("USER"),
        password=read("PASSWORD"),
        database=read("DATABASE"),
        sha2_user=read("SHA2_USER"),
        sha2_password=read("SHA2_PASSWORD"),
        ca=read("CA"),
        socket=read("SOCKET"),
        prefix=read("PREFIX"),
        sharded=read("SHARDED") == "1",
    )


SETTINGS = _settings()


def same(actual: Any, expected: Any, what: str) -> None:
    """Equal, and of one type: 1 is not True, and "1" is not 1."""
    if type(actual) is not type(expected) or actual != expected:
        raise AssertionError(f"{what}: {_short(actual)} in place of {_short(expected)}")


def run(checks: object) -> None:
    """Run what an object has of `check_<name>`, report each, and end the process."""
    asyncio.run(_run_all(checks))
    sys.stdout.flush()
    # Threads that still wait for a server would keep an ordinary end from coming.
    os._exit(0)


async def _run_all(checks: object) -> None:
    wanted = os.environ.get("COMPAT_CHECKS", "").split()  # by hand: some of them
    for name in CHECKS.split():
        check = getattr(checks, f"check_{name}", None)
        if check is not None and (not wanted or name in wanted):
            fault = getattr(checks, "faults", {}).get(name)
            status, detail = ("skip", f"the driver's own fault: {fault}") if fault else await _run_one(check)
            print(name, status, " ".join(detail.split()), sep="\t", flush=True)


async def _run_one(check: Check) -> tuple[str, str]:
    try:
        await asyncio.wait_for(check(), CHECK_TIMEOUT_S)
    except Skip as reason:
        return "skip", str(reason)
    except AssertionError as error:
        return "fail", str(error)
    except TimeoutError:
        return "fail", f"not done within {CHECK_TIMEOUT_S} s"
    except Exception as error:
        if os.environ.get("COMPAT_TRACE"):
            raise
        return "fail", f"{type(error).__module__}.{type(error).__qualname__}: {_short(error)}"
    return "ok", ""


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, Exception) else repr(value)
    return text if len(text) <= 400 else f"{text[:200]} … {text[-100:]} ({len(text)} characters)"
