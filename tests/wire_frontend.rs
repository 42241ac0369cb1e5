//! Client messages: what is encoded decodes to the same, and other implementations of the protocol
//! (`postgres-protocol` as client, `pgwire` as server) agree on every byte.

use bytes::BytesMut;
use margay::wire::postgres::frame::{self, HEADER};
use margay::wire::postgres::frontend::{self, Message, Opening, Target};
use pgwire::messages::{DecodeContext, PgWireFrontendMessage, ProtocolVersion};
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend as oracle;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Text of any encoding: bytes but zero.
fn text() -> impl Strategy<Value = Vec<u8>> {
    vec(1..=255u8, 0..40)
}

/// Text that the oracles, which insist on UTF-8, take as well.
fn utf8() -> impl Strategy<Value = String> {
    "[^\\x00]{0,20}"
}

fn values() -> impl Strategy<Value = Vec<Option<Vec<u8>>>> {
    vec(option::of(vec(any::<u8>(), 0..30)), 0..12)
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![Just(Target::Statement), Just(Target::Portal)]
}

/// None, one for all, or one each.
fn formats(count: usize) -> impl Strategy<Value = Vec<i16>> {
    prop_oneof![Just(Vec::new()), vec(0..=1i16, 1), vec(0..=1i16, count)]
}

fn bind_input() -> impl Strategy<Value = (Vec<Option<Vec<u8>>>, Vec<i16>, Vec<i16>)> {
    values().prop_flat_map(|v| {
        let count = v.len();
        (Just(v), formats(count), vec(0..=1i16, 0..5))
    })
}

/// Encodes with ours; the frame must be whole and decode and encode to itself.
fn encoded(put: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::new();
    put(&mut out);
    let header = frame::peek(&out, usize::MAX).expect("valid").expect("whole");
    assert_eq!(header.len, out.len());
    let message = frontend::decode(header.tag, &out[HEADER..]).expect("it is ours");
    let mut again = BytesMut::new();
    message.encode(&mut again);
    assert_eq!(out, again, "{message:?}");
    out
}

fn decoded(out: &BytesMut) -> Message<'_> {
    frontend::decode(out[0], &out[HEADER..]).expect("it is ours")
}

/// `pgwire` reads it as we meant it: what it reads it writes as we did.
fn pgwire_agrees(out: &BytesMut) {
    let mut context = DecodeContext::new(ProtocolVersion::PROTOCOL3_0);
    context.awaiting_frontend_ssl = false;
    context.awaiting_frontend_startup = false;
    let mut copy = out.clone();
    let message = PgWireFrontendMessage::decode(&mut copy, &context)
        .expect("valid")
        .expect("whole");
    assert!(copy.is_empty());
    let mut again = BytesMut::new();
    message.encode(&mut again).expect("it was read");
    assert_eq!(*out, again);
}

