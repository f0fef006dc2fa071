"""Fixtures of the tests that hurt servers and proxy."""

from collections.abc import Iterator

import pytest

from tests.conftest import Shards
from tests.support.shop import Shop, open_shop


@pytest.fixture(scope="module")
def running_shop(shards: Shards) -> Iterator[Shop]:
    """One proxy over four shards for all tests of a file."""
    yield from open_shop(shards)


@pytest.fixture
def shop(running_shop: Shop) -> Shop:
    """`running_shop` with empty tables."""
    running_shop.clear()
    return running_shop
