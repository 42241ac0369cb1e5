//! A client's prepared statements and portals. They live in the session; servers get them when they need
//! them.

use std::sync::{Arc, OnceLock};

use super::group::Item;
use super::names::Names;
use crate::backend::Settings;
use crate::model::{Code, Fault};
use crate::pipeline::{Described, Fetching, statement_key};
use crate::plan::{Plan, Statement, Text};
use crate::wire::postgres::frame::Frame;
use crate::wire::postgres::frontend::{self, Message};

/// A statement that the client has prepared.
pub(super) struct Prepared {
    pub name: Box<[u8]>,
    pub statement: Statement,
    /// As Parse gave them; 0: not said.
    pub types: Box<[u32]>,
    /// What a server said of it.
    pub described: OnceLock<Described>,
    /// Its rows may hold OIDs of the server that they come from, as far as a server said what they are.
    pub holds_oids: OnceLock<bool>,
    /// What the client was told of its columns (`columns_shape`), where it may rely on it from then on.
    pub promised: OnceLock<u64>,
    /// The promise was looked at since it was read anew.
    pub is_kept: OnceLock<()>,
    /// Fingerprint of the view that it was read under.
    pub read_under: u64,
    /// The key of its own text on servers, and for which settings and catalog.
    pub keyed: OnceLock<(Arc<Settings>, u64, u64)>,
}

impl Prepared {
    /// Nothing of it is known from a server yet, and nothing of its columns was promised.
    pub fn new(name: &[u8], statement: Statement, types: Box<[u32]>, read_under: u64) -> Self {
        Self {
            name: name.into(),
            statement,
            types,
            described: OnceLock::new(),
            holds_oids: OnceLock::new(),
            promised: OnceLock::new(),
            is_kept: OnceLock::from(()),
            read_under,
            keyed: OnceLock::new(),
        }
    }

    pub fn is_unnamed(&self) -> bool {
        self.name.is_empty()
    }

    /// The types that a Parse of `text` is sent with: a text of Margay's own may not name all
    /// parameters, so that a server could not find out their types.
    pub fn types_to_send(&self, text: &[u8]) -> &[u32] {
        match self.described.get() {
            Some(described) if text != self.statement.text.as_bytes() => &described.types,
            Some(_) | None => &self.types,
        }
    }

    /// The key of its own text on server connections (`statement_key`), which is worth remembering.
    pub fn key(&self, settings: &Arc<Settings>, epoch: u64) -> u64 {
        match self.keyed.get() {
            Some((of, at, key)) if Arc::ptr_eq(of, settings) && *at == epoch => *key,
            Some(_) | None => {
                let text = self.statement.text.as_bytes();
                let key = statement_key(text, &self.types, settings, epoch);
                let _ = self.keyed.set((Arc::clone(settings), epoch, key));
                key
            }
        }
    }

    /// The best that is known of the parameters' types.
    pub fn known_types(&self) -> &[u32] {
        self.described.get().map_or(&self.types, |d| &d.types)
    }
}

/// A bound statement.
#[derive(Clone)]
pub(super) struct Portal {
    pub statement: Arc<Prepared>,
    pub bind: Frame,
    /// None: a command of Margay's own.
    pub plan: Option<Arc<Plan>>,
    /// It stands on the server of its part, in the open transaction.
    pub on_server: bool,
    /// The client waits for BindComplete: Execute follows at once, and servers then check the values.
    pub owes_bind: bool,
    /// Describe came before Execute in the same batch.
    pub describe: bool,
    /// An Execute with a row limit ended before all rows of several nodes were told.
    pub is_cut_off: bool,
}

#[derive(Default)]
pub(super) struct Extended {
    pub statements: Names<Arc<Prepared>>,
    pub portals: Names<Portal>,
    /// Portals over several nodes that are read in portions, and such cursors.
    pub fetching: Names<Fetching>,
    /// The batch so far.
    pub batch: Vec<Frame>,
    pub bytes: usize,
    /// After an error: until Sync.
    pub skipping: bool,
}

/// A batch that grows beyond this before its Sync is run as far as it has come.
const MAX_BATCH_BYTES: usize = 1 << 20;

impl Extended {
    /// One more message of the batch; behind an error they are dropped up to the Sync.
    pub fn collect(&mut self, frame: Frame) {
        if !self.skipping {
            self.bytes += frame.bytes.len();
            self.batch.push(frame);
        }
    }

    /// The message can be collected without the batch being run.
    pub fn has_room(&self, frame: &Frame) -> bool {
        self.skipping || self.bytes + frame.bytes.len() <= MAX_BATCH_BYTES
    }

    pub fn is_full(&self) -> bool {
        self.bytes > MAX_BATCH_BYTES
    }

    pub fn is_idle(&self) -> bool {
        self.batch.is_empty() && !self.skipping
    }

    /// Portals end with their transaction.
    pub fn end_portals(&mut self) {
        self.portals.clear();
        self.fetching.clear();
    }

    pub fn forget_statements(&mut self) {
        self.statements.clear();
        self.portals.clear();
    }

    pub fn forget_statement(&mut self, name: &[u8]) -> bool {
        self.statements.remove(name).is_some()
    }

    pub fn statement(&self, name: &[u8]) -> Result<Arc<Prepared>, Fault> {
        self.statements.get(name).cloned().ok_or_else(|| {
            let message = if name.is_empty() {
                "unnamed prepared statement does not exist".to_owned()
            } else {
                format!(
                    "prepared statement \"{}\" does not exist",
                    String::from_utf8_lossy(name)
                )
            };
            Fault::new(Code::NO_STATEMENT, message)
        })
    }

    pub fn portal(&mut self, name: &[u8]) -> Result<&mut Portal, Fault> {
        self.portals.get_mut(name).ok_or_else(|| {
            let message = format!("portal \"{}\" does not exist", String::from_utf8_lossy(name));
            Fault::new(Code::NO_PORTAL, message)
        })
    }
}

/// The Bind of a portal that its server has forgotten; the client has had its answer.
pub(super) fn rebound(portal: &Portal, plan: &Plan) -> Item {
    let text = plan.parts.first().and_then(|part| match &part.text {
        Text::Original => None,
        Text::Spliced(text) => Some(Arc::clone(text)),
    });
    Item::Bind {
        statement: Arc::clone(&portal.statement),
        frame: portal.bind.clone(),
        text,
        once: plan.once,
        pass: false,
    }
}

pub(super) fn result_formats(bind: &Frame) -> Vec<i16> {
    match frontend::decode(b'B', bind.body()) {
        Ok(Message::Bind(bind)) => bind.result_formats.iter().collect(),
        Ok(_) | Err(_) => Vec::new(),
    }
}
