//! Decoders of a server's messages. They borrow from the buffer and check counts and lengths before
//! use; they never copy.

use super::TxStatus;
use crate::wire::postgres::ProtocolError;
use crate::wire::postgres::frontend::SECRET;
use crate::wire::postgres::read::Reader;

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
            if !SECRET.contains(&secret.len()) {
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
