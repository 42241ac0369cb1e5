//! Character encodings of clients (`client_encoding`), read and written exactly as PostgreSQL converts them
//! to UTF-8 and back. Only encodings whose tables are the same as PostgreSQL's are known here
//! (`tests/encoding_oracle.rs` compares every character with a server); of the others nothing is guessed.

use std::borrow::Cow;

use encoding_rs as rs;

/// An encoding other than UTF-8 in which each ASCII byte is that character and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Encoding {
    name: &'static str,
    /// None: ISO 8859-1, whose bytes are the first 256 characters of Unicode.
    table: Option<&'static rs::Encoding>,
}

/// By the names that PostgreSQL reports (`pg_encoding_to_char`).
const ALL: &[Encoding] = &[
    of("LATIN1", None),
    of("LATIN2", Some(rs::ISO_8859_2)),
    of("LATIN3", Some(rs::ISO_8859_3)),
    of("LATIN4", Some(rs::ISO_8859_4)),
    of("LATIN6", Some(rs::ISO_8859_10)),
    of("LATIN7", Some(rs::ISO_8859_13)),
    of("LATIN8", Some(rs::ISO_8859_14)),
    of("LATIN9", Some(rs::ISO_8859_15)),
    of("LATIN10", Some(rs::ISO_8859_16)),
    of("ISO_8859_5", Some(rs::ISO_8859_5)),
    of("ISO_8859_6", Some(rs::ISO_8859_6)),
    of("ISO_8859_7", Some(rs::ISO_8859_7)),
    of("ISO_8859_8", Some(rs::ISO_8859_8)),
    of("WIN1250", Some(rs::WINDOWS_1250)),
    of("WIN1251", Some(rs::WINDOWS_1251)),
    of("WIN1252", Some(rs::WINDOWS_1252)),
    of("WIN1253", Some(rs::WINDOWS_1253)),
    of("WIN1254", Some(rs::WINDOWS_1254)),
    of("WIN1255", Some(rs::WINDOWS_1255)),
    of("WIN1256", Some(rs::WINDOWS_1256)),
    of("WIN1257", Some(rs::WINDOWS_1257)),
    of("WIN1258", Some(rs::WINDOWS_1258)),
    of("WIN874", Some(rs::WINDOWS_874)),
    of("WIN866", Some(rs::IBM866)),
    of("KOI8R", Some(rs::KOI8_R)),
];

const fn of(name: &'static str, table: Option<&'static rs::Encoding>) -> Encoding {
    Encoding { name, table }
}

impl Encoding {
    /// None: one that isn't known here, UTF8 and SQL_ASCII included.
    pub fn by_name(name: &str) -> Option<Encoding> {
        ALL.iter().copied().find(|encoding| encoding.name == name)
    }

    pub fn name(self) -> &'static str {
        self.name
    }

    pub fn all() -> impl Iterator<Item = Encoding> {
        ALL.iter().copied()
    }

    /// None: the bytes are no text in this encoding.
    pub fn decode(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        match self.table {
            Some(table) => table.decode_without_bom_handling_and_without_replacement(bytes),
            None if bytes.is_ascii() => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            None => Some(bytes.iter().copied().map(char::from).collect::<String>().into()),
        }
    }

    /// None: a character isn't in this encoding.
    pub fn encode(self, text: &str) -> Option<Cow<'_, [u8]>> {
        match self.table {
            _ if text.is_ascii() => Some(Cow::Borrowed(text.as_bytes())),
            Some(table) => {
                let (bytes, _, replaced) = table.encode(text);
                (!replaced).then_some(bytes)
            }
            None => {
                let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
                bytes.map(Cow::Owned)
            }
        }
    }
}

/// How the text that a client sends relates to the servers' text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientText {
    /// The same encoding, or none is ever converted.
    #[default]
    AsServers,
    /// The servers have UTF-8, the client this.
    Converted(Encoding),
    /// The client sends UTF-8 and the servers have something else.
    Utf8,
    /// Nothing beyond ASCII can be read.
    Foreign,
}

impl ClientText {
    /// By the names of `client_encoding` and `server_encoding`, as servers report them.
    pub fn of(client: &str, server: &str) -> ClientText {
        let converts = |name: &str| name != "SQL_ASCII";
        if client == server || !converts(client) || !converts(server) {
            return ClientText::AsServers;
        }
        match (client, Encoding::by_name(client)) {
            (_, Some(encoding)) if server == "UTF8" => ClientText::Converted(encoding),
            ("UTF8", _) => ClientText::Utf8,
            (_, _) => ClientText::Foreign,
        }
    }

    /// A statement as the client sent it. None: it can't be read.
    pub fn read(self, sql: &[u8]) -> Option<Cow<'_, str>> {
        match self {
            ClientText::AsServers | ClientText::Utf8 => std::str::from_utf8(sql).ok().map(Cow::Borrowed),
            ClientText::Converted(encoding) => encoding.decode(sql),
            ClientText::Foreign if sql.is_ascii() => std::str::from_utf8(sql).ok().map(Cow::Borrowed),
            ClientText::Foreign => None,
        }
    }

    /// The bytes of a statement for a server that takes it as this client's. `can_write` tells whether all of
    /// its characters can be.
    pub fn written(self, sql: &str) -> Cow<'_, [u8]> {
        let encoded = match self {
            ClientText::Converted(encoding) => encoding.encode(sql),
            ClientText::AsServers | ClientText::Utf8 | ClientText::Foreign => None,
        };
        encoded.unwrap_or(Cow::Borrowed(sql.as_bytes()))
    }

    pub fn can_write(self, sql: &str) -> bool {
        match self {
            ClientText::AsServers | ClientText::Utf8 => true,
            ClientText::Converted(encoding) => encoding.encode(sql).is_some(),
            ClientText::Foreign => sql.is_ascii(),
        }
    }

    /// A parameter's text in the servers' encoding. None: it isn't known what they make of it.
    pub fn parameter(self, bytes: Box<[u8]>) -> Option<Box<[u8]>> {
        match self {
            _ if bytes.is_ascii() => Some(bytes),
            ClientText::AsServers => Some(bytes),
            ClientText::Converted(encoding) => {
                let text = encoding.decode(&bytes)?;
                Some(text.as_bytes().into())
            }
            ClientText::Utf8 | ClientText::Foreign => None,
        }
    }

    /// Likewise for what stands in a statement that `read` has read.
    pub fn literal(self, bytes: Box<[u8]>) -> Option<Box<[u8]>> {
        match self {
            _ if bytes.is_ascii() => Some(bytes),
            ClientText::AsServers | ClientText::Converted(_) => Some(bytes),
            ClientText::Utf8 | ClientText::Foreign => None,
        }
    }
}
