//! One statement on several shards at once. Rows stream through `merge`; writes run in one
//! transaction, whose commit stands before the client hears of success.
//!
//! All connections are taken before anything is sent. When a part fails, the others are
//! cancelled and read to their end, so that their connections stay clean.

use bytes::{BufMut, Bytes};
use futures_util::future::join_all;

use crate::backend::{Settings, StatementName};
use crate::merge::{Described, Merger, Step, same_tags, sum_tags, widen_formats, with_count};
use crate::model::{Code, Fault, NodeId};
use crate::plan::{Merge, Plan, RowMerge, Text};
use crate::wire::postgres::backend;
use crate::wire::postgres::frontend::{self, Bind, Target};

use super::copy_in::copy_in;
use super::copy_out::copy_out;
use super::lane::{Event, Lane, any};
use super::single::is_stale;
use super::{Client, Failure, Hold, Txn, statement_key};

/// Connections tried whose prepared statements turn out to be out of date.
const MAX_TRIES: u32 = 16;

/// How the client asked.
#[derive(Clone, Copy, Debug)]
pub enum Request<'r> {
    Simple,
    /// `types`: of all parameters where a part needs them, else as the client gave them.
    /// `describe`: the client wants the RowDescription. `max_rows`: of Execute; 0 = all.
    Extended {
        types: &'r [u32],
        bind: &'r Bind<'r>,
        describe: bool,
        max_rows: u32,
        /// The client waits for BindComplete: it comes when a server has taken the values.
        owes_bind: bool,
    },
    /// EXECUTE in SQL: as bound parameters for the servers, as a plain statement for the client.
    Executed {
        types: &'r [u32],
        bind: &'r Bind<'r>,
        describe: bool,
    },
}

impl Request<'_> {
    fn max_rows(self) -> u64 {
        match self {
            Request::Simple | Request::Executed { .. } | Request::Extended { max_rows: 0, .. } => u64::MAX,
            Request::Extended { max_rows, .. } => u64::from(max_rows),
        }
    }
}

/// How a statement over several parts ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// With this command tag.
    Complete(String),
    /// At the row limit of Execute, of a write. Its rows behind it are gone: the portal can't be fetched on.
    Suspended { rows: u64 },
}

impl Told {
    /// Rows told or affected.
    pub fn rows(&self) -> u64 {
        match self {
            Told::Complete(tag) => crate::merge::tag_count(tag.as_bytes()).unwrap_or(0),
            Told::Suspended { rows } => *rows,
        }
    }
}

/// Runs a plan of several parts; the client gets rows and CommandComplete or PortalSuspended.
pub async fn scatter(
    hold: &mut Hold,
    plan: &Plan,
    text: &str,
    request: Request<'_>,
    client: &mut Client<'_>,
) -> Result<Told, Failure> {
    let own = matches!(hold.txn, Txn::Idle) && plan.writes && !plan.outside_txn;
    let alone = own || matches!(hold.txn, Txn::Idle);
    let mark = client.out.mark();
    let mut tries = 0;
    let result = loop {
        tries += 1;
        if own {
            hold.begin_implicit();
        }
        let result = run(hold, plan, text, request, client).await;
        let failure = match result {
            Ok(outcome) if own => break hold.commit().await.map(|_| outcome),
            Ok(outcome) => break Ok(outcome),
            Err(failure) => failure,
        };
        if own {
            hold.rollback().await;
        }
        // Statements prepared before their tables changed; connections that broke while they were idle.
        let lost = failure.code_name() == Code::SERVER_LOST.name || failure.sqlstate() == "57P01";
        let again = is_stale(&failure) || (!plan.writes && lost);
        let most = if is_stale(&failure) { MAX_TRIES } else { 2 };
        if !(alone && again && tries < most && client.out.take_back(mark)) {
            break Err(failure);
        }
    };
    let outcome = result?;
    if let Some(block) = hold.txn.block_mut().filter(|_| plan.changes_catalog) {
        block.oids.changed();
    }
    match &outcome {
        Told::Complete(tag) => backend::command_complete(client.out.buf(), tag.as_bytes()),
        Told::Suspended { .. } => backend::portal_suspended(client.out.buf()),
    }
    Ok(outcome)
}

