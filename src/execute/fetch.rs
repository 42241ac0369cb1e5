//! A query over several parts that the client takes in portions: a portal with a row limit, or a cursor.
//!
//! Each part has a portal of its own open on its server, in the open transaction; the merge is kept
//! here. Between portions every connection is quiet and may run other statements. What is held is at
//! most one portion of each part.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;

use crate::backend::StatementName;
use crate::merge::{Merger, Step, widen_formats};
use crate::model::oids::may_hold_oids;
use crate::model::{Code, Fault, NodeId};
use crate::plan::{Plan, RowMerge, Text};
use crate::wire::postgres::backend::{Field, RowDescription};
use crate::wire::postgres::frontend::{self, Bind, Target};

use super::scatter::{described, put};
use super::{Client, Failure, Hold, Seat, statement_key};

/// Most rows asked of a part at once.
const MAX_PORTION: u64 = 1000;
/// Fewer aren't worth a round trip where rows are merged.
const MIN_PORTION: u64 = 32;

/// A query under way.
pub struct Fetching {
    plan: Arc<Plan>,
    /// On the servers, with the part's number behind it.
    portal: String,
    merger: Merger,
    parts: Vec<Part>,
    holds_oids: bool,
    /// Savepoints that stood when it was opened: see `Block::depth`.
    pub depth: usize,
}

struct Part {
    node: NodeId,
    rows: VecDeque<Bytes>,
    /// Its server has no more.
    ended: bool,
}

/// What to do with the rows of a portion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    Told,
    /// MOVE.
    Dropped,
}

/// How a portion ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    pub rows: u64,
    /// There was less than was asked for.
    pub at_end: bool,
}

