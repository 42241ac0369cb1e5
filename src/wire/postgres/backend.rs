//! Messages from a backend: encoded where Margay is the server, decoded where it is the client.
//! Encoders append to a buffer; decoders borrow from one and check counts and lengths before use.

use bytes::{BufMut, BytesMut};

use super::ProtocolError;
use super::read::Reader;
use super::write;
use crate::model::Fault;

/// What ReadyForQuery says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TxStatus {
    #[default]
    Idle,
    InTxn,
    Failed,
}

impl TxStatus {
    pub fn byte(self) -> u8 {
        match self {
            TxStatus::Idle => b'I',
            TxStatus::InTxn => b'T',
            TxStatus::Failed => b'E',
        }
    }

    pub fn from_byte(byte: u8) -> Result<Self, ProtocolError> {
        match byte {
            b'I' => Ok(TxStatus::Idle),
            b'T' => Ok(TxStatus::InTxn),
            b'E' => Ok(TxStatus::Failed),
            _ => Err(ProtocolError::Field("transaction status")),
        }
    }
}

/// A message of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    Auth(Auth<'a>),
    ParameterStatus {
        name: &'a [u8],
        value: &'a [u8],
    },
    BackendKeyData {
        pid: u32,
        secret: &'a [u8],
    },
    ReadyForQuery(TxStatus),
    RowDescription(RowDescription<'a>),
    DataRow(DataRow<'a>),
    CommandComplete {
        tag: &'a [u8],
    },
    EmptyQueryResponse,
    ErrorResponse(Fields<'a>),
    NoticeResponse(Fields<'a>),
    ParseComplete,
    BindComplete,
    CloseComplete,
    NoData,
    ParameterDescription(ParameterDescription<'a>),
    PortalSuspended,
    NotificationResponse {
        pid: u32,
        channel: &'a [u8],
        payload: &'a [u8],
    },
    /// `version`: major in the high half, minor in the low one, as PostgreSQL sends it.
    NegotiateProtocolVersion {
        version: u32,
        options: Vec<&'a [u8]>,
    },
    CopyIn(CopyResponse<'a>),
    CopyOut(CopyResponse<'a>),
    CopyBoth(CopyResponse<'a>),
    CopyData(&'a [u8]),
    CopyDone,
    FunctionCallResponse(Option<&'a [u8]>),
}

/// Authentication requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth<'a> {
    Ok,
    Cleartext,
    Md5 {
        salt: [u8; 4],
    },
    /// Mechanisms, zero-terminated each.
    Sasl {
        mechanisms: Vec<&'a [u8]>,
    },
    SaslContinue(&'a [u8]),
    SaslFinal(&'a [u8]),
    /// Kerberos, GSSAPI, SSPI and what may come later.
    Other(u32),
}

impl<'a> Auth<'a> {
    /// Decodes the body of an `R` frame.
    pub fn decode(body: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(body);
        let auth = match reader.u32()? {
            0 => Auth::Ok,
            3 => Auth::Cleartext,
            5 => {
                let salt = reader.bytes(4)?;
                Auth::Md5 {
                    salt: [salt[0], salt[1], salt[2], salt[3]],
                }
            }
            10 => {
                let mut mechanisms = Vec::new();
                loop {
                    match reader.cstr()? {
                        b"" => break,
                        name => mechanisms.push(name),
                    }
                }
                Auth::Sasl { mechanisms }
            }
            11 => return Ok(Auth::SaslContinue(reader.rest())),
            12 => return Ok(Auth::SaslFinal(reader.rest())),
            other => return Ok(Auth::Other(other)),
        };
        reader.end()?;
        Ok(auth)
    }
}

/// One column of a RowDescription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    pub name: &'a [u8],
    pub table_oid: u32,
    pub column: i16,
    pub type_oid: u32,
    pub type_len: i16,
    pub type_mod: i32,
    /// 0 text, 1 binary.
    pub format: i16,
}

impl<'a> Field<'a> {
    /// A computed column of a type of fixed or variable length.
    pub fn new(name: &'a [u8], type_oid: u32, type_len: i16) -> Self {
        Self {
            name,
            table_oid: 0,
            column: 0,
            type_oid,
            type_len,
            type_mod: -1,
            format: 0,
        }
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, ProtocolError> {
        Ok(Self {
            name: reader.cstr()?,
            table_oid: reader.u32()?,
            column: reader.i16()?,
            type_oid: reader.u32()?,
            type_len: reader.i16()?,
            type_mod: reader.i32()?,
            format: reader.i16()?,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowDescription<'a> {
    count: u16,
    body: &'a [u8],
}

impl<'a> RowDescription<'a> {
    /// Decodes the body of a `T` frame.
    pub fn decode(body: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(body);
        let count = reader.u16()?;
        let body = reader.rest();
        for _ in 0..count {
            Field::read(&mut reader)?;
        }
        reader.end()?;
        Ok(Self { count, body })
    }

    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let mut reader = Reader::new(self.body);
        std::iter::from_fn(move || Field::read(&mut reader).ok())
    }
}

/// The columns of a DataRow. Decoding checks only the count; lengths are checked as the columns
/// are walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataRow<'a> {
    count: u16,
    columns: &'a [u8],
}

impl<'a> DataRow<'a> {
    /// Decodes the body of a `D` frame.
    #[inline]
    pub fn decode(body: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(body);
        let count = reader.u16()?;
        Ok(Self {
            count,
            columns: reader.rest(),
        })
    }

    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The columns in order; None = NULL. Ends after the first error.
    #[inline]
    pub fn columns(&self) -> impl Iterator<Item = Result<Option<&'a [u8]>, ProtocolError>> + use<'a> {
        let mut reader = Reader::new(self.columns);
        let mut left = self.count;
        std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let column = reader.value();
            left = if column.is_ok() { left - 1 } else { 0 };
            Some(column)
        })
    }

    /// The bytes of the first `count` columns with their length prefixes, for cutting columns off
    /// the end of a row without copying each.
    pub fn prefix(&self, count: usize) -> Result<&'a [u8], ProtocolError> {
        let mut reader = Reader::new(self.columns);
        if count > self.len() {
            return Err(ProtocolError::Count);
        }
        for _ in 0..count {
            reader.value()?;
        }
        Ok(&self.columns[..self.columns.len() - reader.rest().len()])
    }

    fn check(&self) -> Result<(), ProtocolError> {
        let mut reader = Reader::new(self.columns);
        for _ in 0..self.count {
            reader.value()?;
        }
        reader.end()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterDescription<'a> {
    oids: &'a [u8],
}

impl<'a> ParameterDescription<'a> {
    /// Decodes the body of a `t` frame.
    pub fn decode(body: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(body);
        let count = usize::from(reader.u16()?);
        let oids = reader.bytes(count * 4)?;
        reader.end()?;
        Ok(Self { oids })
    }

    pub fn types(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        let (whole, _) = self.oids.as_chunks::<4>();
        whole.iter().map(|b| u32::from_be_bytes(*b))
    }
}

/// CopyInResponse, CopyOutResponse, CopyBothResponse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyResponse<'a> {
    /// 0 text, 1 binary.
    pub format: u8,
    columns: &'a [u8],
}

impl<'a> CopyResponse<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, ProtocolError> {
        let format = reader.u8()?;
        let count = usize::from(reader.u16()?);
        Ok(Self {
            format,
            columns: reader.bytes(count * 2)?,
        })
    }

    pub fn column_formats(&self) -> impl ExactSizeIterator<Item = i16> + use<'a> {
        let (whole, _) = self.columns.as_chunks::<2>();
        whole.iter().map(|b| i16::from_be_bytes(*b))
    }
}

/// The fields of an ErrorResponse or NoticeResponse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields<'a> {
    /// Code byte and zero-terminated text each, checked, without the final zero byte.
    body: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Decodes the body of an `E` or `N` frame.
    pub fn decode(body: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(body);
        loop {
            let before = reader.rest();
            if reader.u8()? == 0 {
                reader.end()?;
                return Ok(Self {
                    body: &body[..body.len() - before.len()],
                });
            }
            reader.cstr()?;
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let mut reader = Reader::new(self.body);
        std::iter::from_fn(move || Some((reader.u8().ok()?, reader.cstr().ok()?)))
    }

    /// A field by its code byte (`b'C'` SQLSTATE, `b'M'` message, `b'D'` detail, `b'H'` hint, `b'P'` position …).
    pub fn get(&self, code: u8) -> Option<&'a [u8]> {
        self.iter().find(|(c, _)| *c == code).map(|(_, text)| text)
    }

    pub fn sqlstate(&self) -> &'a [u8] {
        self.get(b'C').unwrap_or_default()
    }

    pub fn message(&self) -> &'a [u8] {
        self.get(b'M').unwrap_or_default()
    }

    /// FATAL or PANIC: the server closes the connection. By the unlocalized field where there is one.
    pub fn is_fatal(&self) -> bool {
        let severity = self.get(b'V').or_else(|| self.get(b'S')).unwrap_or_default();
        severity == b"FATAL" || severity == b"PANIC"
    }
}

/// Rows that a CommandComplete tag tells (`INSERT 0 5`, `UPDATE 3`, `SELECT 7`, `COPY 2`); None: it tells none.
pub fn affected_rows(tag: &[u8]) -> Option<u64> {
    let last = tag.rsplit(|b| *b == b' ').next()?;
    if last.is_empty() || last.len() == tag.len() {
        return None;
    }
    last.iter().try_fold(0u64, |sum, b| match b {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(b - b'0')),
        _ => None,
    })
}

/// Decodes a tagged message of a server.
pub fn decode(tag: u8, body: &[u8]) -> Result<Message<'_>, ProtocolError> {
    let mut reader = Reader::new(body);
    let message = match tag {
        b'R' => return Auth::decode(body).map(Message::Auth),
        b'S' => Message::ParameterStatus {
            name: reader.cstr()?,
            value: reader.cstr()?,
        },
        b'K' => {
            let pid = reader.u32()?;
            let secret = reader.rest();
            if !super::frontend::SECRET.contains(&secret.len()) {
                return Err(ProtocolError::Field("cancel secret"));
            }
            return Ok(Message::BackendKeyData { pid, secret });
        }
        b'Z' => Message::ReadyForQuery(TxStatus::from_byte(reader.u8()?)?),
        b'T' => return RowDescription::decode(body).map(Message::RowDescription),
        b'D' => {
            let row = DataRow::decode(body)?;
            row.check()?;
            return Ok(Message::DataRow(row));
        }
        b'C' => Message::CommandComplete { tag: reader.cstr()? },
        b'I' => Message::EmptyQueryResponse,
        b'E' => return Fields::decode(body).map(Message::ErrorResponse),
        b'N' => return Fields::decode(body).map(Message::NoticeResponse),
        b'1' => Message::ParseComplete,
        b'2' => Message::BindComplete,
        b'3' => Message::CloseComplete,
        b'n' => Message::NoData,
        b't' => return ParameterDescription::decode(body).map(Message::ParameterDescription),
        b's' => Message::PortalSuspended,
        b'A' => Message::NotificationResponse {
            pid: reader.u32()?,
            channel: reader.cstr()?,
            payload: reader.cstr()?,
        },
        b'v' => {
            let version = reader.u32()?;
            let count = reader.u32()?;
            let mut options = Vec::new();
            for _ in 0..count {
                options.push(reader.cstr()?);
            }
            Message::NegotiateProtocolVersion { version, options }
        }
        b'G' => Message::CopyIn(CopyResponse::read(&mut reader)?),
        b'H' => Message::CopyOut(CopyResponse::read(&mut reader)?),
        b'W' => Message::CopyBoth(CopyResponse::read(&mut reader)?),
        b'd' => return Ok(Message::CopyData(body)),
        b'c' => Message::CopyDone,
        b'V' => Message::FunctionCallResponse(reader.value()?),
        _ => return Err(ProtocolError::Tag(tag)),
    };
    reader.end()?;
    Ok(message)
}