proptest! {
    #[test]
    fn query_and_parse_round_trip_in_any_encoding(name in text(), sql in text(), types in vec(any::<u32>(), 0..9)) {
        let out = encoded(|out| frontend::query(out, &sql));
        prop_assert_eq!(decoded(&out), Message::Query(&sql));
        let out = encoded(|out| frontend::parse(out, &name, &sql, types.iter().copied()));
        let Message::Parse(parse) = decoded(&out) else { panic!("not a Parse") };
        prop_assert_eq!((parse.name, parse.query), (&name[..], &sql[..]));
        prop_assert_eq!(parse.types.len(), types.len());
        prop_assert_eq!(parse.types.iter().collect::<Vec<_>>(), types);
    }

    #[test]
    fn bind_round_trips(portal in text(), statement in text(), (params, formats, results) in bind_input()) {
        let out = encoded(|out| {
            let params = params.iter().map(Option::as_deref);
            frontend::bind(out, &portal, &statement, &formats, params, &results)
        });
        let Message::Bind(bind) = decoded(&out) else { panic!("not a Bind") };
        prop_assert_eq!((bind.portal, bind.statement), (&portal[..], &statement[..]));
        prop_assert_eq!(bind.params.len(), params.len());
        prop_assert!(bind.params.iter().eq(params.iter().map(Option::as_deref)));
        prop_assert!(bind.formats.iter().eq(formats.iter().copied()));
        prop_assert!(bind.result_formats.iter().eq(results.iter().copied()));
        for i in 0..params.len() {
            let expected = match formats.len() { 0 => 0, 1 => formats[0], _ => formats[i] };
            prop_assert_eq!(bind.is_binary(i), expected == 1);
        }
        let out = encoded(|out| frontend::rebind(out, b"", b"margay_1", &bind));
        let Message::Bind(again) = decoded(&out) else { panic!("not a Bind") };
        prop_assert_eq!((again.portal, again.statement), (&b""[..], &b"margay_1"[..]));
        prop_assert_eq!((again.params, again.formats, again.result_formats), (bind.params, bind.formats, bind.result_formats));
    }

    #[test]
    fn the_other_messages_round_trip(name in text(), target in target(), rows in 0..=i32::MAX as u32, data in vec(any::<u8>(), 0..50)) {
        let out = encoded(|out| frontend::describe(out, target, &name));
        prop_assert_eq!(decoded(&out), Message::Describe { target, name: &name });
        let out = encoded(|out| frontend::close(out, target, &name));
        prop_assert_eq!(decoded(&out), Message::Close { target, name: &name });
        let out = encoded(|out| frontend::execute(out, &name, rows));
        prop_assert_eq!(decoded(&out), Message::Execute { portal: &name, max_rows: rows });
        let out = encoded(|out| frontend::copy_data(out, &data));
        prop_assert_eq!(decoded(&out), Message::CopyData(&data));
        let out = encoded(|out| frontend::copy_fail(out, &name));
        prop_assert_eq!(decoded(&out), Message::CopyFail(&name));
        let out = encoded(|out| frontend::sasl_response(out, &data));
        prop_assert_eq!(decoded(&out), Message::Auth(&data));
        let out = encoded(|out| frontend::password(out, &name));
        let Message::Auth(body) = decoded(&out) else { panic!("not p") };
        prop_assert_eq!(frontend::decode_password(body).expect("valid"), &name[..]);
        let out = encoded(|out| frontend::sasl_initial(out, &name, &data));
        let Message::Auth(body) = decoded(&out) else { panic!("not p") };
        prop_assert_eq!(frontend::decode_sasl_initial(body).expect("valid"), (&name[..], Some(&data[..])));
    }

    #[test]
    fn postgres_protocol_and_pgwire_write_the_same_bytes(
        (a, b) in (utf8(), utf8()),
        types in vec(any::<u32>(), 0..9),
        (params, formats, results) in bind_input(),
        rows in 0..=i32::MAX,
        target in target(),
    ) {
        let variant = match target { Target::Statement => b'S', Target::Portal => b'P' };
        let mut theirs = BytesMut::new();
        let mut all = Vec::new();
        macro_rules! same {
            ($theirs:expr, $ours:expr) => {{
                theirs.clear();
                $theirs;
                let ours = encoded($ours);
                prop_assert_eq!(&ours, &theirs);
                all.push(ours);
            }};
        }
        same!(oracle::query(&a, &mut theirs).expect("valid"), |out| frontend::query(out, a.as_bytes()));
        same!(
            oracle::parse(&a, &b, types.iter().copied(), &mut theirs).expect("valid"),
            |out| frontend::parse(out, a.as_bytes(), b.as_bytes(), types.iter().copied())
        );
        same!(
            {
                let put = |value: &Option<Vec<u8>>, out: &mut BytesMut| Ok(match value {
                    Some(bytes) => { out.extend_from_slice(bytes); IsNull::No }
                    None => IsNull::Yes,
                });
                let done = oracle::bind(&a, &b, formats.iter().copied(), &params, put, results.iter().copied(), &mut theirs);
                prop_assert!(done.is_ok());
            },
            |out| frontend::bind(out, a.as_bytes(), b.as_bytes(), &formats, params.iter().map(Option::as_deref), &results)
        );
        same!(oracle::describe(variant, &a, &mut theirs).expect("valid"), |out| frontend::describe(out, target, a.as_bytes()));
        same!(oracle::close(variant, &a, &mut theirs).expect("valid"), |out| frontend::close(out, target, a.as_bytes()));
        same!(oracle::execute(&a, rows, &mut theirs).expect("valid"), |out| frontend::execute(out, a.as_bytes(), rows as u32));
        same!(oracle::copy_fail(&a, &mut theirs).expect("valid"), |out| frontend::copy_fail(out, a.as_bytes()));
        same!(oracle::copy_done(&mut theirs), frontend::copy_done);
        same!(oracle::sync(&mut theirs), frontend::sync);
        same!(oracle::flush(&mut theirs), frontend::flush);
        same!(oracle::terminate(&mut theirs), frontend::terminate);
        all.iter().for_each(pgwire_agrees);
        same!(oracle::password_message(a.as_bytes(), &mut theirs).expect("valid"), |out| frontend::password(out, a.as_bytes()));
        same!(
            oracle::sasl_initial_response(&a, b.as_bytes(), &mut theirs).expect("valid"),
            |out| frontend::sasl_initial(out, a.as_bytes(), b.as_bytes())
        );
        same!(oracle::sasl_response(b.as_bytes(), &mut theirs).expect("valid"), |out| frontend::sasl_response(out, b.as_bytes()));
    }

    #[test]
    fn startup_and_cancel_round_trip(
        params in vec((vec(1..=255u8, 1..20), text()), 0..8),
        minor in any::<u16>(),
        pid in any::<u32>(),
        secret in vec(any::<u8>(), 4..=256),
    ) {
        let mut out = BytesMut::new();
        let pairs = params.iter().map(|(name, value)| (&name[..], &value[..]));
        frontend::startup_version(&mut out, minor, pairs.clone());
        let bytes = frame::split_startup(&mut out).expect("valid").expect("whole");
        prop_assert!(out.is_empty());
        let Opening::Startup(startup) = frontend::decode_opening(&bytes).expect("valid") else { panic!("not a startup") };
        prop_assert_eq!(startup.minor, minor);
        prop_assert!(startup.params().eq(pairs));

        frontend::cancel_request(&mut out, pid, &secret);
        let bytes = frame::split_startup(&mut out).expect("valid").expect("whole");
        prop_assert_eq!(frontend::decode_opening(&bytes), Ok(Opening::Cancel { pid, secret: &secret }));
    }
}

