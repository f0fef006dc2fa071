"""`shardctl server` and `shardctl promote`: what an operator does with the servers of a replicated shard."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from typing import Any

from shardproxy.cli.main import EXIT_DONE, EXIT_FAILED, EXIT_REFUSED
from shardproxy.cli.printing import print_json
from shardproxy.cli.status import admin_url
from shardproxy.config.loader import LoadedConfig

# A planned promotion waits for transactions and for the new primary to catch up.
_TIMEOUT_S = 120.0


def change(loaded: LoadedConfig, path: str, asked: dict[str, Any], *, as_json: bool) -> int:
    """Ask the running proxy; print what was done and what is left to do. Gives the exit code."""
    url = admin_url(loaded).removesuffix("/status") + path
    try:
        answer = _post(url, asked, loaded.admin_token)
    except urllib.error.HTTPError as error:
        reason = _reason(error)
        print(f"shardctl: {reason}", file=sys.stderr)
        return EXIT_REFUSED if error.code in (403, 409) else EXIT_FAILED
    except (OSError, ValueError) as error:
        print(f"shardctl: no proxy answers at {url}: {getattr(error, 'reason', None) or error}", file=sys.stderr)
        return EXIT_FAILED
    if as_json:
        print_json([answer])
        return EXIT_DONE
    for line in answer["done"]:
        print(line)
    if answer["left"]:
        print("\nLeft to do:")
        for line in answer["left"]:
            print(f"  {line}")
    return EXIT_DONE


def _post(url: str, asked: dict[str, Any], token: str) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, json.dumps(asked).encode(), headers, method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=_TIMEOUT_S) as response:
        found = json.load(response)
    if not isinstance(found, dict) or "done" not in found:
        raise ValueError("what answers there is no shardproxy")
    return found


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        found = json.load(error)
    except ValueError:
        return str(error)
    return str(found.get("error", error)) if isinstance(found, dict) else str(error)
