//! Messages from a frontend: decoded where Margay is the server, encoded where it is the client.
//! Decoded messages borrow from the buffer; counts and lengths are checked before they are used.

use bytes::{BufMut, BytesMut};

use super::ProtocolError;
use super::read::Reader;
use super::write;

pub const SSL_REQUEST: u32 = 80_877_103;
pub const GSSENC_REQUEST: u32 = 80_877_104;
pub const CANCEL_REQUEST: u32 = 80_877_102;
/// Newest minor version of protocol 3 that Margay speaks (3.1 was never used).
pub const MINOR: u16 = 2;
/// Bounds of a cancel secret: 4 bytes in protocol 3.0, up to 256 since 3.2.
pub const SECRET: std::ops::RangeInclusive<usize> = 4..=256;

/// What may come first on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening<'a> {
    Ssl,
    GssEnc,
    Cancel { pid: u32, secret: &'a [u8] },
    Startup(Startup<'a>),
}

/// StartupMessage of protocol 3.x.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup<'a> {
    pub minor: u16,
    /// Name/value pairs of zero-terminated strings, checked, without the final zero byte.
    pairs: &'a [u8],
}

impl<'a> Startup<'a> {
    /// The parameters, in order.
    pub fn params(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut reader = Reader::new(self.pairs);
        std::iter::from_fn(move || Some((reader.cstr().ok()?, reader.cstr().ok()?)))
    }

    /// The last value given for `name`.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.params()
            .filter(|(n, _)| *n == name.as_bytes())
            .last()
            .map(|(_, value)| value)
    }

    /// Protocol extensions asked for (`_pq_.…`), none of which Margay knows.
    pub fn extensions(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.params()
            .map(|(name, _)| name)
            .filter(|name| name.starts_with(b"_pq_."))
    }

    /// The minor version to go on with. Below 2 a cancel secret has exactly 4 bytes.
    pub fn agreed_minor(&self) -> u16 {
        self.minor.min(MINOR)
    }

    /// The client must be told what it can't have (NegotiateProtocolVersion with `agreed_minor` and the extensions).
    pub fn needs_negotiation(&self) -> bool {
        self.minor > MINOR || self.extensions().next().is_some()
    }
}

/// Decodes the untagged frame that `frame::split_startup` cut, length included.
pub fn decode_opening(frame: &[u8]) -> Result<Opening<'_>, ProtocolError> {
    let mut reader = Reader::new(frame);
    reader.u32()?;
    let code = reader.u32()?;
    match code {
        SSL_REQUEST => reader.end().map(|()| Opening::Ssl),
        GSSENC_REQUEST => reader.end().map(|()| Opening::GssEnc),
        CANCEL_REQUEST => {
            let pid = reader.u32()?;
            let secret = reader.rest();
            if !SECRET.contains(&secret.len()) {
                return Err(ProtocolError::Field("cancel secret"));
            }
            Ok(Opening::Cancel { pid, secret })
        }
        _ => {
            let (major, minor) = ((code >> 16) as u16, code as u16);
            if major != 3 {
                return Err(ProtocolError::Version { major, minor });
            }
            let all = reader.rest();
            loop {
                let before = reader.rest();
                if reader.cstr()?.is_empty() {
                    reader.end()?;
                    let pairs = &all[..all.len() - before.len()];
                    return Ok(Opening::Startup(Startup { minor, pairs }));
                }
                reader.cstr()?;
            }
        }
    }
}

/// `S`tatement or `P`ortal, in Describe and Close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Statement,
    Portal,
}

