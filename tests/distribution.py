"""Which distributed tables a statement reads without a filter on the distribution column.

The statement is parsed by Postgres' own parser (pglast). Columns that must be equal are connected:
by conditions of WHERE and of joins, through subqueries, CTEs, views and SQL functions. A table is
filtered if its distribution column is connected with a constant or a parameter.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pglast import ast, enums, parse_sql
from sqlalchemy import Connection, text

COLUMN = "target"


@dataclass(frozen=True)
class Catalogue:
    """Columns of tables and views, the queries of views and functions, and the partitions."""

    columns: Mapping[str, Sequence[str]]
    views: Mapping[str, str]
    functions: Mapping[str, str | None]  # None: not in SQL, and may read tables
    parents: Mapping[str, str]  # of partitions

    @classmethod
    def of(cls, connection: Connection) -> "Catalogue":
        columns: dict[str, list[str]] = {}
        for name, column in connection.execute(text(_COLUMNS)):
            columns.setdefault(name, []).append(column)
        return cls(
            columns,
            dict(connection.execute(text(_VIEWS)).all()),
            dict(connection.execute(text(_FUNCTIONS)).all()),
            dict(connection.execute(text(_PARTITIONS)).all()),
        )


_COLUMNS = """
    SELECT relname, attname FROM pg_class AS c JOIN pg_attribute ON attrelid = c.oid
    WHERE relnamespace IN ('public'::regnamespace, 'report'::regnamespace)
        AND relkind IN ('r', 'p', 'v') AND attnum > 0 AND NOT attisdropped
        AND NOT (relnamespace = 'report'::regnamespace
            AND to_regclass('public.' || quote_ident(relname)) IS NOT NULL)
    ORDER BY relname, attnum
"""
_VIEWS = """
    SELECT CASE WHEN relnamespace = 'report'::regnamespace THEN 'report.' ELSE '' END || relname,
        pg_get_viewdef(oid) FROM pg_class
    WHERE relkind = 'v' AND relnamespace IN ('public'::regnamespace, 'report'::regnamespace)
"""
_FUNCTIONS = """
    SELECT proname,
        CASE WHEN lanname = 'sql' THEN prosrc WHEN provolatile = 'i' THEN 'SELECT' END
    FROM pg_proc JOIN pg_language AS l ON l.oid = prolang
    WHERE pronamespace IN ('public'::regnamespace, 'report'::regnamespace) AND prokind = 'f'
"""
_PARTITIONS = """
    SELECT inhrelid::regclass::text, inhparent::regclass::text FROM pg_inherits
    JOIN pg_class ON pg_class.oid = inhrelid WHERE relkind = 'r'
