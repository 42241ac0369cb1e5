//! OIDs of types and relations, which each server gives as it likes: from a node's to those of the shell,
//! which clients see, and back. Built by `control`. Must not know how values are laid out: `wire` does.

use std::collections::HashMap;

/// OIDs from here on are a server's own choice (`FirstNormalObjectId`); those below are alike everywhere.
pub const FIRST_USER_OID: u32 = 16_384;

/// No type has it. What a client says of a type that a node doesn't have is said by it, so that the node
/// refuses it.
const NO_TYPE: u32 = u32::MAX;

/// Both directions for one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oids {
    /// What the node says → what clients see.
    pub from_node: Dictionary,
    /// What clients say → what the node knows.
    pub to_node: Dictionary,
}

impl Default for Oids {
    /// No type of a user's is known.
    fn default() -> Self {
        Self {
            from_node: Dictionary::default(),
            to_node: Dictionary {
                otherwise: Some(NO_TYPE),
                ..Dictionary::default()
            },
        }
    }
}

/// What binary values of a type hold besides plain bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    Nothing,
    /// The OID of its elements' type, and elements.
    Array,
    /// Fields, each with the OID of its type.
    Record,
    /// Bounds, which are values of this type.
    Range(u32),
    /// Ranges of this type.
    Multirange(u32),
    /// A domain over this type, whose values it has.
    Domain(u32),
    /// Nothing but an OID.
    Oid(Object),
}

/// What an OID in a value names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    Type,
    Relation,
    /// A function, a role, a schema …
    Other,
}

/// One direction. Everything is said in the words of the side that is translated from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dictionary {
    types: HashMap<u32, (u32, Inside)>,
    relations: HashMap<u32, u32>,
    /// For types that aren't known.
    otherwise: Option<u32>,
}

impl Dictionary {
    pub fn add_type(&mut self, here: u32, there: u32, inside: Inside) {
        self.types.insert(here, (there, inside));
    }

    /// What two types there are here can't be said there.
    pub fn remove_type(&mut self, here: u32) {
        self.types.remove(&here);
    }

    pub fn add_relation(&mut self, here: u32, there: u32) {
        self.relations.insert(here, there);
    }

    /// The highest OID here; at least the last one that isn't a server's own choice.
    pub fn newest(&self) -> u32 {
        let all = self.types.keys().chain(self.relations.keys());
        all.copied().max().unwrap_or(0).max(FIRST_USER_OID - 1)
    }

    /// None: a type that isn't known, or not yet.
    pub fn type_oid(&self, here: u32) -> Option<u32> {
        if here < FIRST_USER_OID {
            return Some(here);
        }
        let known = self.types.get(&here).map(|(there, _)| *there);
        known.or(self.otherwise)
    }

    pub fn relation_oid(&self, here: u32) -> Option<u32> {
        if here < FIRST_USER_OID {
            return Some(here);
        }
        self.relations.get(&here).copied()
    }

    pub fn inside(&self, here: u32) -> Inside {
        match self.types.get(&here) {
            Some((_, inside)) => *inside,
            None => built_in(here),
        }
    }
}

/// A type whose binary values may hold OIDs of one server: told without knowing the users' types, so
/// that all of those count.
pub fn may_hold_oids(type_oid: u32) -> bool {
    type_oid >= FIRST_USER_OID || built_in(type_oid) != Inside::Nothing
}

/// The numbers are those of PostgreSQL's `pg_type.dat`.
fn built_in(type_oid: u32) -> Inside {
    match type_oid {
        // record, _record, anyarray
        2249 => Inside::Record,
        2287 | 2277 => Inside::Array,
        // regclass, regtype
        2205 => Inside::Oid(Object::Relation),
        2206 => Inside::Oid(Object::Type),
        // regproc, regprocedure, regoper, regoperator, regconfig, regdictionary, regnamespace, regrole, regcollation
        24 | 2202 | 2203 | 2204 | 3734 | 3769 | 4089 | 4096 | 4191 => Inside::Oid(Object::Other),
        // Arrays of all these.
        1008 | 2207..=2211 | 3735 | 3770 | 4090 | 4097 | 4192 => Inside::Array,
        _ => Inside::Nothing,
    }
}
