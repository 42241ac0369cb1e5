//! The query model: what planning knows of a statement. Small and our own, so that the parser
//! behind it can be exchanged. Whatever has no place here is `Opaque`, with everything in it that
//! reads a table still visible as a child.

use super::clauses::Clauses;

/// Byte range in the statement's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

/// A name as written, folded part by part (`schema.table`, `alias.column`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub parts: Vec<Box<str>>,
    pub span: Span,
}

impl Name {
    pub fn last(&self) -> &str {
        self.parts.last().map_or("", |p| p)
    }
}

#[derive(Clone, Debug)]
pub enum Root {
    Query(Query),
    Insert(Box<Insert>),
    Update(Box<Write>),
    Delete(Box<Write>),
}

#[derive(Clone, Debug)]
pub struct Query {
    pub ctes: Vec<Cte>,
    pub recursive: bool,
    pub body: Body,
    pub has_order: bool,
    pub limit: Option<Expr>,
    pub offset: Option<Expr>,
    /// LIMIT, OFFSET or FETCH in a form that isn't read (WITH TIES, PERCENT …).
    pub odd_limit: bool,
    /// FOR UPDATE and its kin.
    pub locks: bool,
    /// The expressions of ORDER BY.
    pub order: Vec<OrderItem>,
}

impl Query {
    pub fn is_limited(&self) -> bool {
        self.limit.is_some() || self.offset.is_some() || self.odd_limit
    }
}

#[derive(Clone, Debug)]
pub struct OrderItem {
    pub expr: Expr,
    pub descending: bool,
    pub nulls_first: bool,
}

#[derive(Clone, Debug)]
pub struct Cte {
    pub name: Box<str>,
    pub columns: Vec<Box<str>>,
    pub body: Box<CteBody>,
}

#[derive(Clone, Debug)]
pub enum CteBody {
    Query(Query),
    Write(Root),
}