impl Target {
    fn byte(self) -> u8 {
        match self {
            Target::Statement => b'S',
            Target::Portal => b'P',
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, ProtocolError> {
        match reader.u8()? {
            b'S' => Ok(Target::Statement),
            b'P' => Ok(Target::Portal),
            _ => Err(ProtocolError::Field("describe or close target")),
        }
    }
}

/// A message of a client after startup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    Query(&'a [u8]),
    Parse(Parse<'a>),
    Bind(Bind<'a>),
    Describe {
        target: Target,
        name: &'a [u8],
    },
    Execute {
        portal: &'a [u8],
        max_rows: u32,
    },
    Close {
        target: Target,
        name: &'a [u8],
    },
    Flush,
    Sync,
    Terminate,
    /// `p`: a password or SASL message; which one only the login knows (`decode_password` …).
    Auth(&'a [u8]),
    CopyData(&'a [u8]),
    CopyDone,
    CopyFail(&'a [u8]),
    /// Not decoded further: Margay refuses it.
    FunctionCall(&'a [u8]),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parse<'a> {
    pub name: &'a [u8],
    pub query: &'a [u8],
    pub types: Oids<'a>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind<'a> {
    pub portal: &'a [u8],
    pub statement: &'a [u8],
    /// Formats of the parameters: none (all text), one for all, or one each.
    pub formats: Formats<'a>,
    pub params: Values<'a>,
    pub result_formats: Formats<'a>,
}

impl Bind<'_> {
    /// Parameter `index` is in binary format.
    pub fn is_binary(&self, index: usize) -> bool {
        self.formats.is_binary(index)
    }
}

/// Type OIDs, as they stand in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Oids<'a>(&'a [u8]);

impl<'a> Oids<'a> {
    pub fn len(&self) -> usize {
        self.0.len() / 4
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        let (whole, _) = self.0.as_chunks::<4>();
        whole.iter().map(|b| u32::from_be_bytes(*b))
    }
}

/// Format codes, as they stand in the message: 0 text, 1 binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Formats<'a>(&'a [u8]);

impl<'a> Formats<'a> {
    /// Format codes given, which isn't the number of values they hold for.
    pub fn len(&self) -> usize {
        self.0.len() / 2
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = i16> + use<'a> {
        let (whole, _) = self.0.as_chunks::<2>();
        whole.iter().map(|b| i16::from_be_bytes(*b))
    }

    /// The format of value `index` by the rule "none, one for all, or one each".
    pub fn is_binary(&self, index: usize) -> bool {
        let (whole, _) = self.0.as_chunks::<2>();
        let code = if whole.len() == 1 {
            whole.first()
        } else {
            whole.get(index)
        };
        code == Some(&[0, 1])
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, ProtocolError> {
        let count = usize::from(reader.u16()?);
        let formats = Self(reader.bytes(count * 2)?);
        if formats.iter().any(|code| !(0..=1).contains(&code)) {
            return Err(ProtocolError::Field("format code"));
        }
        Ok(formats)
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_u16(self.len() as u16);
        out.put_slice(self.0);
    }
}

/// Length-prefixed values, as they stand in the message; checked when decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Values<'a> {
    count: u16,
    bytes: &'a [u8],
}

impl<'a> Values<'a> {
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// None = NULL.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        std::iter::from_fn(move || {
            if reader.is_empty() {
                None
            } else {
                reader.value().ok()
            }
        })
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, ProtocolError> {
        let count = reader.u16()?;
        let all = reader.rest();
        for _ in 0..count {
            reader.value()?;
        }
        Ok(Self {
            count,
            bytes: &all[..all.len() - reader.rest().len()],
        })
    }
}

/// Decodes a tagged message of a client.
pub fn decode(tag: u8, body: &[u8]) -> Result<Message<'_>, ProtocolError> {
    let mut reader = Reader::new(body);
    let message = match tag {
        b'Q' => Message::Query(reader.cstr()?),
        b'P' => {
            let (name, query) = (reader.cstr()?, reader.cstr()?);
            let count = usize::from(reader.u16()?);
            Message::Parse(Parse {
                name,
                query,
                types: Oids(reader.bytes(count * 4)?),
            })
        }
        b'B' => {
            let (portal, statement) = (reader.cstr()?, reader.cstr()?);
            let formats = Formats::read(&mut reader)?;
            let params = Values::read(&mut reader)?;
            if formats.len() > 1 && formats.len() != params.len() {
                return Err(ProtocolError::Count);
            }
            let result_formats = Formats::read(&mut reader)?;
            Message::Bind(Bind {
                portal,
                statement,
                formats,
                params,
                result_formats,
            })
        }
        b'D' => Message::Describe {
            target: Target::read(&mut reader)?,
            name: reader.cstr()?,
        },
        // A negative limit means none on PostgreSQL, as 0 does.
        b'E' => Message::Execute {
            portal: reader.cstr()?,
            max_rows: reader.i32()?.max(0) as u32,
        },
        b'C' => Message::Close {
            target: Target::read(&mut reader)?,
            name: reader.cstr()?,
        },
        b'H' => Message::Flush,
        b'S' => Message::Sync,
        b'X' => Message::Terminate,
        b'p' => return Ok(Message::Auth(body)),
        b'd' => return Ok(Message::CopyData(body)),
        b'c' => Message::CopyDone,
        b'f' => Message::CopyFail(reader.cstr()?),
        b'F' => return Ok(Message::FunctionCall(body)),
        _ => return Err(ProtocolError::Tag(tag)),
    };
    reader.end()?;
    Ok(message)
}

/// The body of a PasswordMessage.
pub fn decode_password(body: &[u8]) -> Result<&[u8], ProtocolError> {
    let mut reader = Reader::new(body);
    let password = reader.cstr()?;
    reader.end()?;
    Ok(password)
}

/// The body of a SASLInitialResponse: mechanism and first message (None: not sent along).
pub fn decode_sasl_initial(body: &[u8]) -> Result<(&[u8], Option<&[u8]>), ProtocolError> {
    let mut reader = Reader::new(body);
    let mechanism = reader.cstr()?;
    let first = reader.value()?;
    reader.end()?;
    Ok((mechanism, first))
}

impl Message<'_> {
    /// Appends the message as one frame.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Message::Query(sql) => query(out, sql),
            Message::Parse(m) => parse(out, m.name, m.query, m.types.iter()),
            Message::Bind(m) => write::frame(out, b'B', |out| {
                write::cstr(out, m.portal);
                write::cstr(out, m.statement);
                m.formats.write(out);
                out.put_u16(m.params.count);
                out.put_slice(m.params.bytes);
                m.result_formats.write(out);
            }),
            Message::Describe { target, name } => describe(out, *target, name),
            Message::Execute { portal, max_rows } => execute(out, portal, *max_rows),
            Message::Close { target, name } => close(out, *target, name),
            Message::Flush => flush(out),
            Message::Sync => sync(out),
            Message::Terminate => terminate(out),
            Message::Auth(body) => write::frame(out, b'p', |out| out.put_slice(body)),
            Message::CopyData(body) => copy_data(out, body),
            Message::CopyDone => write::frame(out, b'c', |_| {}),
            Message::CopyFail(why) => copy_fail(out, why),
            Message::FunctionCall(body) => write::frame(out, b'F', |out| out.put_slice(body)),
        }
    }
}

/// StartupMessage of protocol 3.0 (servers before 18 know no other).
pub fn startup<'p>(out: &mut BytesMut, params: impl IntoIterator<Item = (&'p [u8], &'p [u8])>) {
    startup_version(out, 0, params);
}

/// StartupMessage of protocol 3.`minor`.
pub fn startup_version<'p>(
    out: &mut BytesMut,
    minor: u16,
    params: impl IntoIterator<Item = (&'p [u8], &'p [u8])>,
) {
    write::untagged(out, |out| {
        out.put_u16(3);
        out.put_u16(minor);
        for (name, value) in params {
            write::cstr(out, name);
            write::cstr(out, value);
        }
        out.put_u8(0);
    });
}