pub fn authentication_ok(out: &mut BytesMut) {
    auth(out, 0, |_| {});
}

pub fn authentication_cleartext(out: &mut BytesMut) {
    auth(out, 3, |_| {});
}

pub fn authentication_md5(out: &mut BytesMut, salt: [u8; 4]) {
    auth(out, 5, |out| out.put_slice(&salt));
}

pub fn authentication_sasl(out: &mut BytesMut, mechanisms: &[&[u8]]) {
    auth(out, 10, |out| {
        mechanisms.iter().for_each(|name| write::cstr(out, name));
        out.put_u8(0);
    });
}

pub fn authentication_sasl_continue(out: &mut BytesMut, data: &[u8]) {
    auth(out, 11, |out| out.put_slice(data));
}

pub fn authentication_sasl_final(out: &mut BytesMut, data: &[u8]) {
    auth(out, 12, |out| out.put_slice(data));
}

fn auth(out: &mut BytesMut, kind: u32, body: impl FnOnce(&mut BytesMut)) {
    write::frame(out, b'R', |out| {
        out.put_u32(kind);
        body(out);
    });
}

pub fn parameter_status(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    write::frame(out, b'S', |out| {
        write::cstr(out, name);
        write::cstr(out, value);
    });
}

pub fn backend_key_data(out: &mut BytesMut, pid: u32, secret: &[u8]) {
    write::frame(out, b'K', |out| {
        out.put_u32(pid);
        out.put_slice(secret);
    });
}

