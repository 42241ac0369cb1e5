//! The data of COPY FROM, cut into rows as PostgreSQL cuts it, and the fields of a row that decide over
//! its place. Rows keep their bytes. Follows `CopyReadLineText` and its kin of PostgreSQL 15; what
//! these would call an error is an error here, or is left to the server to find.

use bytes::{Buf, Bytes, BytesMut};

use crate::model::{Code, Fault};
use crate::plan::{CopyFormat, CopyRows};

/// Longest row taken: it must be held until its end has come.
const MAX_ROW_BYTES: usize = 256 << 20;
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, length of the extension.
const BINARY_HEADER: usize = 11 + 4 + 4;

/// What comes next in the data.
#[derive(Debug)]
pub(super) enum Piece {
    /// Every server must see it: the header.
    Header(Row),
    Row(Row),
    /// Every server gets it, and nothing behind it.
    End(Bytes),
    /// The row is broken in a way that a server says best.
    Broken(Bytes),
    /// More is needed.
    Wait,
}

#[derive(Debug)]
pub(super) struct Row {
    pub bytes: Bytes,
    /// Bytes of its line end.
    pub line_end: usize,
    /// Line feeds and carriage returns within quotes, which PostgreSQL counts as lines.
    pub quoted: (u64, u64),
}

/// How lines end. PostgreSQL finds out from the first one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum LineEnd {
    #[default]
    Unknown,
    Feed,
    Return,
    Both,
}

#[derive(Debug)]
pub(super) struct Splitter<'r> {
    rows: &'r CopyRows,
    buf: BytesMut,
    /// How far the row that begins the buffer is looked at.
    at: usize,
    in_quote: bool,
    last_was_escape: bool,
    quoted: (u64, u64),
    pub line_end: LineEnd,
    /// The header is still to come.
    header: bool,
    ended: bool,
    finished: bool,
}

impl<'r> Splitter<'r> {
    pub fn new(rows: &'r CopyRows) -> Self {
        Self {
            rows,
            buf: BytesMut::new(),
            at: 0,
            in_quote: false,
            last_was_escape: false,
            quoted: (0, 0),
            line_end: LineEnd::Unknown,
            header: rows.header || rows.format == CopyFormat::Binary,
            ended: false,
            finished: false,
        }
    }

    pub fn push(&mut self, data: &[u8]) {
        if !self.ended {
            self.buf.extend_from_slice(data);
        }
    }

