//! A raw client: message bodies as the server sends them, nothing decoded.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use bytes::Bytes;

pub struct Connection {
    stream: UnixStream,
}

/// How a query is asked.
#[derive(Clone, Debug)]
pub enum Mode {
    Simple,
    /// Extended, the portal described: the description has the formats.
    Portal(Vec<i16>),
    /// Extended, only the statement described: it doesn't.
    Statement(Vec<i16>),
}

#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub description: Bytes,
    pub rows: Vec<Bytes>,
    pub tag: String,
}

impl Connection {
    pub fn start(stream: UnixStream) -> Option<Connection> {
        let mut connection = Connection { stream };
        let body = b"\x00\x03\x00\x00user\0postgres\0database\0postgres\0\0";
        let length = u32::try_from(body.len() + 4).ok()?;
        connection
            .stream
            .write_all(&[&length.to_be_bytes()[..], body].concat())
            .ok()?;
        loop {
            match connection.read()? {
                (b'Z', _) => return Some(connection),
                (b'E', _) => return None,
                _ => {}
            }
        }
    }

    fn read(&mut self) -> Option<(u8, Bytes)> {
        let mut header = [0; 5];
        self.stream.read_exact(&mut header).ok()?;
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        let mut body = vec![0; length as usize - 4];
        self.stream.read_exact(&mut body).ok()?;
        Some((header[0], body.into()))
    }

    /// Runs statements whose rows don't matter.
    pub fn run(&mut self, sql: &str) {
        self.query(sql, &Mode::Simple);
    }

    pub fn query(&mut self, sql: &str, mode: &Mode) -> Answer {
        let message = match mode {
            Mode::Simple => message(b'Q', &[sql.as_bytes(), b"\0"]),
            Mode::Portal(formats) => extended(sql, b"P\0", formats, false),
            Mode::Statement(formats) => extended(sql, b"S\0", formats, true),
        };
        self.stream.write_all(&message).expect("the server takes a query");
        let mut answer = Answer::default();
        loop {
            let (kind, body) = self.read().expect("the server answers");
            match kind {
                b'T' => answer.description = body,
                b'D' => answer.rows.push(body),
                b'C' => answer.tag = String::from_utf8_lossy(&body).trim_end_matches('\0').to_owned(),
                b'E' => panic!("{sql}: {}", String::from_utf8_lossy(&body)),
                b'Z' => return answer,
                _ => {}
            }
        }
    }
}

fn extended(sql: &str, target: &[u8], formats: &[i16], describe_first: bool) -> Vec<u8> {
    let mut codes = u16::try_from(formats.len())
        .expect("a few columns")
        .to_be_bytes()
        .to_vec();
    codes.extend(formats.iter().flat_map(|f| f.to_be_bytes()));
    let describe = message(b'D', &[target]);
    let bind = message(b'B', &[b"\0\0", &[0; 4], &codes]);
    [
        message(b'P', &[b"\0", sql.as_bytes(), b"\0\0\0"]),
        if describe_first {
            describe.clone()
        } else {
            Vec::new()
        },
        bind,
        if describe_first { Vec::new() } else { describe },
        message(b'E', &[b"\0", &[0; 4]]),
        message(b'S', &[]),
    ]
    .concat()
}

fn message(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u32::try_from(body.len() + 4).expect("a short message");
    [&[kind][..], &length.to_be_bytes(), &body].concat()
}