"""


class Node:
    """A column of one use of a table or subquery. `implies`: those that are equal to it."""

    def __init__(self) -> None:
        self.implies: list[Node] = []


@dataclass
class Relation:
    """What FROM names: columns with their nodes. `open`: any further name is a column, too."""

    columns: dict[str, Node]
    open: Node | None = None

    def node(self, name: str) -> Node | None:
        return self.columns.get(name, self.open)


@dataclass
class Scope:
    relations: dict[str, Relation] = field(default_factory=dict)
    ctes: dict[str, Any] = field(default_factory=dict)
    outer: "Scope | None" = None

    def cte(self, name: str) -> Any:
        if name in self.ctes:
            return self.ctes[name]
        return self.outer.cte(name) if self.outer else None

    def column(self, names: Sequence[str]) -> Node | None:
        if len(names) > 1:
            relation = self.relations.get(names[-2])
            if relation:
                return relation.node(names[-1])
        else:
            for relation in self.relations.values():
                if names[-1] in relation.columns:
                    return relation.columns[names[-1]]
            for relation in self.relations.values():
                if relation.open:
                    return relation.open
        return self.outer.column(names) if self.outer else None


def _equal(one: Node, other: Node) -> None:
    one.implies.append(other)
    other.implies.append(one)


def unfiltered(
    statement: str, catalogue: Catalogue, distributed: frozenset[str]
) -> tuple[str, ...]:
    """Names of distributed tables, one for each use without a filter, sorted.

    Functions that are not in SQL are returned as `name()`.
    """
    analysis = _Analysis(catalogue, distributed)
    for raw in parse_sql(plain(statement)):
        analysis.statement(raw.stmt, Scope())
    return analysis.found()


def plain(statement: str) -> str:
    """The statement with numbered parameters, as Postgres parses it."""
    numbered = re.sub(r"%\(\w+\)s|(?<!:):[a-z_]\w*|%s", "$1", statement)
    return numbered.replace("%%", "%")


class _Analysis:
    def __init__(self, catalogue: Catalogue, distributed: frozenset[str]) -> None:
        self.catalogue, self.distributed = catalogue, distributed
        self.constant = Node()
        self.uses: list[tuple[str, Node]] = []
        self.opaque: set[str] = set()
        self.depth: list[str] = []  # functions that are being read

    def found(self) -> tuple[str, ...]:
        reached, waiting = {id(self.constant)}, [self.constant]
        while waiting:
            for node in waiting.pop().implies:
                if id(node) not in reached:
                    reached.add(id(node))
                    waiting.append(node)
        tables = [name for name, node in self.uses if id(node) not in reached]
        return tuple(sorted(tables + [f"{name}()" for name in self.opaque]))

    # Statements: each returns the columns it gives, with their nodes.

    def statement(self, stmt: Any, outer: Scope) -> list[tuple[str, Node]]:
        if isinstance(stmt, ast.SelectStmt):
            return self.select(stmt, outer)
        if not isinstance(stmt, ast.InsertStmt | ast.UpdateStmt | ast.DeleteStmt):
            self.expressions(stmt, outer)
            return []
        scope = self.with_ctes(stmt, outer)
        if isinstance(stmt, ast.InsertStmt):
            named = [column.name for column in stmt.cols or ()]
            target = self.table(stmt.relation.relname)
            if named and COLUMN not in named and stmt.relation.relname in self.distributed:
                self.uses.append((stmt.relation.relname, Node()))
            if stmt.selectStmt:
                self.select(stmt.selectStmt, scope)
            scope.relations = {stmt.relation.relname: target}
            if stmt.onConflictClause:
                self.expressions(stmt.onConflictClause, scope)
        else:
            self.from_item(stmt.relation, scope)
            sources = stmt.fromClause if isinstance(stmt, ast.UpdateStmt) else stmt.usingClause
            for item in sources or ():
                self.from_item(item, scope)
            self.conditions(stmt.whereClause, scope)
            self.expressions(getattr(stmt, "targetList", None), scope)
        returning = stmt.returningClause
        return self.outputs(returning.exprs if returning else (), scope)

    def select(self, stmt: Any, outer: Scope) -> list[tuple[str, Node]]:
        scope = self.with_ctes(stmt, outer)
        if stmt.op != enums.SetOperation.SETOP_NONE:
            sides = [self.select(side, scope) for side in (stmt.larg, stmt.rarg)]
            return [self.both(*pair) for pair in zip(*sides, strict=False)]
        if stmt.valuesLists:
            for row in stmt.valuesLists:
                self.expressions(row, scope)
            return [
                (f"column{n + 1}", self.value(value, scope) or Node())
                for n, value in enumerate(stmt.valuesLists[0])
            ]
        for item in stmt.fromClause or ():
            self.from_item(item, scope)
        self.conditions(stmt.whereClause, scope)
        for part in (stmt.groupClause, stmt.havingClause, stmt.sortClause, stmt.limitCount):
            self.expressions(part, scope)
        given = self.outputs(stmt.targetList or (), scope)
        # A condition on what is limited does not filter what is read.
        return [(name, self.within(node)) for name, node in given] if stmt.limitCount else given

    def both(self, one: tuple[str, Node], other: tuple[str, Node]) -> tuple[str, Node]:
        """A column of a union: a filter on it filters both sides, not the other way round."""
        node = Node()
        node.implies += [one[1], other[1]]
        return one[0], node

    def within(self, node: Node) -> Node:
        outside = Node()
        node.implies.append(outside)
        return outside

    def with_ctes(self, stmt: Any, outer: Scope) -> Scope:
        scope = Scope(outer=outer)
        for cte in stmt.withClause.ctes if stmt.withClause else ():
            if not isinstance(cte.ctequery, ast.SelectStmt) or stmt.withClause.recursive:
                given = self.recursive(cte, scope) if stmt.withClause.recursive else None
                given = given or self.statement(cte.ctequery, scope)
                scope.ctes[cte.ctename] = (None, [(n, self.within(node)) for n, node in given])
            else:
                scope.ctes[cte.ctename] = (cte, Scope(ctes=dict(scope.ctes), outer=outer))
        return scope

    def recursive(self, cte: Any, scope: Scope) -> list[tuple[str, Node]] | None:
        query = cte.ctequery
        if not isinstance(query, ast.SelectStmt) or query.op == enums.SetOperation.SETOP_NONE:
            return None
        first = self.named(self.select(query.larg, scope), cte.aliascolnames)
        scope.ctes[cte.ctename] = (None, first)
        self.select(query.rarg, scope)
        return first

    # FROM

    def table(self, name: str) -> Relation:
        columns = {column: Node() for column in self.catalogue.columns.get(name, ())}
        return Relation(columns, None if columns else Node())

    def from_item(self, item: Any, scope: Scope) -> list[Node]:
        """Add what an item names to the scope; returns its nodes."""
        if isinstance(item, ast.JoinExpr):
            left = self.from_item(item.larg, scope)
            right = self.from_item(item.rarg, scope)
            sides = {
                enums.JoinType.JOIN_LEFT: right,
                enums.JoinType.JOIN_RIGHT: left,
                enums.JoinType.JOIN_FULL: [],
            }
            only = sides.get(item.jointype)
            self.conditions(item.quals, scope, only=only)
            for column in item.usingClause or ():
                pair = [self.common(nodes, column.sval, scope) for nodes in (left, right)]
                if pair[0] and pair[1]:
                    self.connect(pair[0], pair[1], only)
            return left + right
        alias = item.alias.aliasname if getattr(item, "alias", None) else None
        relation = self.relation(item, scope)
        if item.alias and item.alias.colnames:
            names = [name.sval for name in item.alias.colnames]
            nodes = list(relation.columns.values()) or [relation.open or Node()] * len(names)
            relation = Relation(dict(zip(names, nodes, strict=False)), relation.open)
        name = alias or getattr(item, "relname", None) or f"?{len(scope.relations)}"
        scope.relations[name] = relation
        return [*relation.columns.values(), *([relation.open] if relation.open else [])]

    def common(self, nodes: list[Node], name: str, scope: Scope) -> Node | None:
        """The column of a side of JOIN USING."""
        for relation in scope.relations.values():
            node = relation.node(name)
            if node and any(node is one for one in nodes):
                return node
        return None

    def relation(self, item: Any, scope: Scope) -> Relation:
        if isinstance(item, ast.RangeSubselect):
            return Relation(dict(self.select(item.subquery, scope)))
        if isinstance(item, ast.RangeFunction):
            return self.function(item, scope)
        if not isinstance(item, ast.RangeVar):
            return Relation({}, Node())
        name = self.catalogue.parents.get(item.relname, item.relname)
        if not item.schemaname and (cte := scope.cte(item.relname)):
            return self.cte(cte)
        view = self.catalogue.views.get(f"report.{name}" if item.schemaname == "report" else name)
        if view and item.schemaname in ("report", None):
            [raw] = parse_sql(view)
            return Relation(dict(self.select(raw.stmt, Scope())))
        relation = self.table(name)
        if name in self.distributed:
            self.uses.append((name, relation.columns[COLUMN]))
        return relation

    def cte(self, found: Any) -> Relation:
        cte, value = found
        if cte is None:
            return Relation(dict(value))
        given = self.named(self.select(cte.ctequery, value), cte.aliascolnames)
        if cte.ctematerialized == enums.CTEMaterialize.CTEMaterializeAlways:
            given = [(name, self.within(node)) for name, node in given]
        return Relation(dict(given))

    def named(self, given: list[tuple[str, Node]], names: Any) -> list[tuple[str, Node]]:
        if not names:
            return given
        return [(name.sval, node) for name, (_, node) in zip(names, given, strict=False)]

    def function(self, item: Any, scope: Scope) -> Relation:
        """Rows of a function: constant if its arguments are, as `unnest(:targets)`."""
        call = item.functions[0][0]
        self.expressions(call, scope, called=False)
        if isinstance(call, ast.FuncCall) and (body := self.body(call)) is not None:
            return Relation(dict(body))
        return Relation({}, self.value(call, scope) or Node())

    def body(self, call: Any) -> list[tuple[str, Node]] | None:
        """The columns of a function of ours; its parameters are constants."""
        name = call.funcname[-1].sval
        if name not in self.catalogue.functions or name in self.depth:
            return None
        source = self.catalogue.functions[name]
        if source is None:
            self.opaque.add(name)
            return None
        self.depth.append(name)
        given: list[tuple[str, Node]] = []
        for raw in parse_sql(source):
            given = self.statement(raw.stmt, Scope(relations={"?": Relation({}, self.constant)}))
        self.depth.pop()
        return given

    # Conditions and expressions

    def conditions(self, clause: Any, scope: Scope, only: list[Node] | None = None) -> None:
        for condition in _conjuncts(clause):
            for one, other in _equalities(condition):
                pair = self.value(one, scope), self.value(other, scope)
                if pair[0] and pair[1]:
                    self.connect(pair[0], pair[1], only)
        self.expressions(clause, scope)

    def connect(self, one: Node, other: Node, only: list[Node] | None) -> None:
        """`only`: the inner side of an outer join, whose rows alone the condition filters."""
        for from_, to in ((one, other), (other, one)):
            if only is None or any(to is node for node in only):
                from_.implies.append(to)

    def value(self, expression: Any, scope: Scope) -> Node | None:
        """The node of a column; the constant for what depends on no column; else None."""
        if isinstance(expression, ast.TypeCast):
            return self.value(expression.arg, scope)
        if isinstance(expression, ast.ColumnRef):
            names = [part.sval for part in expression.fields if isinstance(part, ast.String)]
            return scope.column(names) if len(names) == len(expression.fields) else None
        if isinstance(expression, ast.SubLink):
            given = self.select(expression.subselect, scope)
            return given[0][1] if len(given) == 1 else None
        for node in _walk(expression):
            if isinstance(node, ast.SubLink):
                return None
            if isinstance(node, ast.ColumnRef) and self.value(node, scope) is not self.constant:
                return None
        return self.constant

    def expressions(self, clause: Any, scope: Scope, called: bool = True) -> None:
        """Read the subqueries of an expression, and the functions that it calls."""
        for node in _walk(clause):
            if isinstance(node, ast.SubLink):
                given = self.select(node.subselect, scope)
                if node.testexpr is not None and given:
                    tested = self.value(node.testexpr, scope)
                    if tested:
                        _equal(tested, given[0][1])
            elif isinstance(node, ast.FuncCall) and called:
                self.body(node)

    def outputs(self, targets: Any, scope: Scope) -> list[tuple[str, Node]]:
        given: list[tuple[str, Node]] = []
        for target in targets:
            value = target.val
            if isinstance(value, ast.ColumnRef) and isinstance(value.fields[-1], ast.A_Star):
                wanted = value.fields[0].sval if len(value.fields) > 1 else None
                for name, relation in scope.relations.items():
                    if wanted in (None, name):
                        given += relation.columns.items()
                continue
            self.expressions(value, scope)
            name = target.name or (
                value.fields[-1].sval if isinstance(value, ast.ColumnRef) else f"?{len(given)}"
            )
            is_column = isinstance(value, ast.ColumnRef | ast.TypeCast | ast.A_Const | ast.ParamRef)
            node = self.value(value, scope) if is_column else None
            given.append((name, node or Node()))
        return given


def _conjuncts(clause: Any) -> Iterator[Any]:
    if isinstance(clause, ast.BoolExpr) and clause.boolop == enums.BoolExprType.AND_EXPR:
        for part in clause.args:
            yield from _conjuncts(part)
    elif clause is not None:
        yield clause


def _equalities(condition: Any) -> Iterator[tuple[Any, Any]]:
    """`a = b`, `(a, c) = (b, d)`, `a IN (1, 2)` and `a = ANY (b)` as pairs."""
    if not isinstance(condition, ast.A_Expr) or condition.name[-1].sval != "=":
        return
    kinds = enums.A_Expr_Kind
    if condition.kind not in (kinds.AEXPR_OP, kinds.AEXPR_IN, kinds.AEXPR_OP_ANY):
        return
    one, other = condition.lexpr, condition.rexpr
    if condition.kind == kinds.AEXPR_IN and isinstance(one, ast.RowExpr):
        rows = [row.args for row in other if isinstance(row, ast.RowExpr)]
        for place, column in enumerate(one.args):
            yield column, tuple(row[place] for row in rows)
    elif isinstance(one, ast.RowExpr) and isinstance(other, ast.RowExpr):
        yield from zip(one.args, other.args, strict=True)
    else:
        yield one, other


def _walk(node: Any) -> Iterator[Any]:
    """The nodes of an expression, without those inside its subqueries."""
    if isinstance(node, tuple | list):
        for part in node:
            yield from _walk(part)
    elif isinstance(node, ast.Node):
        yield node
        for name in node:
            if not (isinstance(node, ast.SubLink) and name == "subselect"):
                yield from _walk(getattr(node, name))