    /// No more data will come.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    pub fn next(&mut self) -> Result<Piece, Fault> {
        if self.ended {
            return Ok(Piece::Wait);
        }
        let piece = match self.rows.format {
            CopyFormat::Binary => self.next_tuple(),
            CopyFormat::Text | CopyFormat::Csv => self.next_line()?,
        };
        match &piece {
            Piece::End(_) | Piece::Broken(_) => {
                self.ended = true;
                self.buf.clear();
            }
            Piece::Wait if self.buf.len() > MAX_ROW_BYTES => {
                return Err(Fault::new(Code::TOO_LARGE, "a row of the COPY data is too long"));
            }
            Piece::Wait | Piece::Header(_) | Piece::Row(_) => {}
        }
        Ok(piece)
    }

    fn next_line(&mut self) -> Result<Piece, Fault> {
        let Some(line_end) = self.scan()? else {
            if !self.finished || self.buf.is_empty() {
                return Ok(Piece::Wait);
            }
            if &self.buf[..] == b"\\." {
                return Ok(Piece::End(Bytes::new()));
            }
            // The last line may lack its end.
            self.at = self.buf.len();
            return Ok(self.line(0));
        };
        if &self.buf[..self.at - line_end] == b"\\." {
            return Ok(Piece::End(Bytes::new()));
        }
        Ok(self.line(line_end))
    }

    fn line(&mut self, line_end: usize) -> Piece {
        let row = Row {
            bytes: self.buf.split_to(self.at).freeze(),
            line_end,
            quoted: std::mem::take(&mut self.quoted),
        };
        self.at = 0;
        (self.in_quote, self.last_was_escape) = (false, false);
        if std::mem::take(&mut self.header) {
            Piece::Header(row)
        } else if row.bytes.len() == line_end && line_end == 0 {
            Piece::Wait
        } else {
            Piece::Row(row)
        }
    }

    /// Moves `at` behind the end of the line; the length of that end. None: it isn't all there.
    fn scan(&mut self) -> Result<Option<usize>, Fault> {
        let csv = self.rows.format == CopyFormat::Csv;
        let quote = self.rows.quote;
        let escape = if csv && self.rows.escape != quote {
            Some(self.rows.escape)
        } else {
            None
        };
        while let Some(&c) = self.buf.get(self.at) {
            let next = self.buf.get(self.at + 1).copied();
            // What follows decides over these.
            if matches!(c, b'\\' | b'\r') && next.is_none() && !self.finished {
                return Ok(None);
            }
            if csv {
                if self.in_quote && Some(c) == escape {
                    self.last_was_escape = !self.last_was_escape;
                }
                if c == quote && !self.last_was_escape {
                    self.in_quote = !self.in_quote;
                }
                if Some(c) != escape {
                    self.last_was_escape = false;
                }
                if self.in_quote {
                    self.quoted.0 += u64::from(c == b'\n');
                    self.quoted.1 += u64::from(c == b'\r');
                    self.at += 1;
                    continue;
                }
            }
            match c {
                b'\r' => {
                    let both =
                        next == Some(b'\n') && matches!(self.line_end, LineEnd::Unknown | LineEnd::Both);
                    match self.line_end {
                        _ if both => self.line_end = LineEnd::Both,
                        LineEnd::Unknown => self.line_end = LineEnd::Return,
                        LineEnd::Return => {}
                        LineEnd::Feed | LineEnd::Both => return Err(literal(csv, "carriage return", "\\r")),
                    }
                    let length = 1 + usize::from(both);
                    self.at += length;
                    return Ok(Some(length));
                }
                b'\n' => {
                    if matches!(self.line_end, LineEnd::Return | LineEnd::Both) {
                        return Err(literal(csv, "newline", "\\n"));
                    }
                    self.line_end = LineEnd::Feed;
                    self.at += 1;
                    return Ok(Some(1));
                }
                b'\\' if next == Some(b'.') && (!csv || self.at == 0) => {
                    match self.buf.get(self.at + 2) {
                        None if !self.finished => return Ok(None),
                        // It ends the data, alone on its line.
                        None | Some(b'\n' | b'\r') if self.at == 0 => self.at += 2,
                        Some(_) if csv => self.at += 1,
                        None | Some(_) => {
                            return Err(Fault::new(
                                Code::UNSUPPORTED_STATEMENT,
                                "end-of-copy marker corrupt",
                            )
                            .sqlstate("22P04"));
                        }
                    }
                }
                b'\\' if !csv => self.at = (self.at + 2).min(self.buf.len()),
                _ => self.at += 1,
            }
        }
        Ok(None)
    }

    fn next_tuple(&mut self) -> Piece {
        if self.header {
            if !SIGNATURE.starts_with(&self.buf[..self.buf.len().min(SIGNATURE.len())]) {
                return Piece::End(self.buf.split().freeze());
            }
            let extension = int(&self.buf, BINARY_HEADER - 4);
            let end = extension.and_then(|n| usize::try_from(n).ok()?.checked_add(BINARY_HEADER));
            return match (extension, end) {
                (Some(_), Some(end)) if self.buf.len() >= end => {
                    self.header = false;
                    Piece::Header(self.tuple(end))
                }
                (Some(_), None) => Piece::End(self.buf.split().freeze()),
                (_, _) => self.cut_off(true),
            };
        }
        let Some(count) = self
            .buf
            .get(..2)
            .and_then(|b| Some(i16::from_be_bytes(b.try_into().ok()?)))
        else {
            return self.cut_off(false);
        };
        if count == -1 {
            // Something behind the trailer is an error that servers find.
            return if self.finished || self.buf.len() > 2 {
                Piece::End(self.buf.split().freeze())
            } else {
                Piece::Wait
            };
        }
        if usize::try_from(count).ok() != Some(self.rows.columns) {
            return Piece::Broken(self.buf.split().freeze());
        }
        let mut at = 2;
        for _ in 0..count {
            match int(&self.buf, at) {
                None => return self.cut_off(false),
                Some(-1) => at += 4,
                Some(length) => match usize::try_from(length) {
                    Ok(length) if length <= MAX_ROW_BYTES => at += 4 + length,
                    Ok(_) | Err(_) => return Piece::Broken(self.buf.split().freeze()),
                },
            }
        }
        if self.buf.len() < at {
            return self.cut_off(false);
        }
        Piece::Row(self.tuple(at))
    }

    /// The data isn't all there; at its end that is an error of the row, or of the header.
    fn cut_off(&mut self, header: bool) -> Piece {
        match (self.finished, header) {
            (false, _) => Piece::Wait,
            (true, true) => Piece::End(self.buf.split().freeze()),
            (true, false) if self.buf.is_empty() => Piece::End(Bytes::new()),
            (true, false) => Piece::Broken(self.buf.split().freeze()),
        }
    }

    fn tuple(&mut self, end: usize) -> Row {
        Row {
            bytes: self.buf.split_to(end).freeze(),
            line_end: 0,
            quoted: (0, 0),
        }
    }
}

fn literal(csv: bool, what: &str, escaped: &str) -> Fault {
    let (kind, hint) = if csv {
        ("unquoted", format!("Use quoted CSV field to represent {what}."))
    } else {
        ("literal", format!("Use \"{escaped}\" to represent {what}."))
    };
    Fault::new(
        Code::UNSUPPORTED_STATEMENT,
        format!("{kind} {what} found in data"),
    )
    .sqlstate("22P04")
    .hint(hint)
}

fn int(buf: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(buf.get(at..at + 4)?.try_into().ok()?))
}

/// A field of a row, by its place. `quoted`: it stood in quotes, in part at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Null,
    Value { bytes: Vec<u8> },
    Missing,
}