/// Everything but the end of the transaction.
async fn run(
    hold: &mut Hold,
    plan: &Plan,
    text: &str,
    request: Request<'_>,
    client: &mut Client<'_>,
) -> Result<Told, Failure> {
    let mut nodes: Vec<NodeId> = plan.parts.iter().map(|part| part.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let settings = std::sync::Arc::clone(&hold.settings);
    let epoch = hold.database.catalog.epoch;
    let written = hold.text;
    if plan.lock.is_some() && hold.has_snapshot() {
        return Err(unordered().into());
    }
    let seats = hold.seats(&nodes, plan.role).await?;
    let mut lanes: Vec<Lane> = seats.into_iter().map(Lane::new).collect();
    let shell = hold.database.shell;
    let is_shell = |lane: &Lane| Some(lane.seat.lease.node()) == shell;
    let with_shell = lanes.iter().position(is_shell);
    if let Some(at) = with_shell {
        // What it refuses it refuses in the words of the logical schema.
        lanes[..=at].rotate_right(1);
    }
    let is_same = plan.merge == Merge::Same && plan.writes;
    let leading = usize::from(with_shell.is_some()) + usize::from(is_same);
    let begin = |lane: &mut Lane| {
        if let Some(lock) = &plan.lock {
            lane.queue_quietly(lock);
        }
        let node = lane.seat.lease.node();
        for (index, part) in plan
            .parts
            .iter()
            .enumerate()
            .filter(|(_, part)| part.node == node)
        {
            lane.parts.push_back(index);
            let text = match &part.text {
                Text::Original => text,
                Text::Spliced(spliced) => spliced,
            };
            queue(lane, plan, &written.written(text), request, (&settings, epoch));
        }
    };
    let is_write = matches!(plan.merge, Merge::Relay | Merge::Sum | Merge::Same);
    if !is_write {
        lanes.iter_mut().for_each(begin);
        send(&mut lanes).await;
    }
    let result = match &plan.merge {
        Merge::Rows(rule) => rows(&mut lanes, plan, rule, &settings, request, client).await,
        Merge::Relay | Merge::Sum | Merge::Same => {
            writes(&mut lanes, (leading, begin), plan, request, client).await
        }
        Merge::CopyOut(copy) => copy_out(&mut lanes, plan.parts.len(), *copy, request, client).await,
        Merge::CopyIn(copy) => copy_in(&mut lanes, plan.parts.len(), copy, request, client).await,
    };
    if result.is_err()
        && lanes
            .iter()
            .any(|lane| !lane.parts.is_empty() && !lane.seat.lease.is_broken())
    {
        hold.using.cancel_all().await;
    }
    if result.as_ref().is_err_and(is_stale) {
        lanes.iter_mut().for_each(|lane| lane.seat.lease.poison());
    }
    // What is left of the answers: rows behind a LIMIT, or the end of what was cancelled.
    join_all(
        lanes
            .iter_mut()
            .filter(|l| !l.seat.lease.is_broken())
            .map(|lane| lane.seat.lease.drain()),
    )
    .await;
    hold.using.settle().await;
    let wrote = plan.writes && result.is_ok();
    lanes.into_iter().for_each(|lane| hold.leave(lane.seat, wrote));
    result
}

fn unordered() -> Fault {
    Fault::new(
        Code::ISOLATION_ACROSS_NODES,
        "a write to a broadcast table by what it holds, in a transaction that reads as of its beginning",
    )
    .hint("Use READ COMMITTED, or insert and delete whole rows.")
}

/// All servers begin at once; what a broken connection says comes up when it is read.
async fn send(lanes: &mut [Lane]) {
    let sent = join_all(lanes.iter_mut().map(|lane| lane.seat.lease.flush())).await;
    drop(sent);
}

fn queue(lane: &mut Lane, plan: &Plan, text: &[u8], request: Request<'_>, settings: (&Settings, u64)) {
    let lease = &mut lane.seat.lease;
    let max_rows = u32::try_from(request.max_rows()).unwrap_or_default();
    match request {
        Request::Simple => frontend::query(lease.write_buf(), text),
        Request::Extended { types, bind, .. } | Request::Executed { types, bind, .. } => {
            let (name, fresh) = if plan.once {
                (StatementName::from(""), true)
            } else {
                lease.prepare(statement_key(text, types, settings.0, settings.1))
            };
            let out = lease.write_buf();
            if fresh {
                frontend::parse(out, name.as_bytes(), text, types.iter().copied());
            }
            let hidden = match &plan.merge {
                Merge::Rows(rule) => rule.hidden,
                Merge::Relay | Merge::Sum | Merge::Same | Merge::CopyOut(_) | Merge::CopyIn(_) => 0,
            };
            let formats: Vec<i16> = bind.formats.iter().collect();
            let results: Vec<i16> = bind.result_formats.iter().collect();
            let values: Vec<Option<&[u8]>> = bind.params.iter().collect();
            let start = out.len();
            frontend::bind(
                out,
                b"",
                name.as_bytes(),
                &formats,
                values.into_iter(),
                &widen_formats(&results, hidden),
            );
            lease.put_bind(start, types);
            let out = lease.write_buf();
            frontend::describe(out, Target::Portal, b"");
            frontend::execute(out, b"", part_limit(&plan.merge, max_rows));
            // A server that waits for COPY data would ignore a Sync: it follows the data.
            if matches!(plan.merge, Merge::CopyIn(_)) {
                frontend::flush(out);
            } else {
                frontend::sync(out);
            }
        }
    }
}

/// How many rows of each part are enough for the row limit of the whole. 0 = all.
fn part_limit(merge: &Merge, max_rows: u32) -> u32 {
    match merge {
        Merge::Rows(rule) if rule.aggregate.is_none() && !rule.distinct && max_rows > 0 => {
            let wanted = u64::from(max_rows).saturating_add(rule.offset);
            i32::try_from(wanted).map_or(0, |n| n as u32)
        }
        // Writes always run to their end, and groups need all their rows.
        Merge::Rows(_) | Merge::Relay | Merge::Sum | Merge::Same | Merge::CopyOut(_) | Merge::CopyIn(_) => 0,
    }
}

fn wants_description(request: Request<'_>) -> bool {
    match request {
        Request::Simple => true,
        Request::Extended { describe, .. } | Request::Executed { describe, .. } => describe,
    }
}

/// A server has taken the values: the first one that says so is told.
pub(super) fn bound(request: Request<'_>, told: &mut bool, client: &mut Client<'_>) {
    let owes = matches!(request, Request::Extended { owes_bind: true, .. });
    if owes && !std::mem::replace(told, true) {
        backend::bind_complete(client.out.buf());
    }
}

/// The client asked for columns, and there are none.
pub(super) fn wants_no_data(request: Request<'_>) -> bool {
    match request {
        Request::Simple | Request::Executed { .. } => false,
        Request::Extended { describe, .. } => describe,
    }
}

pub(super) fn put(client: &mut Client<'_>, tag: u8, body: &[u8]) {
    let out = client.out.buf();
    out.put_u8(tag);
    out.put_u32(body.len() as u32 + 4);
    out.put_slice(body);
}

/// What the merge must know of the rows.
pub(super) fn described<'d>(
    description: &'d [u8],
    settings: &Settings,
    client: &Client<'_>,
) -> Described<'d> {
    Described {
        description,
        formats: None,
        same_encoding: client.statuses.get("client_encoding") == client.statuses.get("server_encoding"),
        exact_floats: settings.get("extra_float_digits").is_none_or(|v| {
            v.trim_matches('\'')
                .parse::<i32>()
                .is_ok_and(|digits| digits >= 1)
        }),
    }
}

