//! Messages of the extended protocol that go to one server together, in one write, and whose answers come
//! back in the client's order.

use std::sync::Arc;

use bytes::Bytes;

use super::statements::Prepared;
use super::words;
use crate::backend::{Lease, Settings, StatementName};
use crate::model::{ClientText, NodeId};
use crate::pipeline::{Columns, Exchange, Expect, Failure, Seat, Task, statement_key};
use crate::plan::Role;
use crate::wire::postgres::frame::Frame;
use crate::wire::postgres::frontend::{self, Message, Target};

/// One message of a group.
#[derive(Clone)]
pub(super) enum Item {
    /// An answer of Margay's own, at its place among the server's.
    Local(Bytes),
    /// The client's own Parse, whose answer it sees.
    Parse {
        statement: Arc<Prepared>,
        frame: Frame,
    },
    DescribeStatement {
        statement: Arc<Prepared>,
    },
    /// `text`: where it isn't the statement's own. `pass`: the client waits for BindComplete.
    Bind {
        statement: Arc<Prepared>,
        frame: Frame,
        text: Option<Arc<str>>,
        /// The text is for this Bind alone.
        once: bool,
        pass: bool,
    },
    /// `pass`: the client asked.
    DescribePortal {
        statement: Option<Arc<Prepared>>,
        frame: Frame,
        pass: bool,
    },
    Execute {
        frame: Frame,
    },
    ClosePortal {
        frame: Frame,
    },
}

#[derive(Default)]
pub(super) struct Group {
    pub items: Vec<Item>,
    /// Where it goes, as soon as an item says so.
    pub task: Option<Task>,
    /// Where it goes if no item says so.
    pub fallback: Option<NodeId>,
    pub executes: usize,
    /// COPY FROM STDIN: Sync must wait for its end.
    pub copies: bool,
    pub changes_catalog: bool,
    pub outside_txn: bool,
    /// The text of the last statement executed.
    pub sql: Option<Arc<str>>,
    /// Names of statements that its items gave another meaning.
    pub renamed: Vec<Renamed>,
}

pub(super) struct Renamed {
    /// The item that did it.
    pub at: usize,
    pub name: Box<[u8]>,
    /// What the name meant before.
    pub before: Option<Arc<Prepared>>,
}

/// What the session is like when a group is queued.
#[derive(Clone, Copy)]
pub(super) struct Under<'a> {
    pub settings: &'a Arc<Settings>,
    /// Of the catalog.
    pub epoch: u64,
    pub text: ClientText,
}

impl Group {
    /// The next item gives a statement's name another meaning.
    pub fn renames(&mut self, name: &[u8], before: Option<Arc<Prepared>>) {
        self.renamed.push(Renamed {
            at: self.items.len(),
            name: name.into(),
            before,
        });
    }

    /// Joins the needs of one more statement; false: it must go elsewhere.
    pub fn join(&mut self, task: Task) -> bool {
        match &mut self.task {
            None => self.task = Some(task),
            Some(own) if own.node != task.node => return false,
            Some(own) => {
                if task.role == Role::Primary {
                    own.role = Role::Primary;
                }
                own.writes |= task.writes;
                own.pins |= task.pins;
            }
        }
        true
    }

    /// Where it goes. None: there is nothing for a server in it.
    pub fn target(&self) -> Option<Task> {
        let needs_server = self.items.iter().any(|item| !matches!(item, Item::Local(_)));
        let fallback = || {
            Some(Task {
                node: self.fallback?,
                role: Role::Any,
                writes: false,
                pins: false,
            })
        };
        if needs_server {
            self.task.or_else(fallback)
        } else {
            None
        }
    }

    /// A Parse that no server needs to see, since what is bound to it goes elsewhere.
    pub fn answer_parse_locally(&mut self, of: &Arc<Prepared>) {
        for item in &mut self.items {
            if matches!(item, Item::Parse { statement, .. } if Arc::ptr_eq(statement, of)) {
                *item = Item::Local(Bytes::from_static(b"1\0\0\0\x04"));
            }
        }
    }

