//! COPY … TO STDOUT of several parts: one stream, the concatenation of theirs.
//!
//! PostgreSQL sends each row as one CopyData message, so whole messages of different parts may come in
//! any order. The binary format's header comes with the first message and its trailer last.

use bytes::{BufMut, Bytes};

use crate::merge::{tag_count, with_count};
use crate::model::{Code, Fault};
use crate::plan::{CopyFormat, CopyOut};
use crate::wire::postgres::backend;

use super::lane::{Event, Lane, any};
use super::scatter::{Request, Told, bound, put, wants_no_data};
use super::{Client, Failure};

/// Signature, flags, and the length of the extension behind them.
const BINARY_HEADER: usize = 11 + 4 + 4;
const BINARY_TRAILER: [u8; 2] = [0xff, 0xff];

/// One part's stream so far.
#[derive(Default)]
struct Stream {
    began: bool,
    /// Of a binary stream: the last message, which may be the trailer.
    held: Option<Bytes>,
}

pub(super) async fn copy_out(
    lanes: &mut [Lane],
    parts: usize,
    copy: CopyOut,
    request: Request<'_>,
    client: &mut Client<'_>,
) -> Result<Told, Failure> {
    let (mut bound_told, mut no_data) = (false, wants_no_data(request));
    let mut response: Option<Bytes> = None;
    // The header line of the part that came first; the others' must be the same.
    let mut header: Option<Bytes> = None;
    let mut streams: Vec<Stream> = (0..parts).map(|_| Stream::default()).collect();
    let mut rows = 0;
    while let Some(event) = any(lanes, client).await? {
        match event {
            Event::CopyOut(body) => match &response {
                None => {
                    if std::mem::take(&mut no_data) {
                        backend::no_data(client.out.buf());
                    }
                    put(client, b'H', &body);
                    response = Some(body);
                }
                Some(first) if *first == body => {}
                Some(_) => return Err(differ("columns").into()),
            },
            Event::CopyData(part, data) => {
                let stream = streams
                    .get_mut(part)
                    .ok_or_else(|| Fault::internal("data of a part that isn't there"))?;
                let began = std::mem::replace(&mut stream.began, true);
                match copy.format {
                    CopyFormat::Text | CopyFormat::Csv if copy.header && !began => match &header {
                        None => {
                            tell(client, &data).await;
                            header = Some(data);
                        }
                        Some(first) if *first == data => {}
                        Some(_) => return Err(differ("header lines").into()),
                    },
                    CopyFormat::Text | CopyFormat::Csv => tell(client, &data).await,
                    CopyFormat::Binary => {
                        let data = if began {
                            data
                        } else {
                            without_header(client, &mut header, data).await?
                        };
                        if let Some(before) = stream.held.replace(data) {
                            tell(client, &before).await;
                        }
                    }
                }
            }
            Event::CopyDone(part) => {
                if let Some(last) = streams.get_mut(part).and_then(|s| s.held.take()) {
                    let rest = last
                        .strip_suffix(&BINARY_TRAILER)
                        .ok_or_else(|| differ("trailers"))?;
                    tell(client, rest).await;
                }
            }
            Event::Complete(_, tag) => rows += tag_count(&tag).unwrap_or(0),
            Event::Description(..) | Event::Row(..) | Event::CopyIn(..) => {
                return Err(Fault::new(
                    Code::SERVER_PROTOCOL,
                    "a server answered COPY with something else",
                )
                .into());
            }
            Event::Bound => bound(request, &mut bound_told, client),
            Event::Other => {}
        }
    }
    if copy.format == CopyFormat::Binary {
        tell(client, &BINARY_TRAILER).await;
    }
    backend::copy_done(client.out.buf());
    Ok(Told::Complete(with_count("COPY", rows)))
}

fn differ(what: &str) -> Fault {
    Fault::new(
        Code::SERVER_PROTOCOL,
        format!("the {what} of a COPY differ from node to node"),
    )
}

/// The first message of a binary stream without its header, which is told once.
async fn without_header(
    client: &mut Client<'_>,
    header: &mut Option<Bytes>,
    data: Bytes,
) -> Result<Bytes, Fault> {
    let extension = data
        .get(BINARY_HEADER - 4..BINARY_HEADER)
        .and_then(|n| n.try_into().ok())
        .map(u32::from_be_bytes);
    let end = extension.and_then(|n| BINARY_HEADER.checked_add(n as usize));
    let end = end
        .filter(|end| *end <= data.len())
        .ok_or_else(|| differ("headers"))?;
    let own = data.slice(..end);
    match header {
        None => {
            tell(client, &own).await;
            *header = Some(own);
        }
        Some(first) if *first == own => {}
        Some(_) => return Err(differ("headers")),
    }
    Ok(data.slice(end..))
}

async fn tell(client: &mut Client<'_>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    let out = client.out.buf();
    out.put_u8(b'd');
    // A frame of the server's own, or less of it, so it fits.
    out.put_u32(data.len() as u32 + 4);
    out.put_slice(data);
    client.out.relieve().await;
}
