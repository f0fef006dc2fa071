"""Plans by the shape of their statement, bounded, least recently used ones dropped first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from shardproxy.errors import TOO_COMPLEX, ProxyError
from shardproxy.planner.plan import AnyPlan

CachedPlan = AnyPlan | ProxyError
# Longer shapes are planned each time: a cache of them would be a cache of data.
MAX_SHAPE_BYTES = 16 * 1024


class PlanCache:
    """Plans of one context (topology epoch, catalog version, selected schema). Replace the cache to invalidate it.

    A refusal is cached too, so that a client which repeats it costs no parsing. Shapes whose plan depends on the value of
    literals (ORDER BY 2) are kept once per such value, each counting as an entry of its own.
    """

    def __init__(self, capacity: int, build: Callable[[bytes, list[bytes]], AnyPlan]) -> None:
        self.capacity = capacity
        self.hits = 0
        self.misses = 0
        self._build = build
        self._plans: OrderedDict[object, CachedPlan] = OrderedDict()
        self._fixed: dict[bytes, tuple[int, ...]] = {}

    def __len__(self) -> int:
        return len(self._plans)

    def __contains__(self, shape: bytes) -> bool:
        return shape in self._plans or shape in self._fixed

    def get(self, shape: bytes, literals: list[bytes]) -> AnyPlan:
        """The plan for a statement; raises its refusal."""
        key: object = shape
        plan = self._plans.get(shape)
        if plan is None and (fixed := self._fixed.get(shape)) is not None:
            key = (shape, *[literals[i] for i in fixed])
            plan = self._plans.get(key)
        if plan is None:
            return self._miss(shape, literals)
        self.hits += 1
        self._plans.move_to_end(key)
        if isinstance(plan, ProxyError):
            raise ProxyError(plan.spec, plan.detail, plain=plan.plain)
        return plan

    def _miss(self, shape: bytes, literals: list[bytes]) -> AnyPlan:
        self.misses += 1
        return self.add(shape, literals, self.build(shape, literals))

    def build(self, shape: bytes, literals: list[bytes]) -> CachedPlan:
        """Plan a statement without touching the cache; a refusal is given, not raised. May run in a thread."""
        try:
            return self._build(shape, literals)
        except ProxyError as error:
            # Kept without its traceback, whose frames hold the statement with all its literals.
            return ProxyError(error.spec, error.detail, fatal=error.fatal, plain=error.plain)
        except RecursionError:
            return ProxyError(TOO_COMPLEX, "the statement is nested too deeply")

    def add(self, shape: bytes, literals: list[bytes], plan: CachedPlan) -> AnyPlan:
        """Keep a plan that was built; gives it back, or raises its refusal."""
        if len(shape) <= MAX_SHAPE_BYTES:
            key: object = shape
            fixed = set(self._fixed.get(shape, ()))
            if not isinstance(plan, ProxyError):
                fixed |= set(plan.fixed_slots)
            if fixed:
                self._fixed[shape] = slots = tuple(sorted(fixed))
                key = (shape, *[literals[i] for i in slots])
            self._plans[key] = plan
            if len(self._plans) > self.capacity:
                self._evict()
        if isinstance(plan, ProxyError):
            raise plan
        return plan

    def _evict(self) -> None:
        key, _ = self._plans.popitem(last=False)
        if isinstance(key, bytes):
            self._fixed.pop(key, None)
        elif isinstance(key, tuple) and len(self._fixed) > self.capacity:
            self._fixed.pop(key[0], None)