pub fn ready_for_query(out: &mut BytesMut, status: TxStatus) {
    out.put_slice(&[b'Z', 0, 0, 0, 5, status.byte()]);
}

/// At most 65535 fields, as the protocol has it.
pub fn row_description(out: &mut BytesMut, fields: &[Field<'_>]) {
    write::frame(out, b'T', |out| {
        let count = fields.len().min(usize::from(u16::MAX));
        out.put_u16(count as u16);
        for field in fields.iter().take(count) {
            write::cstr(out, field.name);
            out.put_u32(field.table_oid);
            out.put_i16(field.column);
            out.put_u32(field.type_oid);
            out.put_i16(field.type_len);
            out.put_i32(field.type_mod);
            out.put_i16(field.format);
        }
    });
}

/// At most 65535 columns, as the protocol has it.
pub fn data_row<'v>(out: &mut BytesMut, columns: impl IntoIterator<Item = Option<&'v [u8]>>) {
    write::frame(out, b'D', |out| {
        let at = out.len();
        out.put_u16(0);
        let mut count: u16 = 0;
        for column in columns.into_iter().take(usize::from(u16::MAX)) {
            write::value(out, column);
            count += 1;
        }
        out[at..at + 2].copy_from_slice(&count.to_be_bytes());
    });
}