/// Rows of several parts, merged as the plan says.
async fn rows(
    lanes: &mut [Lane],
    plan: &Plan,
    rule: &RowMerge,
    settings: &Settings,
    request: Request<'_>,
    client: &mut Client<'_>,
) -> Result<Told, Failure> {
    let max_rows = request.max_rows();
    let description = first_description(lanes, request, client).await?;
    let mut merger = Merger::new(rule, plan.parts.len(), &described(&description, settings, client))?;
    if wants_description(request) {
        let body = merger.client_description();
        put(client, b'T', &body);
    }
    let through = merger.passes_through();
    let mut relayed = 0u64;
    loop {
        let told = if through { relayed } else { merger.given() };
        if told >= max_rows {
            return Ok(Told::Suspended { rows: told });
        }
        let event = match merger.step()? {
            Step::Row(body) => {
                put(client, b'D', &body);
                client.out.relieve().await;
                continue;
            }
            Step::Done => break,
            Step::Need(part) => {
                client.out.before_waiting().await;
                match lanes.iter_mut().position(|lane| lane.parts.contains(&part)) {
                    Some(at) => lanes[at].next(client, at == 0).await?,
                    None => return Err(Fault::internal("merge waits for a part that has ended").into()),
                }
            }
            Step::NeedAny => {
                client.out.before_waiting().await;
                match any(lanes, client).await? {
                    Some(event) => event,
                    None => break,
                }
            }
        };
        match event {
            Event::Description(_, body) => merger.check_part(&body)?,
            Event::Row(_, frame) if through => {
                relayed += 1;
                client.out.pass(&frame.bytes).await;
            }
            Event::Row(part, frame) => merger.push(part, frame.bytes.slice(5..))?,
            Event::Complete(part, _) => merger.finish(part)?,
            Event::Other | Event::Bound => {}
            Event::CopyIn(..) | Event::CopyOut(..) | Event::CopyData(..) | Event::CopyDone(_) => {
                return Err(out_of_turn().into());
            }
        }
    }
    let told = if through { relayed } else { merger.given() };
    Ok(Told::Complete(with_count("SELECT", told)))
}

