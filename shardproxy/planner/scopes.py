"""Which tables a statement touches, and how they hang together.

Each table of each SELECT is an *instance*. Two sharded instances are in one *class* when the statement makes their sharding
keys equal, so that rows which meet always live on the same shard. A class has the predicate that its outermost instances put on
the key. A statement can run on several shards at once if all its sharded instances form one class that reaches the outermost
FROM; it can run on a single shard whenever all classes come to that shard.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from sqlglot import exp

from shardproxy.errors import CROSS_SHARD_JOIN, CROSS_SHARD_SUBQUERY, UNSUPPORTED_STATEMENT, ProxyError
from shardproxy.planner.context import SYSTEM_SCHEMAS, PlanContext, ResolvedTable
from shardproxy.planner.plan import AllOf, KeyRoute, Predicate
from shardproxy.planner.predicates import conjuncts, key_predicate
from shardproxy.sql.statement import Statement
from shardproxy.topology.topology import Scheme


@dataclass(eq=False)
class Instance:
    """One table in one FROM. `visible` is the name that columns are qualified with."""

    table: ResolvedTable
    visible: str
    depth: int
    number: int
    nullable: bool = False
    predicates: list[Predicate] = field(default_factory=list)


@dataclass(eq=False)
class Scope:
    """The sources of one SELECT, UPDATE or DELETE. `opaque` are derived tables, whose columns are not followed."""

    depth: int
    outer: Scope | None
    instances: list[Instance] = field(default_factory=list)
    opaque: set[str] = field(default_factory=set)


class Scopes:
    """The analysis of one statement; build it, then call `visit` with the tree."""

    def __init__(self, statement: Statement, context: PlanContext, *, selected: bool) -> None:
        self.statement = statement
        self.context = context
        self.selected = selected
        self.instances: list[Instance] = []
        self.system = False
        self.top: Scope | None = None
        self.blocker: ProxyError | None = None
        self._class: list[int] = []
        self._depth = 0

    # -- walking ------------------------------------------------------------------------------------------------------

    def visit(self, root: exp.Expression) -> None:
        """Analyse a whole statement."""
        ctes = {cte.alias for cte in root.find_all(exp.CTE)}
        if ctes:
            self._block(CROSS_SHARD_SUBQUERY, "a WITH clause needs several shards")
        self._ctes = ctes
        self._query(root, None)
        for cte in root.find_all(exp.CTE):
            self._query(cte.this, None)

    def _query(self, node: exp.Expression, outer: Scope | None) -> None:
        while isinstance(node, (exp.Subquery, exp.Paren)):
            node = node.this
        if isinstance(node, exp.SetOperation):
            self._block(CROSS_SHARD_SUBQUERY, "a UNION needs several shards")
            self._query(node.this, outer)
            self._query(node.expression, outer)
            return
        if not isinstance(node, (exp.Select, exp.Update, exp.Delete)):
            raise ProxyError(UNSUPPORTED_STATEMENT, f"a {type(node).__name__.lower()} is not supported here")
        scope = Scope(self._depth, outer)
        self._depth += 1
        if self.top is None:
            self.top = scope
        self._sources(node, scope)
        where = node.args.get("where")
        if where is not None:
            self._condition(where.this, scope, None)
        for nested in _nested_queries(node):
            self._query(nested, scope)
        for membership in _memberships(node):
            self._semijoin(membership, scope)

    def _sources(self, node: exp.Expression, scope: Scope) -> None:
        first = node.this if isinstance(node, (exp.Update, exp.Delete)) else None
        origin = node.args.get("from_")
        if first is None and origin is not None:
            first = origin.this
        if first is None:
            return
        self._source(first, scope)
        for join in [*(first.args.get("joins") or ()), *(node.args.get("joins") or ())]:
            self._join(join, scope)

    def _source(self, node: exp.Expression, scope: Scope) -> Instance | None:
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            return self._table(node, scope)
        scope.opaque.add(node.alias_or_name)
        if isinstance(node, exp.Subquery) and isinstance(node.this, (exp.Select, exp.SetOperation, exp.Subquery)):
            self._query(node.this, None)
            return None
        self._block(CROSS_SHARD_JOIN, "a nested join, table function or LATERAL needs several shards")
        for table in node.find_all(exp.Table):
            if isinstance(table.this, exp.Identifier):
                self._table(table, scope)
        return None

    def _table(self, node: exp.Table, scope: Scope) -> Instance | None:
        name, schema = node.name, node.db
        if not schema and name in self._ctes:
            scope.opaque.add(node.alias_or_name)
            return None
        if schema.lower() in SYSTEM_SCHEMAS:
            self.system = True
            scope.opaque.add(node.alias_or_name)
            return None
        table = self.context.resolve(name, schema, selected=self.selected)
        instance = Instance(table, node.alias_or_name, scope.depth, len(self.instances))
        self.instances.append(instance)
        self._class.append(instance.number)
        scope.instances.append(instance)
        return instance

    def _join(self, join: exp.Join, scope: Scope) -> None:
        left = list(scope.instances)
        right = self._source(join.this, scope)
        side = (join.side or "").upper()
        if side in ("LEFT", "RIGHT"):
            self._outer_join(side, left, right)
        if side == "FULL" or (join.method or "").upper() == "NATURAL":
            self._block(CROSS_SHARD_JOIN, "a NATURAL or FULL join needs several shards")
        on = join.args.get("on")
        if on is not None:
            self._condition(on, scope, right if side else None, outer=bool(side))
        for column in join.args.get("using") or ():
            self._using(column.name, left, right)

    def _outer_join(self, side: str, left: list[Instance], right: Instance | None) -> None:
        """On several shards, rows that find no partner are right only if they come from one shard each."""
        for instance in [right] if side == "LEFT" else left:
            if instance is not None:
                instance.nullable = True
                # What an ON before said of it does not hold for the rows that the other side keeps.
                instance.predicates.clear()
        left_sharded = any(i.table.sharded for i in left)
        right_sharded = right is not None and right.table.sharded
        if (side == "LEFT" and right_sharded and not left_sharded) or (side == "RIGHT" and left_sharded and not right_sharded):
            self._block(CROSS_SHARD_JOIN, "an outer join keeps rows of a table that every shard has")

    def _using(self, column: str, left: list[Instance], right: Instance | None) -> None:
        if right is None:
            return
        for instance in left:
            if instance.table.rule.key.lower() == column.lower() == right.table.rule.key.lower():
                self._unite(instance, right)

    # -- conditions ---------------------------------------------------------------------------------------------------

    def _condition(self, condition: exp.Expression, scope: Scope, partner: Instance | None, *, outer: bool = False) -> None:
        """Take in a WHERE or an ON. The ON of an outer join says nothing of the rows it keeps: it only ties `partner` to them."""
        for part in conjuncts(condition):
            if isinstance(part, exp.EQ) and isinstance(part.this, exp.Column) and isinstance(part.expression, exp.Column):
                a, b = self._key_instance(part.this, scope), self._key_instance(part.expression, scope)
                if a and b and a is not b and (not outer or self._ties(partner, a, b)):
                    self._unite(a, b)
            if outer:
                continue
            for instance in scope.instances:
                if not instance.table.sharded or (instance.nullable and part.find(exp.NullSafeEQ)):
                    # A key that is missing equals NULL there, and such rows may be on any shard.
                    continue
                predicate = key_predicate(self.statement, part, partial(self._is_key, instance=instance, scope=scope))
                if predicate is not None:
                    instance.predicates.append(predicate)

    def _ties(self, partner: Instance | None, a: Instance, b: Instance) -> bool:
        """Whether equal keys in the ON of an outer join tie `partner` to what was there before.

        An optional partner hangs on one class only: it must not tie two others, whose rows are kept where their keys differ.
        """
        if partner is None or (partner is a) == (partner is b):
            return False
        return not partner.nullable or self._class.count(self._class[partner.number]) == 1

    def _is_key(self, node: exp.Expression, instance: Instance, scope: Scope) -> bool:
        return isinstance(node, exp.Column) and self._key_instance(node, scope) is instance

    def _key_instance(self, column: exp.Column, scope: Scope | None) -> Instance | None:
        """The instance whose sharding key a column is, or None."""
        instance = self.instance_of(column, scope)
        if instance is None or not instance.table.sharded:
            return None
        return instance if column.name.lower() == instance.table.rule.key.lower() else None

    def instance_of(self, column: exp.Column, scope: Scope | None) -> Instance | None:
        """The table instance that a column comes from, or None where that is not certain."""
        qualifier = column.table
        while scope is not None:
            if qualifier:
                if qualifier in scope.opaque:
                    return None
                found = [i for i in scope.instances if i.visible == qualifier]
            else:
                if any(i.table.schema is None for i in scope.instances):
                    return None
                found = [i for i in scope.instances if i.table.schema and i.table.schema.column(column.name)]
                if scope.opaque or len(found) > 1:
                    return None
            if found:
                return found[0]
            scope = scope.outer
        return None

    def _semijoin(self, node: exp.In, scope: Scope) -> None:
        """`key IN (SELECT key FROM ...)` meets only rows of one shard, just as an equality does."""
        query = node.args["query"].unnest() if isinstance(node.args["query"], exp.Subquery) else node.args["query"]
        if not isinstance(query, exp.Select) or not isinstance(node.this, exp.Column) or len(query.expressions) != 1:
            return
        if any(query.args.get(part) for part in ("limit", "group", "having", "with_")):
            return
        inner_column = query.expressions[0].unalias()
        inner_scope = next((s for s in self._scopes_below(scope) if self._owns(s, query)), None)
        if not isinstance(inner_column, exp.Column) or inner_scope is None:
            return
        a, b = self._key_instance(node.this, scope), self._key_instance(inner_column, inner_scope)
        if a and b and a.depth != b.depth:
            self._unite(a, b)

    def _scopes_below(self, scope: Scope) -> Iterator[Scope]:
        seen: dict[int, Scope] = {}
        for instance in self.instances:
            if instance.depth > scope.depth and instance.depth not in seen:
                seen[instance.depth] = inner = Scope(instance.depth, scope)
                inner.instances = [i for i in self.instances if i.depth == instance.depth]
        yield from seen.values()

    def _owns(self, scope: Scope, query: exp.Select) -> bool:
        origin = query.args.get("from_")
        if origin is None or query.args.get("joins") or not isinstance(origin.this, exp.Table):
            return False
        return [i.visible for i in scope.instances] == [origin.this.alias_or_name]

    # -- classes ------------------------------------------------------------------------------------------------------

    def _unite(self, a: Instance, b: Instance) -> None:
        """Put two instances in one class, if equal keys really live together."""
        left, right = a.table, b.table
        if not (left.sharded and right.sharded) or left.rule.group != right.rule.group or left.rule.scheme != right.rule.scheme:
            return
        if left.placement is None or right.placement is None or type(left.placement.key_type) is not type(right.placement.key_type):
            return
        old, new = self._class[b.number], self._class[a.number]
        self._class = [new if number == old else number for number in self._class]

    def _block(self, spec: object, detail: str) -> None:
        if self.blocker is None:
            self.blocker = ProxyError(spec, detail)  # type: ignore[arg-type]

    @property
    def sharded(self) -> list[Instance]:
        """The sharded instances."""
        return [i for i in self.instances if i.table.sharded]

    def key_routes(self) -> tuple[KeyRoute, ...]:
        """A route for each class of sharded instances."""
        routes = []
        for number in dict.fromkeys(self._class[i.number] for i in self.sharded):
            members = [i for i in self.sharded if self._class[i.number] == number]
            depth = min(i.depth for i in members)
            predicates = [p for i in members if i.depth == depth for p in i.predicates]
            first = min(members, key=lambda i: i.depth)
            assert first.table.placement is not None
            predicate = predicates[0] if len(predicates) == 1 else AllOf(tuple(predicates)) if predicates else None
            routes.append(KeyRoute(first.table.name, first.table.placement, predicate))
        return tuple(routes)

    def fixed_shards(self) -> set[str]:
        """The shards of the unsharded tables."""
        return {i.table.rule.shard for i in self.instances if i.table.rule.scheme is Scheme.UNSHARDED}

    def scatter_blocker(self) -> ProxyError | None:
        """Why the statement cannot run on several shards at once, or None where it can."""
        classes = {self._class[i.number] for i in self.sharded}
        top = {self._class[i.number] for i in (self.top.instances if self.top else ()) if i.table.sharded}
        if len(top) > 1:
            return ProxyError(CROSS_SHARD_JOIN, "the joined tables are not tied by equal sharding keys of one group")
        if self.blocker is not None:
            return self.blocker
        if len(classes) > 1 or not top:
            return ProxyError(CROSS_SHARD_SUBQUERY, "a subquery is not tied to the outer query by equal sharding keys")
        if self.fixed_shards():
            return ProxyError(CROSS_SHARD_JOIN, "a sharded and an unsharded table are used together")
        return None


def _nested_queries(node: exp.Expression) -> Iterator[exp.Expression]:
    """The queries in a query's expressions, not those in its FROM, and not those inside other queries."""
    sources = {"from_", "with_"} | ({"this"} if isinstance(node, (exp.Update, exp.Delete)) else set())
    stack: list[object] = [value for key, value in node.args.items() if key not in sources and key != "joins"]
    own_joins = [*(node.args.get("joins") or ())]
    if isinstance(node, (exp.Update, exp.Delete)):
        own_joins += node.this.args.get("joins") or ()
    stack += [join.args.get("on") for join in own_joins]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack += item
        elif isinstance(item, (exp.Select, exp.SetOperation)):
            yield item
        elif isinstance(item, exp.Expression):
            stack += list(item.args.values())


def _memberships(node: exp.Expression) -> Iterator[exp.In]:
    where = node.args.get("where")
    for part in conjuncts(where.this if where is not None else None):
        inner = part.this if isinstance(part, exp.Not) else part
        if isinstance(inner, exp.In) and inner.args.get("query") is not None:
            yield inner