#[test]
fn startup_and_cancel_are_those_of_postgres_protocol() {
    let (mut ours, mut theirs) = (BytesMut::new(), BytesMut::new());
    oracle::startup_message([("user", "shop"), ("database", "d")], &mut theirs).expect("valid");
    frontend::startup(&mut ours, [(&b"user"[..], &b"shop"[..]), (b"database", b"d")]);
    // libpq and PostgreSQL end the list with one zero byte, as we do.
    assert_eq!(ours, theirs);
    let (mut ours, mut theirs) = (BytesMut::new(), BytesMut::new());
    oracle::cancel_request(42, 4711, &mut theirs);
    frontend::cancel_request(&mut ours, 42, &4711u32.to_be_bytes());
    assert_eq!(ours, theirs);
    theirs.clear();
    oracle::ssl_request(&mut theirs);
    assert_eq!(frontend::decode_opening(&theirs), Ok(Opening::Ssl));
    assert_eq!(
        frontend::decode_opening(b"\0\0\0\x08\x04\xd2\x16\x30"),
        Ok(Opening::GssEnc)
    );
}

#[test]
fn a_newer_minor_version_or_an_extension_is_negotiated() {
    let startup = |minor: u16, params: &[(&[u8], &[u8])]| {
        let mut out = BytesMut::new();
        frontend::startup_version(&mut out, minor, params.iter().copied());
        let Opening::Startup(startup) = frontend::decode_opening(&out).expect("valid") else {
            panic!("not a startup")
        };
        let extensions: Vec<Vec<u8>> = startup.extensions().map(<[u8]>::to_vec).collect();
        (startup.needs_negotiation(), startup.agreed_minor(), extensions)
    };
    assert_eq!(startup(0, &[(b"user", b"u")]), (false, 0, vec![]));
    assert_eq!(startup(2, &[(b"user", b"u")]), (false, 2, vec![]));
    assert_eq!(startup(9999, &[(b"user", b"u")]), (true, 2, vec![]));
    let extended = startup(0, &[(b"user", b"u"), (b"_pq_.x", b"1")]);
    assert_eq!(extended, (true, 0, vec![b"_pq_.x".to_vec()]));
}
