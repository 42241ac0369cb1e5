//! Server messages: what is encoded decodes to the same, and other implementations of the protocol
//! read the same in it.

use bytes::BytesMut;

use margay::model::{Code, Fault};
use margay::wire::postgres::TxStatus;
use margay::wire::postgres::backend::{self, Auth, DataRow, Field, Fields, Message, affected_rows};
use margay::wire::postgres::frame::{self, HEADER};
use pgwire::messages::{DecodeContext, PgWireBackendMessage, ProtocolVersion};
use postgres_protocol::message::backend as oracle;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tokio_postgres::fallible_iterator::FallibleIterator;

fn text() -> impl Strategy<Value = Vec<u8>> {
    vec(1..=255u8, 0..40)
}

fn utf8() -> impl Strategy<Value = String> {
    "[^\\x00]{0,20}"
}

fn encoded(put: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::new();
    put(&mut out);
    let header = frame::peek(&out, usize::MAX).expect("valid").expect("whole");
    assert_eq!(header.len, out.len());
    out
}

fn decoded(out: &BytesMut) -> Message<'_> {
    backend::decode(out[0], &out[HEADER..]).expect("it is ours")
}

/// `pgwire` reads it as we meant it: what it reads it writes as we did.
fn pgwire_agrees(out: &BytesMut) {
    let context = DecodeContext::new(ProtocolVersion::PROTOCOL3_2);
    let mut copy = out.clone();
    let message = PgWireBackendMessage::decode(&mut copy, &context)
        .expect("valid")
        .expect("whole");
    assert!(copy.is_empty());
    let mut again = BytesMut::new();
    message.encode(&mut again).expect("it was read");
    assert_eq!(*out, again);
}

fn parsed(out: &BytesMut) -> oracle::Message {
    oracle::Message::parse(&mut out.clone())
        .expect("valid")
        .expect("whole")
}

#[derive(Clone, Debug)]
struct OwnField {
    name: String,
    table_oid: u32,
    column: i16,
    type_oid: u32,
    type_len: i16,
    type_mod: i32,
    format: i16,
}

impl OwnField {
    fn field(&self) -> Field<'_> {
        Field {
            name: self.name.as_bytes(),
            table_oid: self.table_oid,
            column: self.column,
            type_oid: self.type_oid,
            type_len: self.type_len,
            type_mod: self.type_mod,
            format: self.format,
        }
    }
}

fn own_field() -> impl Strategy<Value = OwnField> {
    (utf8(), any::<(u32, i16, u32, i16, i32)>(), 0..=1i16).prop_map(|(name, rest, format)| {
        let (table_oid, column, type_oid, type_len, type_mod) = rest;
        OwnField {
            name,
            table_oid,
            column,
            type_oid,
            type_len,
            type_mod,
            format,
        }
    })
}