/// A row whose columns are at hand as they stand in a message (`DataRow::prefix`).
pub fn data_row_raw(out: &mut BytesMut, count: u16, columns: &[u8]) {
    write::frame(out, b'D', |out| {
        out.put_u16(count);
        out.put_slice(columns);
    });
}

pub fn command_complete(out: &mut BytesMut, tag: &[u8]) {
    write::frame(out, b'C', |out| write::cstr(out, tag));
}

pub fn empty_query_response(out: &mut BytesMut) {
    out.put_slice(b"I\0\0\0\x04");
}

pub fn parse_complete(out: &mut BytesMut) {
    out.put_slice(b"1\0\0\0\x04");
}

pub fn bind_complete(out: &mut BytesMut) {
    out.put_slice(b"2\0\0\0\x04");
}

pub fn close_complete(out: &mut BytesMut) {
    out.put_slice(b"3\0\0\0\x04");
}

pub fn no_data(out: &mut BytesMut) {
    out.put_slice(b"n\0\0\0\x04");
}

pub fn portal_suspended(out: &mut BytesMut) {
    out.put_slice(b"s\0\0\0\x04");
}

pub fn parameter_description(out: &mut BytesMut, types: &[u32]) {
    write::frame(out, b't', |out| {
        let count = types.len().min(usize::from(u16::MAX));
        out.put_u16(count as u16);
        types.iter().take(count).for_each(|oid| out.put_u32(*oid));
    });
}