fn out_of_turn() -> Fault {
    Fault::new(
        Code::SERVER_PROTOCOL,
        "a server began a COPY that was not asked for",
    )
}

/// Reads the lane of the first part up to its RowDescription.
async fn first_description(
    lanes: &mut [Lane],
    request: Request<'_>,
    client: &mut Client<'_>,
) -> Result<Bytes, Failure> {
    let mut bound_told = false;
    let lane = lanes.iter_mut().find(|lane| lane.parts.front() == Some(&0));
    let lane = lane.ok_or_else(|| Fault::internal("a plan without parts"))?;
    loop {
        match lane.next(client, true).await? {
            Event::Description(_, body) => return Ok(body),
            Event::Bound => bound(request, &mut bound_told, client),
            Event::Other => {}
            Event::CopyIn(..) | Event::CopyOut(..) | Event::CopyData(..) | Event::CopyDone(_) => {
                return Err(out_of_turn().into());
            }
            Event::Row(..) | Event::Complete(..) => {
                return Err(Fault::internal("a part that should return rows returned none").into());
            }
        }
    }
}

/// Several parts that write. Rows (RETURNING) go out as they come; of copies of the same rows only
/// the first part's. So many lanes lead: one after the other they must be done before the rest begins, so that
/// whoever writes the same copies, or changes the same tables, meets there, not in another order on each node.
/// `begin` queues a lane's parts; what isn't begun when another one fails is never sent.
async fn writes(
    lanes: &mut [Lane],
    (leading, begin): (usize, impl Fn(&mut Lane)),
    plan: &Plan,
    request: Request<'_>,
    client: &mut Client<'_>,
) -> Result<Told, Failure> {
    let (max_rows, mut rows) = (request.max_rows(), 0u64);
    let same = plan.merge == Merge::Same;
    let mut bound_told = false;
    let mut tags: Vec<Bytes> = vec![Bytes::new(); plan.parts.len()];
    let mut told = !matches!(request, Request::Extended { describe: true, .. });
    // Without a Describe the columns are told where there are rows, and nothing where there are none.
    let simple = matches!(
        request,
        Request::Simple | Request::Executed { describe: true, .. }
    );
    let mut simple_told = !simple;
    let mut sent = 0;
    loop {
        let Some(event) = any(&mut lanes[..sent], client).await? else {
            if sent == lanes.len() {
                break;
            }
            let upto = if sent < leading { sent + 1 } else { lanes.len() };
            let next = &mut lanes[sent..upto];
            next.iter_mut().for_each(&begin);
            send(next).await;
            sent = upto;
            continue;
        };
        match event {
            Event::Description(part, body) => {
                if (!told || !simple_told) && (!same || part == 0) {
                    (told, simple_told) = (true, true);
                    put(client, b'T', &body);
                }
            }
            Event::Row(part, frame) => {
                // A description comes before its own part's rows, so the first one told stands before all rows.
                if (!same || part == 0) && rows < max_rows {
                    rows += 1;
                    client.out.pass(&frame.bytes).await;
                }
            }
            Event::Complete(part, tag) => {
                if let Some(slot) = tags.get_mut(part) {
                    *slot = tag;
                }
            }
            Event::Bound => bound(request, &mut bound_told, client),
            Event::Other => {}
            Event::CopyIn(..) | Event::CopyOut(..) | Event::CopyData(..) | Event::CopyDone(_) => {
                return Err(out_of_turn().into());
            }
        }
    }
    if !told {
        backend::no_data(client.out.buf());
    }
    let tags = tags.iter().map(|tag| &tag[..]);
    let tag = if same { same_tags(tags) } else { sum_tags(tags) }.map_err(Failure::from)?;
    Ok(if rows == max_rows {
        Told::Suspended { rows }
    } else {
        Told::Complete(tag)
    })
}