/// Opens the portals. `offset`: where the query begins in the text of each part. `bind`: of the client.
pub async fn open(
    hold: &mut Hold,
    plan: &Arc<Plan>,
    rule: &RowMerge,
    (text, offset): (&str, usize),
    (types, bind): (&[u32], Option<&Bind<'_>>),
    client: &mut Client<'_>,
) -> Result<Fetching, Failure> {
    hold.take_snapshot().await?;
    let settings = Arc::clone(&hold.settings);
    let (epoch, written) = (hold.database.catalog.epoch, hold.text);
    let number = hold.next_portal();
    let portal = format!("margay_portal_{number}");
    let mut seats = hold.seats(&nodes(plan), plan.role).await?;
    let formats: Vec<i16> = bind.map_or_else(Vec::new, |b| b.formats.iter().collect());
    let results: Vec<i16> = bind.map_or_else(Vec::new, |b| b.result_formats.iter().collect());
    let results = widen_formats(&results, rule.hidden);
    for (index, part) in plan.parts.iter().enumerate() {
        let Some(seat) = seats.iter_mut().find(|s| s.lease.node() == part.node) else {
            continue;
        };
        let text = match &part.text {
            Text::Original => text,
            Text::Spliced(spliced) => spliced,
        };
        let text = &*written.written(text.get(offset..).unwrap_or_default());
        // A text that holds this moment's time isn't kept.
        let (name, fresh) = if plan.once {
            (StatementName::from(""), true)
        } else {
            seat.lease.prepare(statement_key(text, types, &settings, epoch))
        };
        let out = seat.lease.write_buf();
        if fresh {
            frontend::parse(out, name.as_bytes(), text, types.iter().copied());
        }
        let own = format!("{portal}_{index}");
        let values: Vec<Option<&[u8]>> = bind.map_or_else(Vec::new, |b| b.params.iter().collect());
        let start = out.len();
        frontend::bind(
            out,
            own.as_bytes(),
            name.as_bytes(),
            &formats,
            values.into_iter(),
            &results,
        );
        seat.lease.put_bind(start, types);
        let out = seat.lease.write_buf();
        frontend::describe(out, Target::Portal, own.as_bytes());
        frontend::sync(out);
    }
    let answers = read_all(&mut seats, client).await;
    leave(hold, seats).await;
    let answers = answers?;
    let mut descriptions = answers.iter().flatten().filter(|f| f.0 == b'T').map(|f| &f.1);
    let first = descriptions
        .next()
        .ok_or_else(|| Fault::internal("a portal without columns"))?;
    let merger = Merger::new(rule, plan.parts.len(), &described(first, &settings, client))?;
    for other in descriptions {
        merger.check_part(other)?;
    }
    let parts = plan.parts.iter().map(|part| Part {
        node: part.node,
        rows: VecDeque::new(),
        ended: false,
    });
    Ok(Fetching {
        holds_oids: holds_oids(first),
        plan: Arc::clone(plan),
        portal,
        merger,
        parts: parts.collect(),
        depth: hold.txn.block().map_or(0, |block| block.depth()),
    })
}

/// Binary columns whose values hold OIDs of their server, perhaps.
fn holds_oids(description: &[u8]) -> bool {
    let may = |column: Field<'_>| column.format == 1 && may_hold_oids(column.type_oid);
    RowDescription::decode(description).is_ok_and(|columns| columns.fields().any(may))
}

fn nodes(plan: &Plan) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = plan.parts.iter().map(|part| part.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

async fn leave(hold: &mut Hold, seats: Vec<Seat>) {
    hold.using.settle().await;
    hold.leave_all(seats);
}

/// Tags and bodies of what each server says up to its last ReadyForQuery; the first error is the result.
async fn read_all(seats: &mut [Seat], client: &mut Client<'_>) -> Result<Vec<Vec<(u8, Bytes)>>, Failure> {
    let reads = seats.iter_mut().map(|seat| async move {
        let mut said = Vec::new();
        let mut failure: Option<Failure> = None;
        let mut quiet = std::mem::take(&mut seat.quiet);
        while seat.lease.pending_syncs() > 0 || !seat.lease.write_buf().is_empty() {
            let frame = match seat.lease.next_frame().await {
                Ok(frame) => frame,
                Err(fault) => return Err(failure.unwrap_or(Failure::Margay(fault))),
            };
            match frame.tag {
                b'Z' if quiet > 0 => quiet -= 1,
                b'E' => drop(failure.get_or_insert(Failure::Server(frame))),
                b'T' | b'D' | b'C' | b's' | b'S' | b'N' => said.push((frame.tag, frame.bytes.slice(5..))),
                _ => {}
            }
        }
        failure.map_or(Ok(said), Err)
    });
    let mut all = Vec::new();
    let mut failure = None;
    for read in join_all(reads).await {
        match read {
            Ok(said) => {
                for (tag, body) in &said {
                    if *tag == b'S' {
                        client.statuses.report(body, client.out.buf());
                    }
                }
                all.push(said);
            }
            Err(first) => drop(failure.get_or_insert(first)),
        }
    }
    failure.map_or(Ok(all), Err)
}

impl Fetching {
    /// The body of the RowDescription for the client.
    pub fn description(&self) -> Bytes {
        self.merger.client_description()
    }

    /// The next rows, at most so many.
    pub async fn fetch(
        &mut self,
        hold: &mut Hold,
        most: u64,
        rows: Rows,
        client: &mut Client<'_>,
    ) -> Result<Portion, Failure> {
        let mut told = 0;
        loop {
            if told == most {
                return Ok(Portion {
                    rows: told,
                    at_end: false,
                });
            }
            let wanted = match self.merger.step()? {
                Step::Row(body) => {
                    told += 1;
                    if rows == Rows::Told {
                        put(client, b'D', &body);
                        client.out.relieve().await;
                    }
                    continue;
                }
                Step::Done => {
                    return Ok(Portion {
                        rows: told,
                        at_end: true,
                    });
                }
                Step::Need(part) => part,
                Step::NeedAny => {
                    let open = |p: &Part| !p.ended || !p.rows.is_empty();
                    match self.parts.iter().position(open) {
                        Some(part) => part,
                        None => {
                            (0..self.parts.len()).try_for_each(|part| self.merger.finish(part))?;
                            continue;
                        }
                    }
                }
            };
            self.supply(hold, wanted, most - told, client).await?;
        }
    }

    /// One more row of a part, or its end, for the merger.
    async fn supply(
        &mut self,
        hold: &mut Hold,
        wanted: usize,
        most: u64,
        client: &mut Client<'_>,
    ) -> Result<(), Failure> {
        let Some(part) = self.parts.get_mut(wanted) else {
            return Err(Fault::internal("merge waits for a part that isn't there").into());
        };
        if let Some(row) = part.rows.pop_front() {
            return Ok(self.merger.push(wanted, row)?);
        }
        if part.ended {
            return Ok(self.merger.finish(wanted)?);
        }
        // What is only concatenated comes part by part; what is merged is needed from all.
        if self.merger.passes_through() {
            self.fill(hold, &[wanted], most.min(MAX_PORTION), client).await
        } else {
            let empty = |(_, p): &(usize, &Part)| !p.ended && p.rows.is_empty();
            let empty: Vec<usize> = self
                .parts
                .iter()
                .enumerate()
                .filter(empty)
                .map(|(i, _)| i)
                .collect();
            self.fill(hold, &empty, most.clamp(MIN_PORTION, MAX_PORTION), client)
                .await
        }
    }

    async fn fill(
        &mut self,
        hold: &mut Hold,
        wanted: &[usize],
        most: u64,
        client: &mut Client<'_>,
    ) -> Result<(), Failure> {
        client.out.before_waiting().await;
        let mut nodes: Vec<NodeId> = wanted
            .iter()
            .filter_map(|i| Some(self.parts.get(*i)?.node))
            .collect();
        nodes.sort_unstable();
        nodes.dedup();
        let mut seats = hold.seats(&nodes, self.plan.role).await?;
        let mut asked: Vec<Vec<usize>> = vec![Vec::new(); seats.len()];
        for index in wanted {
            let node = self.parts.get(*index).map(|p| p.node);
            if let Some(at) = seats.iter().position(|s| Some(s.lease.node()) == node) {
                let out = seats[at].lease.write_buf();
                let portal = format!("{}_{index}", self.portal);
                if self.holds_oids {
                    frontend::describe(out, Target::Portal, portal.as_bytes());
                }
                frontend::execute(out, portal.as_bytes(), most as u32);
                frontend::sync(out);
                asked[at].push(*index);
            }
        }
        let answers = read_all(&mut seats, client).await;
        leave(hold, seats).await;
        for (answer, asked) in answers?.into_iter().zip(asked) {
            let mut asked = asked.into_iter();
            let mut current = asked.next();
            for (tag, body) in answer {
                let Some(part) = current.and_then(|index| self.parts.get_mut(index)) else {
                    break;
                };
                match tag {
                    b'D' => part.rows.push_back(body),
                    b'C' | b's' => {
                        part.ended = tag == b'C';
                        current = asked.next();
                    }
                    b'N' => put(client, b'N', &body),
                    _ => {}
                }
            }
            if current.is_some() {
                return Err(
                    Fault::new(Code::SERVER_PROTOCOL, "a server left a portal without an end").into(),
                );
            }
        }
        Ok(())
    }

    /// Closes the servers' portals, where the transaction still stands.
    pub async fn close(self, hold: &mut Hold, client: &mut Client<'_>) -> Result<(), Failure> {
        let mut seats = hold.seats(&nodes(&self.plan), self.plan.role).await?;
        for (index, part) in self.parts.iter().enumerate() {
            if let Some(seat) = seats.iter_mut().find(|s| s.lease.node() == part.node) {
                let out = seat.lease.write_buf();
                frontend::close(out, Target::Portal, format!("{}_{index}", self.portal).as_bytes());
            }
        }
        seats
            .iter_mut()
            .for_each(|seat| frontend::sync(seat.lease.write_buf()));
        let answers = read_all(&mut seats, client).await;
        leave(hold, seats).await;
        answers.map(drop)
    }
}
