"""Django's own tests of what its models ask of a database, with its MySQL backend on PyMySQL."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence

from tests.suites.cache import cache_dir, python, python_version, source_distribution
from tests.suites.model import Result, Suite, Target
from tests.suites.recorded import run_recorded

_LABELS = ("backends", "introspection", "transactions", "schema", "queries", "aggregation", "select_for_update", "bulk_create")
# More names than this, and the labels are run whole.
_NAMES_AT_ONCE = 200


class Django(Suite):
    """tests/runtests.py of the source distribution."""

    def prepare(self) -> str:
        source_distribution("django")
        return f"Django {python_version('django')} over PyMySQL {python_version('PyMySQL')}: {', '.join(_LABELS)}"

    def run(self, target: Target, names: Sequence[str]) -> Iterator[tuple[str, Result]]:
        tree = target.backend.dir / "tree"
        shutil.copytree(source_distribution("django"), tree, dirs_exist_ok=True)
        environment = {
            "SUITES_HOST": target.host,
            "SUITES_PORT": str(target.port),
            "SUITES_USER": target.user,
            "SUITES_PASSWORD": target.password,
            "PYTHONPATH": str(tree),
        }
        labels = names if 0 < len(names) <= _NAMES_AT_ONCE else _LABELS
        wanted = set(names)
        told = run_recorded(
            [python(), "runtests.py", "--settings=django_settings", "--parallel=1", "--noinput", *labels],
            record=cache_dir() / f"{self.name}.{target.side}.jsonl",
            cwd=tree / "tests",
            environment=environment,
            timeout_s=2400,
        )
        seen: dict[str, Result] = {}
        for name, result in told:
            # Parts of one test are told one by one.
            if (not wanted or name in wanted) and (name not in seen or seen[name].outcome != "fail"):
                seen[name] = result
                yield name, result


SUITES = [
    Django(
        "django",
        title="Django",
        about="its tests of databases, schemas, transactions and queries",
        schema="django",
        more_schemas=("django2",),
        server_options=("--lock-wait-timeout=20",),
    )
]
