//! COPY … FROM STDIN into several nodes: each row, with its own bytes, to the node of its key.
//!
//! Nothing is held but a row and what the servers haven't taken yet; a server that is slow slows the
//! client. When something fails, the error told is the one that is first in the client's data.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::{BufMut, Bytes, BytesMut};

use crate::backend::Frame;
use crate::merge::{same_tags, sum_tags};
use crate::model::{Code, Fault};
use crate::plan::{CopyField, CopyFill, CopyFormat, CopyIn, CopyRows, CopyTarget};
use crate::wire::postgres::backend::{self, Message};
use crate::wire::postgres::frontend;

use super::copy_rows::{Field, LineEnd, Piece, Row, Splitter, fields};
use super::lane::{Event, Lane};
use super::scatter::{Request, Told, bound, put, wants_no_data};
use super::{Client, Failure};

/// Rows collected into one CopyData message of a server.
const MESSAGE_BYTES: usize = 16 << 10;
/// Written to a server at once.
const WRITE_BYTES: usize = 32 << 10;
/// Rows of a server whose places in the client's data are remembered: more than can be under way to it.
const KEPT_LINES: usize = 1 << 20;
/// Encodings in which no byte of another character can be taken for ASCII.
const SAFE_ENCODINGS: [&str; 6] = ["utf", "latin", "iso8859", "win", "koi8", "euc"];

/// What is under way to one server.
#[derive(Default)]
struct Stream {
    message: BytesMut,
    /// The number of a line as the server counts, and in the client's data.
    lines: VecDeque<(u64, u64)>,
    line: u64,
    failure: Option<Failure>,
}

pub(super) async fn copy_in(
    lanes: &mut [Lane],
    parts: usize,
    copy: &CopyIn,
    request: Request<'_>,
    client: &mut Client<'_>,
) -> Result<Told, Failure> {
    check_encoding(&copy.rows, client)?;
    let response = begin(lanes, request, client).await?;
    if wants_no_data(request) {
        put(client, b'n', b"");
    }
    let Ok(Message::CopyIn(all)) = backend::decode(b'G', &response) else {
        return Err(Fault::new(Code::SERVER_PROTOCOL, "a CopyInResponse that can't be read").into());
    };
    let formats: Vec<i16> = all.column_formats().collect();
    let own = formats.len().saturating_sub(copy.filled.len());
    backend::copy_in_response(client.out.buf(), all.format, &formats[..own]);
    client.out.flush().await;
    client.copy.open();
    // Lanes in the order of parts.
    let mut order = vec![0; parts];
    for (at, lane) in lanes.iter().enumerate() {
        for part in &lane.parts {
            if let Some(slot) = order.get_mut(*part) {
                *slot = at;
            }
        }
    }
    let mut feeding = Feeding {
        copy,
        splitter: Splitter::new(&copy.rows),
        streams: lanes.iter().map(|_| Stream::default()).collect(),
        order,
        line: 0,
        wanted: copy.rows.keys.iter().map(|k| k.field).collect(),
    };
    let own_failure = feeding.feed(lanes, client).await.err();
    client.copy.close();
    let late_sync = matches!(request, Request::Extended { .. });
    feeding.end(lanes, client, own_failure, late_sync).await
}

fn check_encoding(rows: &CopyRows, client: &Client<'_>) -> Result<(), Fault> {
    let plain = |name: &str| name.to_ascii_lowercase().replace(['-', '_', ' '], "");
    let client_encoding = client.statuses.text("client_encoding").unwrap_or_default();
    let encoding = plain(rows.encoding.as_deref().unwrap_or(client_encoding));
    let server = plain(client.statuses.text("server_encoding").unwrap_or_default());
    let safe = encoding == "sqlascii" || SAFE_ENCODINGS.iter().any(|safe| encoding.starts_with(safe));
    let by_text = rows.keys.iter().any(|key| key.ty.is_text());
    if !safe || (by_text && encoding != server) {
        return Err(Fault::new(
            Code::UNSUPPORTED_STATEMENT,
            format!("COPY data in {encoding} can't be split by its keys"),
        )
        .hint("SET client_encoding = 'UTF8', and send the data in it."));
    }
    Ok(())
}

