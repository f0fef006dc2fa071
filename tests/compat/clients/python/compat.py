"""The contract of tests/compat/README.md for programs in Python: where to connect, and how checks are run and reported."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

CHECKS = (
    "connect connect_sha2 connect_tls connect_socket types_text types_prepared unicode prepared transactions batch keys stream large "
    "errors reset pool kill multi infile compress orm_schema orm_use"
)
# What `stream` reads; the tests of the project take fewer.
STREAMED = int(os.environ.get("COMPAT_ROWS") or 200_000)
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
    """Run what an object has of `check_<name>`, report each, and end the process.

    Those in its `left_out`, a mapping of names to reasons, are reported as left out.
    """
    asyncio.run(_run_all(checks))


async def _run_all(checks: object) -> None:
    wanted = os.environ.get("COMPAT_CHECKS", "").split()  # by hand: some of them
    left_out = getattr(checks, "left_out", {})
    for name in CHECKS.split():
        check = getattr(checks, f"check_{name}", None)
        if wanted and name not in wanted:
            continue
        if name in left_out:
            print(name, "skip", left_out[name], sep="\t", flush=True)
        elif check is not None:
            status, detail = await _run_one(check)
            print(name, status, " ".join(detail.split()), sep="\t", flush=True)
    # An ordinary end would wait for threads that wait for a server.
    os._exit(0)


async def _run_one(check: Check) -> tuple[str, str]:
    started = time.monotonic()
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
    return "ok", f"{time.monotonic() - started:.1f} s"


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, Exception) else repr(value)
    return text if len(text) <= 400 else f"{text[:200]} … {text[-100:]} ({len(text)} characters)"