    /// The rows of a portal come with OIDs of their server inside, unless their columns were told right before
    /// them. `portal`: executed next.
    pub fn rows_are_told(&self, portal: &[u8]) -> bool {
        let last = self.items.iter().rev().find_map(|item| match item {
            Item::DescribePortal { frame, .. } => Some(Some(frame)),
            Item::DescribeStatement { .. } | Item::Execute { .. } => Some(None),
            Item::Local(_) | Item::Parse { .. } | Item::Bind { .. } | Item::ClosePortal { .. } => None,
        });
        let Some(Some(frame)) = last else {
            return false;
        };
        matches!(
            frontend::decode(b'D', frame.body()),
            Ok(Message::Describe { target: Target::Portal, name }) if name == portal
        )
    }

    /// What servers said of the rows of statements: in the order in which they were asked.
    pub fn note_rows(&self, told: &[Columns]) {
        let asked = self.items.iter().filter_map(|item| match item {
            Item::DescribeStatement { statement } => Some(Some(statement)),
            Item::DescribePortal { statement, .. } => Some(statement.as_ref()),
            Item::Local(_)
            | Item::Parse { .. }
            | Item::Bind { .. }
            | Item::Execute { .. }
            | Item::ClosePortal { .. } => None,
        });
        for (statement, columns) in asked.zip(told) {
            if let Some(statement) = statement {
                let _ = statement.holds_oids.set(columns.hold_oids);
                if let (false, Some(shape)) = (statement.is_unnamed(), columns.shape) {
                    let _ = statement.promised.set(shape);
                }
            }
        }
    }

    /// The client knows the columns of one of its statements from before.
    pub fn is_promised(&self) -> bool {
        self.items.iter().any(|item| match item {
            Item::Bind { statement, .. } => statement.promised.get().is_some(),
            Item::Local(_)
            | Item::Parse { .. }
            | Item::DescribeStatement { .. }
            | Item::DescribePortal { .. }
            | Item::Execute { .. }
            | Item::ClosePortal { .. } => false,
        })
    }

    /// A server's error, in the client's words.
    pub fn in_words(&self, failure: Failure) -> Failure {
        let mut spliced = self.items.iter().filter_map(|item| match item {
            Item::Bind {
                statement,
                text: Some(text),
                ..
            } => Some((statement, text)),
            _ => None,
        });
        let failure = match (spliced.next(), spliced.next()) {
            (Some((statement, text)), None) => words::in_text(failure, text, &statement.statement.text),
            (_, _) => failure,
        };
        // The first Bind of a wrong number of values is what a server complains about.
        let supplied = failure.message();
        let supplied = supplied
            .strip_prefix("bind message supplies ")
            .and_then(|rest| rest.split(' ').next());
        let supplied: Option<usize> = supplied.and_then(|count| count.parse().ok());
        let bound = self.items.iter().find_map(|item| match item {
            Item::Bind { statement, frame, .. } => match frontend::decode(b'B', frame.body()) {
                Ok(Message::Bind(bind)) if Some(bind.params.len()) == supplied => Some(statement),
                _ => None,
            },
            _ => None,
        });
        match bound {
            Some(statement) => words::of_statement(failure, &statement.name),
            None => failure,
        }
    }