/// Every server wants data.
async fn begin(lanes: &mut [Lane], request: Request<'_>, client: &mut Client<'_>) -> Result<Bytes, Failure> {
    let mut response: Option<Bytes> = None;
    let mut bound_told = false;
    for (at, lane) in lanes.iter_mut().enumerate() {
        loop {
            match lane.next(client, at == 0).await? {
                Event::CopyIn(body) => {
                    if response.as_ref().is_some_and(|first| *first != body) {
                        return Err(Fault::new(
                            Code::SERVER_PROTOCOL,
                            "the columns of a COPY differ from node to node",
                        )
                        .into());
                    }
                    response = Some(body);
                    break;
                }
                Event::Bound => bound(request, &mut bound_told, client),
                Event::Other => {}
                Event::Description(..)
                | Event::Row(..)
                | Event::Complete(..)
                | Event::CopyOut(..)
                | Event::CopyData(..)
                | Event::CopyDone(_) => {
                    return Err(Fault::new(
                        Code::SERVER_PROTOCOL,
                        "a server answered COPY with something else",
                    )
                    .into());
                }
            }
        }
    }
    response.ok_or_else(|| Fault::internal("a COPY without parts").into())
}

struct Feeding<'c> {
    copy: &'c CopyIn,
    splitter: Splitter<'c>,
    streams: Vec<Stream>,
    /// Lane of each part.
    order: Vec<usize>,
    /// Lines of the client's data so far.
    line: u64,
    /// Fields of the keys.
    wanted: Vec<usize>,
}

/// What to do next.
enum Next {
    Frame(Option<Frame>),
    Failed(usize, Failure),
}

