"""How the rows are spread in each benchmark: schemas on the two shard servers, and the rules of the tables."""

from collections.abc import Iterator
from dataclasses import dataclass

SHARD_SERVERS = 2


@dataclass(frozen=True, slots=True)
class Layout:
    """A number of shards, dealt in turn to the two servers, and the schema on the third that holds all their rows."""

    name: str
    shards: int

    def schemas(self, server: int) -> list[str]:
        """The schemas that one of the shard servers holds."""
        return [self.schema(shard) for shard in range(server, self.shards, SHARD_SERVERS)]

    def schema(self, shard: int) -> str:
        """The schema of one shard."""
        return f"{self.name}_{shard}"

    def servers(self) -> Iterator[tuple[int, int]]:
        """Each shard with the server that it stands on."""
        for shard in range(self.shards):
            yield shard, shard % SHARD_SERVERS


TWO = Layout("two", 2)  # the sysbench workloads
FOUR = Layout("four", 4)  # scatter and streaming
LAYOUTS = (TWO, FOUR)


def range_bounds(rows: int, shards: int) -> list[int]:
    """Where ids 1..rows are cut into equal ranges: the first id past each shard but the last."""
    return [1 + rows * shard // shards for shard in range(1, shards)]