proptest! {
    #[test]
    fn row_description_round_trips_and_others_read_the_same(own in vec(own_field(), 0..9)) {
        let fields: Vec<Field<'_>> = own.iter().map(OwnField::field).collect();
        let out = encoded(|out| backend::row_description(out, &fields));
        let Message::RowDescription(row) = decoded(&out) else { panic!("not T") };
        prop_assert_eq!(row.len(), fields.len());
        prop_assert_eq!(row.fields().collect::<Vec<_>>(), fields.clone());
        let oracle::Message::RowDescription(theirs) = parsed(&out) else { panic!("not T") };
        let mut theirs = theirs.fields();
        for field in &fields {
            let other = theirs.next().expect("valid").expect("as many");
            prop_assert_eq!(field.name, other.name().as_bytes());
            prop_assert_eq!((field.table_oid, field.column), (other.table_oid(), other.column_id()));
            prop_assert_eq!((field.type_oid, field.type_len), (other.type_oid(), other.type_size()));
            prop_assert_eq!((field.type_mod, field.format), (other.type_modifier(), other.format()));
        }
        prop_assert!(theirs.next().expect("valid").is_none());
        pgwire_agrees(&out);
    }

    #[test]
    fn data_row_round_trips_and_others_read_the_same(columns in vec(option::of(vec(any::<u8>(), 0..30)), 0..12), keep in 0..12usize) {
        let out = encoded(|out| backend::data_row(out, columns.iter().map(Option::as_deref)));
        let Message::DataRow(row) = decoded(&out) else { panic!("not D") };
        let ours: Result<Vec<_>, _> = row.columns().collect();
        prop_assert!(ours.expect("valid").into_iter().eq(columns.iter().map(Option::as_deref)));
        let oracle::Message::DataRow(theirs) = parsed(&out) else { panic!("not D") };
        let ranges: Vec<_> = theirs.ranges().collect().expect("valid");
        let read = ranges.into_iter().map(|range| range.map(|range| theirs.buffer()[range].to_vec()));
        prop_assert!(read.eq(columns.iter().cloned()));
        pgwire_agrees(&out);

        let keep = keep.min(columns.len());
        let cut = encoded(|out| backend::data_row_raw(out, keep as u16, row.prefix(keep).expect("so many are there")));
        prop_assert_eq!(cut, encoded(|out| backend::data_row(out, columns[..keep].iter().map(Option::as_deref))));
        prop_assert!(row.prefix(columns.len() + 1).is_err());
    }

    #[test]
    fn texts_round_trip_in_any_encoding(name in text(), value in text(), pid in any::<u32>(), secret in vec(any::<u8>(), 4..=256)) {
        let out = encoded(|out| backend::parameter_status(out, &name, &value));
        prop_assert_eq!(decoded(&out), Message::ParameterStatus { name: &name, value: &value });
        let out = encoded(|out| backend::command_complete(out, &name));
        prop_assert_eq!(decoded(&out), Message::CommandComplete { tag: &name });
        let out = encoded(|out| backend::backend_key_data(out, pid, &secret));
        prop_assert_eq!(decoded(&out), Message::BackendKeyData { pid, secret: &secret });
        let out = encoded(|out| backend::copy_data(out, &secret));
        prop_assert_eq!(decoded(&out), Message::CopyData(&secret));
        let own = [(b'S', &name[..]), (b'M', &value[..])];
        let out = encoded(|out| backend::fields(out, b'N', own));
        let Message::NoticeResponse(fields) = decoded(&out) else { panic!("not N") };
        prop_assert!(fields.iter().eq(own));
    }

    #[test]
    fn authentication_round_trips(salt in any::<[u8; 4]>(), data in vec(any::<u8>(), 0..50)) {
        let out = encoded(|out| backend::authentication_md5(out, salt));
        prop_assert_eq!(decoded(&out), Message::Auth(Auth::Md5 { salt }));
        pgwire_agrees(&out);
        let out = encoded(|out| backend::authentication_sasl_continue(out, &data));
        prop_assert_eq!(decoded(&out), Message::Auth(Auth::SaslContinue(&data)));
        pgwire_agrees(&out);
        let out = encoded(|out| backend::authentication_sasl_final(out, &data));
        prop_assert_eq!(decoded(&out), Message::Auth(Auth::SaslFinal(&data)));
        pgwire_agrees(&out);
    }

    #[test]
    fn lists_round_trip(types in vec(any::<u32>(), 0..9), formats in vec(0..=1i16, 0..9), options in vec(text().prop_map(|mut t| { t.insert(0, b'_'); t }), 0..4)) {
        let out = encoded(|out| backend::parameter_description(out, &types));
        let Message::ParameterDescription(description) = decoded(&out) else { panic!("not t") };
        prop_assert!(description.types().eq(types.iter().copied()));
        pgwire_agrees(&out);
        let out = encoded(|out| backend::copy_in_response(out, 1, &formats));
        let Message::CopyIn(copy) = decoded(&out) else { panic!("not G") };
        prop_assert_eq!(copy.format, 1);
        prop_assert!(copy.column_formats().eq(formats.iter().copied()));
        pgwire_agrees(&out);
        let out = encoded(|out| backend::copy_out_response(out, 0, &formats));
        prop_assert!(matches!(decoded(&out), Message::CopyOut(_)));
        pgwire_agrees(&out);
        let out = encoded(|out| backend::negotiate_protocol_version(out, 2, options.iter().map(|o| &o[..])));
        let expected = options.iter().map(|o| &o[..]).collect();
        prop_assert_eq!(decoded(&out), Message::NegotiateProtocolVersion { version: 0x0003_0002, options: expected });
    }

    #[test]
    fn affected_rows_are_the_last_number_of_a_tag(rows in any::<u64>()) {
        for word in ["INSERT 0", "UPDATE", "DELETE", "SELECT", "COPY", "MERGE", "FETCH", "MOVE"] {
            prop_assert_eq!(affected_rows(format!("{word} {rows}").as_bytes()), Some(rows));
        }
    }
}