#[derive(Clone, Debug)]
pub enum Body {
    Select(Box<Select>),
    Query(Box<Query>),
    SetOp {
        op: SetOp,
        all: bool,
        left: Box<Body>,
        right: Box<Body>,
    },
    Values(Vec<Vec<Expr>>),
    /// INSERT … RETURNING as the body of a WITH.
    Write(Box<Root>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOp {
    Union,
    Intersect,
    Except,
}

#[derive(Clone, Debug)]
pub struct Select {
    pub distinct: Distinct,
    pub items: Vec<Item>,
    pub from: Vec<Source>,
    pub filter: Option<Expr>,
    pub group: Vec<Expr>,
    /// ROLLUP, CUBE, GROUPING SETS, GROUP BY ALL/DISTINCT.
    pub odd_group: bool,
    pub having: Option<Expr>,
    /// SELECT INTO.
    pub into: bool,
    /// A WINDOW clause, whose windows aren't looked into.
    pub windows: bool,
    /// Behind `(…).*` in the select list, where a wildcard without a relation's name stands for it.
    pub expanded: Vec<Expr>,
}

#[derive(Clone, Debug)]
pub enum Distinct {
    No,
    All,
    On(Vec<Expr>),
}

#[derive(Clone, Debug)]
pub enum Item {
    /// `name`: what the server names the column, alias or not; None: not known for sure.
    Expr {
        expr: Expr,
        alias: Option<Box<str>>,
        name: Option<Box<str>>,
    },
    Wildcard,
    QualifiedWildcard(Name),
}

#[derive(Clone, Debug)]
pub enum Source {
    Table(Table),
    Derived {
        query: Box<Query>,
        alias: Option<Box<str>>,
        columns: Vec<Box<str>>,
        lateral: bool,
    },
    /// A table function, VALUES list, UNNEST …: the same rows wherever it runs, if its arguments are.
    Function {
        args: Vec<Expr>,
        alias: Option<Box<str>>,
        /// The parser's visitor counts its name as a table's.
        relation: bool,
    },
    Join {
        kind: JoinKind,
        left: Box<Source>,
        right: Box<Source>,
        on: Option<Expr>,
        using: Vec<Box<str>>,
        natural: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
}

/// A table as named in FROM, INTO, UPDATE …
#[derive(Clone, Debug)]
pub struct Table {
    pub name: Name,
    pub alias: Option<Box<str>>,
    /// `t (a, b)`: columns renamed, so that the catalog's names don't count.
    pub renames: bool,
    /// TABLESAMPLE and such.
    pub odd: bool,
    /// ONLY: without the partitions of a table that is partitioned.
    pub only: bool,
}

#[derive(Clone, Debug)]
pub struct Insert {
    pub ctes: Vec<Cte>,
    pub recursive: bool,
    pub table: Table,
    pub columns: Vec<Name>,
    pub source: InsertSource,
    pub conflict: Option<Conflict>,
    pub returning: Vec<Item>,
}

#[derive(Clone, Debug)]
pub enum InsertSource {
    DefaultValues,
    Values(Vec<Vec<Expr>>),
    Query(Query),
}

#[derive(Clone, Debug)]
pub struct Conflict {
    /// Columns of the conflict target; empty: none given or a constraint's name.
    pub columns: Vec<Box<str>>,
    pub by_constraint: bool,
    pub set: Vec<Assignment>,
    pub filter: Option<Expr>,
}

/// UPDATE, DELETE or MERGE.
#[derive(Clone, Debug)]
pub struct Write {
    pub ctes: Vec<Cte>,
    pub recursive: bool,
    pub table: Table,
    /// FROM of UPDATE, USING of DELETE.
    pub from: Vec<Source>,
    pub set: Vec<Assignment>,
    pub filter: Option<Expr>,
    pub returning: Vec<Item>,
    /// Why all its rows must be on one node.
    pub one_node: Option<OneNode>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneNode {
    Merge,
    /// WHERE CURRENT OF a cursor, which is open on one server.
    CurrentOf,
}

#[derive(Clone, Debug)]
pub struct Assignment {
    /// Empty: a value that the write reads in another way.
    pub columns: Vec<Box<str>>,
    pub value: Expr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Compare {
    /// The same comparison with its sides exchanged.
    pub fn mirrored(self) -> Compare {
        match self {
            Compare::Eq => Compare::Eq,
            Compare::Ne => Compare::Ne,
            Compare::Lt => Compare::Gt,
            Compare::Le => Compare::Ge,
            Compare::Gt => Compare::Lt,
            Compare::Ge => Compare::Le,
        }
    }
}

#[derive(Clone, Debug)]
pub enum Expr {
    Column(Name),
    /// A literal; its slot in the statement's Shape.
    Slot(usize),
    /// `$n`, n from 1.
    Param(u16),
    Null,
    Bool(bool),
    Negate(Box<Expr>),
    /// `expr::type`, CAST, `type 'literal'`; the type in lower case as written.
    Cast {
        expr: Box<Expr>,
        ty: Box<str>,
    },
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Compare {
        op: Compare,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Between {
        expr: Box<Expr>,
        low: Box<Expr>,
        high: Box<Expr>,
        negated: bool,
    },
    In {
        expr: Box<Expr>,
        list: Vec<Expr>,
        negated: bool,
    },
    /// `expr op ANY (array)`.
    Any {
        op: Compare,
        expr: Box<Expr>,
        array: Box<Expr>,
    },
    InQuery {
        expr: Box<Expr>,
        query: Box<Query>,
        negated: bool,
    },
    Exists(Box<Query>),
    Scalar(Box<Query>),
    Row(Vec<Expr>),
    Call(Box<Call>),
    /// Anything else, with what it reads.
    Opaque(Vec<Expr>),
}

/// A function call.
#[derive(Clone, Debug)]
pub struct Call {
    pub name: Name,
    pub args: Vec<Expr>,
    /// `count(*)`.
    pub star: bool,
    pub distinct: bool,
    /// ORDER BY within the arguments, WITHIN GROUP, a named or VARIADIC argument.
    pub odd: bool,
    pub filter: Option<Expr>,
    /// PARTITION BY expressions of OVER; None: not a window function.
    pub over: Option<Window>,
}

#[derive(Clone, Debug)]
pub struct Window {
    /// A named window, whose partition isn't looked up.
    pub named: bool,
    pub partition: Vec<Expr>,
    pub order: Vec<Expr>,
}

/// A statement with what splicing needs.
#[derive(Clone, Debug)]
pub struct Lowered {
    pub root: Root,
    pub clauses: Option<Clauses>,
}

impl Expr {
    /// Calls `f` on this expression and everything within it, but not within subqueries;
    /// those are handed to `q`.
    pub fn walk<'a>(&'a self, f: &mut dyn FnMut(&'a Expr), q: &mut dyn FnMut(&'a Query)) {
        f(self);
        match self {
            Expr::Column(_) | Expr::Slot(_) | Expr::Param(_) | Expr::Null | Expr::Bool(_) => {}
            Expr::Negate(e) | Expr::Not(e) => e.walk(f, q),
            Expr::Cast { expr, .. } => expr.walk(f, q),
            Expr::And(list) | Expr::Or(list) | Expr::Row(list) | Expr::Opaque(list) => {
                list.iter().for_each(|e| e.walk(f, q));
            }
            Expr::Compare { left, right, .. } => {
                left.walk(f, q);
                right.walk(f, q);
            }
            Expr::Between { expr, low, high, .. } => {
                expr.walk(f, q);
                low.walk(f, q);
                high.walk(f, q);
            }
            Expr::In { expr, list, .. } => {
                expr.walk(f, q);
                list.iter().for_each(|e| e.walk(f, q));
            }
            Expr::Any { expr, array, .. } => {
                expr.walk(f, q);
                array.walk(f, q);
            }
            Expr::InQuery { expr, query, .. } => {
                expr.walk(f, q);
                q(query);
            }
            Expr::Exists(query) | Expr::Scalar(query) => q(query),
            Expr::Call(call) => {
                call.args.iter().for_each(|e| e.walk(f, q));
                if let Some(filter) = &call.filter {
                    filter.walk(f, q);
                }
                if let Some(window) = &call.over {
                    window
                        .partition
                        .iter()
                        .chain(&window.order)
                        .for_each(|e| e.walk(f, q));
                }
            }
        }
    }

    /// The conjuncts of a condition, parentheses and ANDs taken apart.
    pub fn conjuncts(&self) -> Vec<&Expr> {
        match self {
            Expr::And(list) => list.iter().flat_map(Expr::conjuncts).collect(),
            other => vec![other],
        }
    }
}