/// The wanted fields of a row (ascending places). Err: the row can't be read.
pub(super) fn fields(rows: &CopyRows, row: &Row, wanted: &[usize]) -> Vec<Field> {
    match rows.format {
        CopyFormat::Binary => wanted
            .iter()
            .map(|place| binary_field(&row.bytes, *place))
            .collect(),
        CopyFormat::Text => {
            let line = &row.bytes[..row.bytes.len() - row.line_end];
            let all = wanted.iter().copied().max().map_or(0, |m| m + 1);
            let found = text_fields(line, rows.delimiter, all);
            let field = |place: &usize| match found.get(*place) {
                None => Field::Missing,
                Some(raw) if **raw == *rows.null => Field::Null,
                Some(raw) => Field::Value {
                    bytes: unescaped(raw),
                },
            };
            wanted.iter().map(field).collect()
        }
        CopyFormat::Csv => {
            let line = &row.bytes[..row.bytes.len() - row.line_end];
            let all = wanted.iter().copied().max().map_or(0, |m| m + 1);
            let found = csv_fields(rows, line, all);
            let field = |place: &usize| {
                let Some((bytes, quoted)) = found.get(*place) else {
                    return Field::Missing;
                };
                let key = rows.keys.iter().find(|k| k.field == *place);
                let is_marker = **bytes == *rows.null;
                let null = if *quoted {
                    is_marker && key.is_some_and(|k| k.force_null)
                } else {
                    is_marker && !key.is_some_and(|k| k.force_not_null)
                };
                if null {
                    Field::Null
                } else {
                    Field::Value { bytes: bytes.clone() }
                }
            };
            wanted.iter().map(field).collect()
        }
    }
}

fn binary_field(tuple: &[u8], place: usize) -> Field {
    let mut at = 2;
    for index in 0..=place {
        let Some(length) = int(tuple, at) else {
            return Field::Missing;
        };
        at += 4;
        let Ok(length) = usize::try_from(length) else {
            if index == place {
                return Field::Null;
            }
            continue;
        };
        if index == place {
            return tuple
                .get(at..at + length)
                .map_or(Field::Missing, |bytes| Field::Value {
                    bytes: bytes.to_vec(),
                });
        }
        at += length;
    }
    Field::Missing
}

/// Raw fields, not unescaped; as many as are wanted.
fn text_fields(line: &[u8], delimiter: u8, wanted: usize) -> Vec<&[u8]> {
    let mut out = Vec::with_capacity(wanted);
    let (mut start, mut at) = (0, 0);
    while at < line.len() && out.len() < wanted {
        match line[at] {
            c if c == delimiter => {
                out.push(&line[start..at]);
                start = at + 1;
            }
            b'\\' => at += 1,
            _ => {}
        }
        at += 1;
    }
    if out.len() < wanted {
        out.push(&line[start..]);
    }
    out
}

fn unescaped(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while rest.has_remaining() {
        let c = rest.get_u8();
        if c != b'\\' || rest.is_empty() {
            out.push(c);
            continue;
        }
        let c = rest.get_u8();
        let octal = |b: u8| (b'0'..=b'7').contains(&b);
        match c {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            b'x' if rest.first().is_some_and(u8::is_ascii_hexdigit) => {
                let digits = rest.iter().take(2).take_while(|b| b.is_ascii_hexdigit()).count();
                let value = rest[..digits].iter().fold(0u32, |sum, b| {
                    sum * 16 + char::from(*b).to_digit(16).unwrap_or_default()
                });
                rest.advance(digits);
                out.push(value as u8);
            }
            c if octal(c) => {
                let digits = rest.iter().take(2).take_while(|b| octal(**b)).count();
                let value = rest[..digits]
                    .iter()
                    .fold(u32::from(c - b'0'), |sum, b| sum * 8 + u32::from(b - b'0'));
                rest.advance(digits);
                // As PostgreSQL: the lowest eight bits.
                out.push((value & 0xff) as u8);
            }
            c => out.push(c),
        }
    }
    out
}

fn csv_fields(rows: &CopyRows, line: &[u8], wanted: usize) -> Vec<(Vec<u8>, bool)> {
    let mut out = Vec::with_capacity(wanted);
    let mut field = Vec::new();
    let (mut in_quote, mut quoted) = (false, false);
    let mut at = 0;
    while at < line.len() && out.len() < wanted {
        let c = line[at];
        at += 1;
        if in_quote {
            if c == rows.escape {
                match line.get(at) {
                    Some(&next) if next == rows.escape || next == rows.quote => {
                        field.push(next);
                        at += 1;
                        continue;
                    }
                    Some(_) | None => {}
                }
            }
            if c == rows.quote {
                in_quote = false;
            } else {
                field.push(c);
            }
        } else if c == rows.delimiter {
            out.push((std::mem::take(&mut field), std::mem::take(&mut quoted)));
        } else if c == rows.quote {
            (in_quote, quoted) = (true, true);
        } else {
            field.push(c);
        }
    }
    if out.len() < wanted {
        out.push((field, quoted));
    }
    out
}