/// `minor`: the minor version to go on with; `options`: the `_pq_.` options not known.
pub fn negotiate_protocol_version<'o>(
    out: &mut BytesMut,
    minor: u16,
    options: impl ExactSizeIterator<Item = &'o [u8]>,
) {
    write::frame(out, b'v', |out| {
        // The documentation calls the field the minor version; server and libpq put the whole one there.
        out.put_u32(3 << 16 | u32::from(minor));
        out.put_u32(options.len() as u32);
        options.for_each(|name| write::cstr(out, name));
    });
}

pub fn copy_in_response(out: &mut BytesMut, format: u8, columns: &[i16]) {
    copy_response(out, b'G', format, columns);
}

pub fn copy_out_response(out: &mut BytesMut, format: u8, columns: &[i16]) {
    copy_response(out, b'H', format, columns);
}

fn copy_response(out: &mut BytesMut, tag: u8, format: u8, columns: &[i16]) {
    write::frame(out, tag, |out| {
        out.put_u8(format);
        let count = columns.len().min(usize::from(u16::MAX));
        out.put_u16(count as u16);
        columns.iter().take(count).for_each(|code| out.put_i16(*code));
    });
}

pub fn copy_data(out: &mut BytesMut, data: &[u8]) {
    write::frame(out, b'd', |out| out.put_slice(data));
}

pub fn copy_done(out: &mut BytesMut) {
    out.put_slice(b"c\0\0\0\x04");
}

/// ErrorResponse of severity ERROR. The code's name stands at the end of the message: a client that
/// shows nothing else shows it.
pub fn error_response(out: &mut BytesMut, fault: &Fault) {
    report(out, b'E', "ERROR", fault);
}

/// ErrorResponse of severity FATAL: the connection is closed after it.
pub fn fatal_response(out: &mut BytesMut, fault: &Fault) {
    report(out, b'E', "FATAL", fault);
}

/// NoticeResponse; `severity` is WARNING, NOTICE, INFO, LOG or DEBUG.
pub fn notice_response(out: &mut BytesMut, severity: &'static str, fault: &Fault) {
    report(out, b'N', severity, fault);
}

fn report(out: &mut BytesMut, tag: u8, severity: &str, fault: &Fault) {
    let message = format!("{} [{}]", fault.message, fault.code.name);
    let position = fault.position.map(|p| p.to_string());
    let all = [
        (b'S', Some(severity)),
        (b'V', Some(severity)),
        (b'C', Some(fault.state())),
        (b'M', Some(&*message)),
        (b'D', fault.detail.as_deref()),
        (b'H', fault.hint.as_deref()),
        (b'P', position.as_deref()),
    ];
    fields(
        out,
        tag,
        all.into_iter()
            .filter_map(|(code, text)| Some((code, text?.as_bytes()))),
    );
}

/// An `E` or `N` frame from single fields, for passing a server's report on with changes.
pub fn fields<'f>(out: &mut BytesMut, tag: u8, all: impl IntoIterator<Item = (u8, &'f [u8])>) {
    write::frame(out, tag, |out| {
        for (code, text) in all {
            out.put_u8(code);
            // Text of our own may quote what a client sent; a zero byte would end the field early.
            let end = memchr::memchr(0, text).unwrap_or(text.len());
            write::cstr(out, &text[..end]);
        }
        out.put_u8(0);
    });
}