pub fn ssl_request(out: &mut BytesMut) {
    write::untagged(out, |out| out.put_u32(SSL_REQUEST));
}

pub fn cancel_request(out: &mut BytesMut, pid: u32, secret: &[u8]) {
    write::untagged(out, |out| {
        out.put_u32(CANCEL_REQUEST);
        out.put_u32(pid);
        out.put_slice(secret);
    });
}

pub fn query(out: &mut BytesMut, sql: &[u8]) {
    write::frame(out, b'Q', |out| write::cstr(out, sql));
}

/// At most 65535 types, as the protocol has it.
pub fn parse(out: &mut BytesMut, name: &[u8], sql: &[u8], types: impl IntoIterator<Item = u32>) {
    write::frame(out, b'P', |out| {
        write::cstr(out, name);
        write::cstr(out, sql);
        let at = out.len();
        out.put_u16(0);
        let mut count: u16 = 0;
        for oid in types.into_iter().take(usize::from(u16::MAX)) {
            out.put_u32(oid);
            count += 1;
        }
        out[at..at + 2].copy_from_slice(&count.to_be_bytes());
    });
}

/// Bind with formats as codes (0 text, 1 binary); at most 65535 of each, as the protocol has it.
pub fn bind<'p>(
    out: &mut BytesMut,
    portal: &[u8],
    statement: &[u8],
    formats: &[i16],
    params: impl ExactSizeIterator<Item = Option<&'p [u8]>>,
    result_formats: &[i16],
) {
    write::frame(out, b'B', |out| {
        write::cstr(out, portal);
        write::cstr(out, statement);
        put_formats(out, formats);
        let count = params.len().min(usize::from(u16::MAX));
        out.put_u16(count as u16);
        params.take(count).for_each(|value| write::value(out, value));
        put_formats(out, result_formats);
    });
}