impl Feeding<'_> {
    /// Takes data until the client has no more, or a server won't have it. Err: of Margay's own.
    async fn feed(&mut self, lanes: &mut [Lane], client: &mut Client<'_>) -> Result<(), Failure> {
        loop {
            let next = self.wait(lanes, client).await?;
            let frame = match next {
                Next::Failed(at, failure) => {
                    self.fail(at, failure);
                    // What others have been sent may hold an earlier error.
                    self.give_up(lanes, b"given up");
                    return Ok(());
                }
                Next::Frame(frame) => frame,
            };
            match frame {
                Some(frame) => match frame.tag {
                    b'd' => {
                        self.splitter.push(frame.body());
                        self.take(lanes, client)?;
                    }
                    b'c' => {
                        self.splitter.finish();
                        self.take(lanes, client)?;
                        self.send_all(lanes);
                        for lane in lanes.iter_mut() {
                            frontend::copy_done(lane.seat.lease.write_buf());
                        }
                        return Ok(());
                    }
                    b'f' => {
                        let why = frame.body().strip_suffix(&[0]).unwrap_or_default().to_vec();
                        self.give_up(lanes, &why);
                        return Ok(());
                    }
                    // PostgreSQL ignores both while it waits for data.
                    b'H' | b'S' => {}
                    _ => {
                        self.give_up(lanes, b"unexpected message type during COPY from stdin");
                        return Ok(());
                    }
                },
                None => {
                    self.give_up(lanes, b"the client has left");
                    return Ok(());
                }
            }
            for (stream, lane) in self.streams.iter_mut().zip(lanes.iter_mut()) {
                if stream.message.len() + lane.seat.lease.write_buf().len() >= WRITE_BYTES {
                    send(stream, lane);
                    if let Err(fault) = lane.seat.lease.flush().await {
                        stream.failure.get_or_insert(fault.into());
                    }
                }
            }
        }
    }

    /// The next of the client's frames, or what a server says against it.
    async fn wait(&mut self, lanes: &mut [Lane], client: &mut Client<'_>) -> Result<Next, Failure> {
        if let Some(at) = self.streams.iter().position(|s| s.failure.is_some()) {
            let failure = self.streams[at].failure.take();
            if let Some(failure) = failure {
                return Ok(Next::Failed(at, failure));
            }
        }
        poll_fn(|cx| {
            for (at, lane) in lanes.iter_mut().enumerate() {
                // Notices pass; anything else than an error is out of turn.
                loop {
                    match pin!(lane.next(client, at == 0)).poll(cx) {
                        Poll::Ready(Ok(_)) => {}
                        Poll::Ready(Err(failure)) => return Poll::Ready(Ok(Next::Failed(at, failure))),
                        Poll::Pending => break,
                    }
                }
            }
            match client.copy.poll_frame(cx) {
                Poll::Ready(frame) => Poll::Ready(Ok(Next::Frame(frame))),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// All rows that are there, to their servers' buffers.
    fn take(&mut self, lanes: &mut [Lane], client: &mut Client<'_>) -> Result<(), Failure> {
        loop {
            let before = self.splitter.line_end;
            match self.splitter.next()? {
                Piece::Wait => return Ok(()),
                Piece::Header(row) => {
                    self.count(&row, before);
                    for at in 0..self.streams.len() {
                        self.put(at, &row.bytes, &row, before);
                    }
                    if self.copy.rows.format == CopyFormat::Binary {
                        // The header of this format is no line.
                        self.line = 0;
                        self.streams.iter_mut().for_each(|s| {
                            s.line = 0;
                            s.lines.clear();
                        });
                    }
                }
                Piece::Row(row) => {
                    self.count(&row, before);
                    let part = self.part_of(&row, client)?;
                    let bytes = self.filled(&row, part.1, client)?;
                    match part.0 {
                        Some(part) => {
                            let at = self.order.get(part).copied().unwrap_or_default();
                            self.put(at, &bytes, &row, before);
                        }
                        None => (0..self.streams.len()).for_each(|at| self.put(at, &bytes, &row, before)),
                    }
                }
                Piece::Broken(bytes) => {
                    self.line += 1;
                    let row = Row {
                        bytes: bytes.clone(),
                        line_end: 0,
                        quoted: (0, 0),
                    };
                    self.put(0, &bytes, &row, before);
                }
                Piece::End(bytes) => self.streams.iter_mut().for_each(|s| s.message.put_slice(&bytes)),
            }
            for (stream, lane) in self.streams.iter_mut().zip(lanes.iter_mut()) {
                if stream.message.len() >= MESSAGE_BYTES {
                    send(stream, lane);
                }
            }
        }
    }

    fn count(&mut self, row: &Row, before: LineEnd) {
        self.line += 1 + quoted_lines(row, before);
    }

    fn put(&mut self, at: usize, bytes: &[u8], row: &Row, before: LineEnd) {
        let Some(stream) = self.streams.get_mut(at) else {
            return;
        };
        // The server doesn't know how lines end before it has seen its first.
        let known = if stream.line == 0 {
            LineEnd::Unknown
        } else {
            before
        };
        stream.line += 1 + quoted_lines(row, known);
        if stream.lines.len() == KEPT_LINES {
            stream.lines.pop_front();
        }
        stream.lines.push_back((stream.line, self.line));
        stream.message.put_slice(bytes);
    }

    /// The part, and the generated id that decided over it.
    fn part_of(&self, row: &Row, client: &mut Client<'_>) -> Result<(Option<usize>, Option<i64>), Fault> {
        let rows = &self.copy.rows;
        if matches!(rows.target, CopyTarget::All) {
            return Ok((None, None));
        }
        let found = fields(rows, row, &self.wanted);
        let mut id = None;
        let mut keys = Vec::with_capacity(found.len());
        let mut missing = false;
        for (key, field) in rows.keys.iter().zip(&found) {
            let filled = key
                .field
                .checked_sub(rows.columns)
                .and_then(|at| self.copy.filled.get(at));
            keys.push(match (filled, field) {
                (Some(CopyFill::NextId), _) => {
                    let next = client.copy.next_id()?;
                    id = Some(next);
                    CopyField::Id(next)
                }
                (Some(CopyFill::Value { binary, .. }), _) => CopyField::Binary(binary),
                (None, Field::Null) => CopyField::Null,
                (None, Field::Missing) => {
                    missing = true;
                    CopyField::Null
                }
                (None, Field::Value { bytes }) if rows.format == CopyFormat::Binary => {
                    CopyField::Binary(bytes)
                }
                (None, Field::Value { bytes }) => CopyField::Text(bytes),
            });
        }
        if missing {
            // A server says what is missing; it can't take the row.
            return Ok((Some(0), id));
        }
        let line = self.line;
        let part = rows.part_of(&keys).map_err(|fault| match fault.detail {
            None => fault.detail(format!("COPY {}, line {line}", rows.table.table)),
            Some(_) => fault,
        })?;
        Ok((part, id))
    }

    /// The row with what Margay fills in.
    fn filled(&self, row: &Row, id: Option<i64>, client: &mut Client<'_>) -> Result<Bytes, Fault> {
        if self.copy.filled.is_empty() {
            return Ok(row.bytes.clone());
        }
        let rows = &self.copy.rows;
        let body = row.bytes.len() - row.line_end;
        let mut out = BytesMut::with_capacity(row.bytes.len() + 24 * self.copy.filled.len());
        let mut id = id;
        if rows.format == CopyFormat::Binary {
            let count = rows.columns + self.copy.filled.len();
            out.put_i16(i16::try_from(count).map_err(|_| Fault::internal("more columns than a row has"))?);
            out.put_slice(&row.bytes[2..]);
        } else {
            out.put_slice(&row.bytes[..body]);
        }
        for filled in &self.copy.filled {
            let (text, binary): (String, Vec<u8>) = match filled {
                CopyFill::NextId => {
                    let next = match id.take() {
                        Some(next) => next,
                        None => client.copy.next_id()?,
                    };
                    (next.to_string(), next.to_be_bytes().to_vec())
                }
                CopyFill::Value { text, binary } => (text.to_string(), binary.to_vec()),
            };
            match rows.format {
                CopyFormat::Binary => {
                    out.put_i32(binary.len() as i32);
                    out.put_slice(&binary);
                }
                CopyFormat::Text => {
                    out.put_u8(rows.delimiter);
                    out.put_slice(text.as_bytes());
                }
                CopyFormat::Csv => {
                    out.put_u8(rows.delimiter);
                    out.put_u8(rows.quote);
                    out.put_slice(text.as_bytes());
                    out.put_u8(rows.quote);
                }
            }
        }
        out.put_slice(&row.bytes[row.bytes.len() - row.line_end..]);
        Ok(out.freeze())
    }

    fn send_all(&mut self, lanes: &mut [Lane]) {
        for (stream, lane) in self.streams.iter_mut().zip(lanes.iter_mut()) {
            send(stream, lane);
        }
    }

    fn give_up(&mut self, lanes: &mut [Lane], why: &[u8]) {
        self.send_all(lanes);
        for lane in lanes.iter_mut() {
            frontend::copy_fail(lane.seat.lease.write_buf(), why);
        }
    }

    fn fail(&mut self, at: usize, failure: Failure) {
        if let Some(stream) = self.streams.get_mut(at) {
            stream.failure = Some(failure);
        }
    }

    /// Hears all servers out. `own`: Margay's refusal of a row, before which servers may have found another.
    async fn end(
        mut self,
        lanes: &mut [Lane],
        client: &mut Client<'_>,
        own: Option<Failure>,
        late_sync: bool,
    ) -> Result<Told, Failure> {
        if own.is_some() {
            self.give_up(lanes, b"given up");
        }
        let mut tags = vec![Bytes::new(); self.order.len()];
        for (at, lane) in lanes.iter_mut().enumerate() {
            if late_sync {
                frontend::sync(lane.seat.lease.write_buf());
            }
            while !lane.is_done() && !lane.seat.lease.is_broken() {
                match lane.next(client, at == 0).await {
                    Ok(Event::Complete(part, tag)) => {
                        if let Some(slot) = tags.get_mut(part) {
                            *slot = tag;
                        }
                    }
                    Ok(_) => {}
                    Err(failure) => drop(self.streams[at].failure.get_or_insert(failure)),
                }
            }
        }
        match self.first_failure(own) {
            Some(failure) => Err(failure),
            None => {
                let tags = tags.iter().map(|tag| &tag[..]);
                let tag = match self.copy.rows.target {
                    CopyTarget::All => same_tags(tags),
                    CopyTarget::ByKey { .. } => sum_tags(tags),
                };
                Ok(Told::Complete(tag?))
            }
        }
    }

    /// Of all failures the one that is first in the data, with that place in its words.
    fn first_failure(&mut self, own: Option<Failure>) -> Option<Failure> {
        let mut first: Option<(u64, Failure)> = None;
        let mut given_up = None;
        for stream in &mut self.streams {
            let Some(failure) = stream.failure.take() else {
                continue;
            };
            let (failure, line) = with_line(failure, &stream.lines, self.line);
            // The end of a COPY that was given up because of something else, or by the client.
            if failure.sqlstate() == "57014" {
                given_up.get_or_insert(failure);
                continue;
            }
            let line = line.unwrap_or(u64::MAX);
            if first.as_ref().is_none_or(|(before, _)| line < *before) {
                first = Some((line, failure));
            }
        }
        first.map(|(_, failure)| failure).or(own).or(given_up)
    }
}

fn quoted_lines(row: &Row, known: LineEnd) -> u64 {
    match known {
        LineEnd::Feed => row.quoted.0,
        LineEnd::Unknown | LineEnd::Return | LineEnd::Both => row.quoted.1,
    }
}

fn send(stream: &mut Stream, lane: &mut Lane) {
    if !stream.message.is_empty() {
        frontend::copy_data(lane.seat.lease.write_buf(), &stream.message);
        stream.message.clear();
    }
}

/// `COPY t, line 3, column id: …`: the server counts its own lines, the client the whole data's.
fn with_line(failure: Failure, lines: &VecDeque<(u64, u64)>, all: u64) -> (Failure, Option<u64>) {
    let place = std::cell::Cell::new(None);
    let edited = failure.edited(|code, text| {
        let whole = || {
            let text = std::str::from_utf8(text)
                .ok()
                .filter(|t| code == b'W' && t.starts_with("COPY "))?;
            let (before, rest) = text.split_once(", line ")?;
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let line: u64 = rest[..digits].parse().ok()?;
            let line = match lines.binary_search_by_key(&line, |(own, _)| *own) {
                Ok(at) => lines[at].1,
                // The line that was about to be read.
                Err(at) if at == lines.len() => all + 1,
                Err(_) => return Some(format!("{before}{}", &rest[digits..])),
            };
            place.set(Some(line));
            Some(format!("{before}, line {line}{}", &rest[digits..]))
        };
        Some(match whole() {
            Some(told) => told.into_bytes().into(),
            None => std::borrow::Cow::Borrowed(text),
        })
    });
    (edited, place.get())
}
