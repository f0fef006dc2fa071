"""The JSON Schema of the configuration file, generated from the model. `--check FILE` fails where a file has drifted."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from shardproxy.config.model import Config


def schema_text() -> str:
    """The schema as it is kept in `schemas/config.schema.json`."""
    schema = Config.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "shardproxy configuration"
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def main(arguments: list[str]) -> int:
    """`[--check] FILE`: write the schema, or compare it with what is there."""
    check = arguments[:1] == ["--check"]
    target = Path(arguments[-1])
    if not check:
        target.write_text(schema_text(), encoding="utf-8")
        return 0
    if target.is_file() and target.read_text(encoding="utf-8") == schema_text():
        return 0
    print(f"{target} differs from the model: run `make format`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