fn put_formats(out: &mut BytesMut, formats: &[i16]) {
    let count = formats.len().min(usize::from(u16::MAX));
    out.put_u16(count as u16);
    formats.iter().take(count).for_each(|code| out.put_i16(*code));
}

/// The client's own Bind, sent to another statement and portal name; its values are copied as they stand.
pub fn rebind(out: &mut BytesMut, portal: &[u8], statement: &[u8], bind: &Bind<'_>) {
    Message::Bind(Bind {
        portal,
        statement,
        ..bind.clone()
    })
    .encode(out);
}

pub fn describe(out: &mut BytesMut, target: Target, name: &[u8]) {
    write::frame(out, b'D', |out| {
        out.put_u8(target.byte());
        write::cstr(out, name);
    });
}

/// `max_rows` 0: all.
pub fn execute(out: &mut BytesMut, portal: &[u8], max_rows: u32) {
    write::frame(out, b'E', |out| {
        write::cstr(out, portal);
        out.put_u32(max_rows);
    });
}

pub fn close(out: &mut BytesMut, target: Target, name: &[u8]) {
    write::frame(out, b'C', |out| {
        out.put_u8(target.byte());
        write::cstr(out, name);
    });
}

pub fn flush(out: &mut BytesMut) {
    out.put_slice(b"H\0\0\0\x04");
}

pub fn sync(out: &mut BytesMut) {
    out.put_slice(b"S\0\0\0\x04");
}

pub fn terminate(out: &mut BytesMut) {
    out.put_slice(b"X\0\0\0\x04");
}

pub fn password(out: &mut BytesMut, password: &[u8]) {
    write::frame(out, b'p', |out| write::cstr(out, password));
}

pub fn sasl_initial(out: &mut BytesMut, mechanism: &[u8], first: &[u8]) {
    write::frame(out, b'p', |out| {
        write::cstr(out, mechanism);
        write::value(out, Some(first));
    });
}

pub fn sasl_response(out: &mut BytesMut, data: &[u8]) {
    write::frame(out, b'p', |out| out.put_slice(data));
}

pub fn copy_data(out: &mut BytesMut, data: &[u8]) {
    write::frame(out, b'd', |out| out.put_slice(data));
}

pub fn copy_done(out: &mut BytesMut) {
    out.put_slice(b"c\0\0\0\x04");
}

pub fn copy_fail(out: &mut BytesMut, why: &[u8]) {
    write::frame(out, b'f', |out| write::cstr(out, why));
}