#[test]
fn messages_without_content_are_the_known_bytes() {
    type Case = (&'static str, fn(&mut BytesMut), &'static [u8]);
    let all: [Case; 9] = [
        (
            "AuthenticationOk",
            backend::authentication_ok,
            b"R\0\0\0\x08\0\0\0\0",
        ),
        (
            "cleartext",
            backend::authentication_cleartext,
            b"R\0\0\0\x08\0\0\0\x03",
        ),
        ("ParseComplete", backend::parse_complete, b"1\0\0\0\x04"),
        ("BindComplete", backend::bind_complete, b"2\0\0\0\x04"),
        ("CloseComplete", backend::close_complete, b"3\0\0\0\x04"),
        ("NoData", backend::no_data, b"n\0\0\0\x04"),
        (
            "EmptyQueryResponse",
            backend::empty_query_response,
            b"I\0\0\0\x04",
        ),
        ("PortalSuspended", backend::portal_suspended, b"s\0\0\0\x04"),
        ("CopyDone", backend::copy_done, b"c\0\0\0\x04"),
    ];
    for (name, put, bytes) in all {
        let out = encoded(put);
        assert_eq!(out, bytes, "{name}");
        decoded(&out);
        pgwire_agrees(&out);
    }
    for (status, byte) in [
        (TxStatus::Idle, b'I'),
        (TxStatus::InTxn, b'T'),
        (TxStatus::Failed, b'E'),
    ] {
        let out = encoded(|out| backend::ready_for_query(out, status));
        assert_eq!(out, [b'Z', 0, 0, 0, 5, byte][..]);
        assert_eq!(decoded(&out), Message::ReadyForQuery(status));
        pgwire_agrees(&out);
    }
    let out = encoded(|out| backend::authentication_sasl(out, &[b"SCRAM-SHA-256"]));
    assert_eq!(out, &b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"[..]);
    assert_eq!(
        decoded(&out),
        Message::Auth(Auth::Sasl {
            mechanisms: vec![b"SCRAM-SHA-256"]
        })
    );
    pgwire_agrees(&out);
}

#[test]
fn a_fault_becomes_the_fields_that_clients_show() {
    let mut fault = Fault::new(Code::KEY_OUTSIDE, "no shard takes 7")
        .hint("create it")
        .detail("Key (a)");
    fault.position = Some(17);
    let out = encoded(|out| backend::error_response(out, &fault));
    pgwire_agrees(&out);
    let oracle::Message::ErrorResponse(body) = parsed(&out) else {
        panic!("not E")
    };
    let read: Vec<(u8, String)> = body
        .fields()
        .map(|f| Ok((f.type_(), String::from_utf8_lossy(f.value_bytes()).into_owned())))
        .collect()
        .expect("valid");
    let expected = [
        (b'S', "ERROR"),
        (b'V', "ERROR"),
        (b'C', "23514"),
        (b'M', "no shard takes 7 [MG1302]"),
        (b'D', "Key (a)"),
        (b'H', "create it"),
        (b'P', "17"),
    ];
    assert!(
        read.iter().map(|(code, text)| (*code, &**text)).eq(expected),
        "{read:?}"
    );

    let out =
        encoded(|out| backend::fatal_response(out, &Fault::new(Code::SHUTDOWN, "a\0b").sqlstate("57P02")));
    let fields = Fields::decode(&out[HEADER..]).expect("a zero byte in the text doesn't break the frame");
    assert!(fields.is_fatal());
    assert_eq!((fields.sqlstate(), fields.message()), (&b"57P02"[..], &b"a"[..]));
    let out = encoded(|out| backend::notice_response(out, "WARNING", &fault));
    assert_eq!(out[0], b'N');
}

#[test]
fn tags_that_tell_no_rows() {
    for tag in [
        &b""[..],
        b"BEGIN",
        b"CREATE TABLE",
        b"7",
        b"UPDATE ",
        b"UPDATE -1",
        b"UPDATE 18446744073709551616",
    ] {
        assert_eq!(affected_rows(tag), None, "{}", tag.escape_ascii());
    }
}

#[test]
fn columns_end_after_the_first_error() {
    let row = DataRow::decode(b"\0\x03\0\0\0\x01a\0\0\0\x09b").expect("the count is there");
    let columns: Vec<_> = row.columns().collect();
    assert_eq!(columns.len(), 2);
    assert!(columns[0].is_ok() && columns[1].is_err());
}