    /// Writes the messages and notes the answers that are owed for them.
    pub fn queue(&self, seat: &mut Seat, exchange: &mut Exchange, under: Under<'_>) {
        let lease = &mut seat.lease;
        // The unnamed statement as it stands on this connection, if this group has put it there.
        let mut unnamed: Option<&Arc<Prepared>> = None;
        for item in &self.items {
            match item {
                Item::Local(bytes) => exchange.expect.push_back(Expect::Local(bytes.clone())),
                Item::Parse { statement, frame } if statement.is_unnamed() => {
                    lease.queue(&frame.bytes);
                    exchange.expect.push_back(Expect::Parse { pass: true });
                    unnamed = Some(statement);
                }
                Item::Parse { statement, .. } => {
                    let (_, fresh) = ensure(lease, statement, None, under, exchange, true);
                    if !fresh {
                        exchange
                            .expect
                            .push_back(Expect::Local(Bytes::from_static(b"1\0\0\0\x04")));
                    }
                }
                Item::DescribeStatement { statement } => {
                    if unnamed.is_some_and(|u| Arc::ptr_eq(u, statement)) {
                        frontend::describe(lease.write_buf(), Target::Statement, b"");
                    } else {
                        let (name, _) = ensure(lease, statement, None, under, exchange, false);
                        frontend::describe(lease.write_buf(), Target::Statement, name.as_bytes());
                    }
                    exchange
                        .expect
                        .push_back(Expect::DescribeStatement { pass: true });
                }
                Item::Bind {
                    statement,
                    frame,
                    text,
                    once,
                    pass,
                } => {
                    let mut start = lease.write_buf().len();
                    if text.is_none() && unnamed.is_some_and(|u| Arc::ptr_eq(u, statement)) {
                        lease.queue(&frame.bytes);
                    } else if let (Some(text), true) = (text, once) {
                        unnamed = None;
                        let types = statement.types_to_send(text.as_bytes());
                        let text = under.text.written(text);
                        frontend::parse(lease.write_buf(), b"", &text, types.iter().copied());
                        exchange.expect.push_back(Expect::Parse { pass: false });
                        start = lease.write_buf().len();
                        if let Ok(Message::Bind(bind)) = frontend::decode(b'B', frame.body()) {
                            frontend::rebind(lease.write_buf(), bind.portal, b"", &bind);
                        }
                    } else {
                        let (name, _) = ensure(lease, statement, text.as_deref(), under, exchange, false);
                        start = lease.write_buf().len();
                        if let Ok(Message::Bind(bind)) = frontend::decode(b'B', frame.body()) {
                            frontend::rebind(lease.write_buf(), bind.portal, name.as_bytes(), &bind);
                        }
                    }
                    lease.put_bind(start, statement.known_types());
                    exchange.expect.push_back(Expect::Bind { pass: *pass });
                }
                Item::DescribePortal { frame, pass, .. } => {
                    lease.queue(&frame.bytes);
                    exchange.expect.push_back(Expect::DescribePortal { pass: *pass });
                }
                Item::Execute { frame } => {
                    lease.queue(&frame.bytes);
                    exchange.expect.push_back(Expect::Execute);
                }
                Item::ClosePortal { frame } => {
                    lease.queue(&frame.bytes);
                    exchange.expect.push_back(Expect::Close { pass: true });
                }
            }
        }
        if self.copies {
            frontend::flush(lease.write_buf());
            exchange.late_sync = true;
        } else {
            frontend::sync(lease.write_buf());
        }
        exchange.expect.push_back(Expect::Sync);
    }
}

/// The server-side name of a statement on this connection, parsed there if need be. True: a Parse was
/// queued, whose answer is passed on if `pass`.
fn ensure(
    lease: &mut Lease,
    statement: &Prepared,
    text: Option<&str>,
    Under {
        settings,
        epoch,
        text: client_text,
    }: Under<'_>,
    exchange: &mut Exchange,
    pass: bool,
) -> (StatementName, bool) {
    let own = &statement.statement.text;
    let key = match text {
        Some(text) if *text != **own => {
            let text = text.as_bytes();
            statement_key(text, statement.types_to_send(text), settings, epoch)
        }
        Some(_) | None => statement.key(settings, epoch),
    };
    let (name, fresh) = lease.prepare(key);
    if fresh {
        let text = text.unwrap_or(own);
        let types = statement.types_to_send(text.as_bytes());
        let text = client_text.written(text);
        frontend::parse(lease.write_buf(), name.as_bytes(), &text, types.iter().copied());
        exchange.expect.push_back(Expect::Parse { pass });
    }
    (name, fresh)
}
