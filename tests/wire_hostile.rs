//! Bytes that lie: an error, never a panic, and never an allocation by a number that was only read.

use bytes::BytesMut;
use margay::model::{Code, Fault};
use margay::wire::postgres::frame::{self, FrameScanner, HEADER, MAX_STARTUP, Mark};
use margay::wire::postgres::{ProtocolError, backend, frontend};
use proptest::collection::vec;
use proptest::prelude::*;

const FRONTEND: &[u8] = b"QPBDECHSXpdcfF";
const BACKEND: &[u8] = b"RSKZTDCIEN123ntsAvGHWdcV";

/// Walks everything that decodes, so that lazily read parts are read too.
fn decode_all(tag: u8, body: &[u8]) {
    if let Ok(message) = frontend::decode(tag, body) {
        let mut out = BytesMut::new();
        message.encode(&mut out);
        if let frontend::Message::Bind(bind) = &message {
            assert_eq!(bind.params.iter().count(), bind.params.len());
        }
    }
    let _ = frontend::decode_password(body);
    let _ = frontend::decode_sasl_initial(body);
    let _ = frontend::decode_opening(body);
    if let Ok(backend::Message::RowDescription(row)) = backend::decode(tag, body) {
        assert_eq!(row.fields().count(), row.len());
    }
    if let Ok(row) = backend::DataRow::decode(body) {
        let _ = row.columns().count();
        let _ = row.prefix(row.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_decode_or_are_refused(tag in any::<u8>(), body in vec(any::<u8>(), 0..60)) {
        decode_all(tag, &body);
        for tag in FRONTEND.iter().chain(BACKEND) {
            decode_all(*tag, &body);
        }
    }

    #[test]
    fn a_changed_or_cut_message_decodes_or_is_refused(
        sql in vec(1..=255u8, 0..20), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        let mut out = BytesMut::new();
        frontend::parse(&mut out, b"s", &sql, [23, 25]);
        frontend::bind(&mut out, b"", b"s", &[1], [Some(&sql[..]), None].into_iter(), &[0, 1]);
        backend::row_description(&mut out, &[backend::Field::new(&sql, 23, 4), backend::Field::new(b"b", 25, -1)]);
        backend::data_row(&mut out, [Some(&sql[..]), None]);
        backend::error_response(&mut out, &Fault::new(Code::INTERNAL, "x"));
        while let Some(frame) = frame::split(&mut out, 1 << 20).expect("valid") {
            let mut body = frame.body().to_vec();
            decode_all(frame.tag, &body[..cut.index(body.len() + 1)]);
            let at = at.index(body.len());
            body[at] = byte;
            decode_all(frame.tag, &body);
        }
    }

    #[test]
    fn the_scanner_finds_the_same_frames_however_the_stream_is_cut(
        bodies in vec(vec(any::<u8>(), 0..40), 1..12), cuts in vec(1..30usize, 1..50),
    ) {
        let mut stream = BytesMut::new();
        let mut ends = Vec::new();
        for body in &bodies {
            frontend::copy_data(&mut stream, body);
            ends.push(stream.len());
        }
        let mut scanner = FrameScanner::new(1 << 20);
        let (mut begun, mut ended, mut done) = (Vec::new(), Vec::new(), 0);
        let mut cuts = cuts.into_iter().cycle();
        while done < stream.len() {
            let len = cuts.next().expect("it cycles").min(stream.len() - done);
            let chunk = &stream[done..done + len];
            let mut at = 0;
            while let Some(mark) = scanner.next(chunk, &mut at).expect("valid") {
                match mark {
                    Mark::Begin { header, at } => begun.push((header.len, done + at)),
                    Mark::End { tag, at } => { assert_eq!(tag, b'd'); ended.push(done + at) }
                }
            }
            assert_eq!(at, len);
            done += len;
            assert_eq!(scanner.at_border(), ended.last() == Some(&done));
        }
        prop_assert_eq!(&ended, &ends);
        let expected: Vec<_> = ends.iter().zip(&bodies).map(|(end, body)| (body.len() + HEADER, end - body.len())).collect();
        prop_assert_eq!(begun, expected);
    }
}

#[test]
fn lengths_that_can_not_be_are_refused() {
    for said in [i32::MIN, -1, 0, 3] {
        let mut bytes = vec![b'Q'];
        bytes.extend_from_slice(&said.to_be_bytes());
        assert_eq!(frame::peek(&bytes, 1000), Err(ProtocolError::Length(said)));
        assert_eq!(
            FrameScanner::new(1000).next(&bytes, &mut 0),
            Err(ProtocolError::Length(said))
        );
        assert_eq!(
            frame::peek_startup(&said.to_be_bytes()),
            Err(ProtocolError::Length(said))
        );
    }
    assert_eq!(frame::peek(b"Q\0\0", 1000), Ok(None));
    let huge = b"Q\x7f\xff\xff\xff";
    assert_eq!(
        frame::peek(huge, 1000),
        Err(ProtocolError::TooLarge {
            len: 1 << 31,
            limit: 1000
        })
    );
    let long = (MAX_STARTUP as u32 + 1).to_be_bytes();
    assert!(matches!(
        frame::peek_startup(&long),
        Err(ProtocolError::TooLarge { .. })
    ));
    let fault = Fault::from(ProtocolError::TooLarge { len: 2, limit: 1 });
    assert_eq!(fault.code, Code::TOO_LARGE);
    assert_eq!(Fault::from(ProtocolError::Truncated).code, Code::PROTOCOL);
    assert_eq!(ProtocolError::Truncated.from_server().code, Code::SERVER_PROTOCOL);
}

#[test]
fn an_unfinished_frame_is_waited_for_without_room_being_made() {
    let mut buf = BytesMut::from(&b"Q\x3f\xff\xff\x00SELECT"[..]);
    let capacity = buf.capacity();
    assert_eq!(frame::split(&mut buf, usize::MAX), Ok(None));
    assert_eq!(buf.capacity(), capacity);
}

#[test]
fn counts_and_strings_that_lie_are_refused() {
    use ProtocolError::{Count, Field, Length, MissingNul, Tag, Trailing, Truncated};
    let client: &[(u8, &[u8], ProtocolError)] = &[
        (b'Q', b"SELECT 1", MissingNul),
        (b'Q', b"SELECT 1\0x", Trailing),
        (b'P', b"s\0SELECT 1\0", Truncated),
        (b'P', b"s\0SELECT 1\0\xff\xff", Truncated),
        (b'P', b"s\0SELECT 1\0\0\0\0", Trailing),
        (b'B', b"\0\0\0\0\xff\xff", Truncated),
        (b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0", Length(-2)),
        (b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff\0\0", Truncated),
        (b'B', b"\0\0\0\x02\0\0\0\0\0\x01\xff\xff\xff\xff\0\0", Count),
        (b'B', b"\0\0\0\x01\0\x02\0\0\0\0", Field("format code")),
        (b'D', b"x\0", Field("describe or close target")),
        (b'E', b"\0\0\0", Truncated),
        (b'S', b"\0", Trailing),
        (b'z', b"", Tag(b'z')),
    ];
    for (tag, body, error) in client {
        assert_eq!(
            frontend::decode(*tag, body).as_ref(),
            Err(error),
            "{} {}",
            *tag as char,
            body.escape_ascii()
        );
    }
    let server: &[(u8, &[u8], ProtocolError)] = &[
        (b'Z', b"X", Field("transaction status")),
        (b'T', b"\xff\xff", MissingNul),
        (b'D', b"\0\x02\0\0\0\x01a", Truncated),
        (b'D', b"\0\x01\xff\xff\xff\xfe", Length(-2)),
        (b'D', b"\0\x00a", Trailing),
        (b'E', b"SERROR\0", Truncated),
        (b'E', b"SERROR", MissingNul),
        (b'E', b"\0\0", Trailing),
        (b'K', b"\0\0\0\x01abc", Field("cancel secret")),
        (b'v', b"\0\x03\0\0\xff\xff\xff\xff", MissingNul),
        (b't', b"\xff\xff", Truncated),
        (b'G', b"\0\xff\xff", Truncated),
        (b'R', b"\0\0\0\x0aSCRAM", MissingNul),
        (b'y', b"", Tag(b'y')),
    ];
    for (tag, body, error) in server {
        assert_eq!(
            backend::decode(*tag, body).as_ref(),
            Err(error),
            "{} {}",
            *tag as char,
            body.escape_ascii()
        );
    }
}

#[test]
fn openings_that_lie_are_refused() {
    let opening = |code: u32, rest: &[u8]| {
        let mut bytes = (8 + rest.len() as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(&code.to_be_bytes());
        bytes.extend_from_slice(rest);
        frontend::decode_opening(&bytes).map(|_| ())
    };
    assert_eq!(opening(0x0003_0000, b""), Err(ProtocolError::MissingNul));
    assert_eq!(opening(0x0003_0000, b"user\0u\0"), Err(ProtocolError::MissingNul));
    assert_eq!(opening(0x0003_0000, b"user\0\0"), Err(ProtocolError::MissingNul));
    assert_eq!(
        opening(0x0003_0000, b"user\0u\0\0x"),
        Err(ProtocolError::Trailing)
    );
    assert_eq!(
        opening(0x0002_0000, b""),
        Err(ProtocolError::Version { major: 2, minor: 0 })
    );
    assert_eq!(opening(frontend::SSL_REQUEST, b"x"), Err(ProtocolError::Trailing));
    assert_eq!(
        opening(frontend::CANCEL_REQUEST, b"\0\0\0\x01abc"),
        Err(ProtocolError::Field("cancel secret"))
    );
    let long = [0; 261];
    assert_eq!(
        opening(frontend::CANCEL_REQUEST, &long),
        Err(ProtocolError::Field("cancel secret"))
    );
    assert_eq!(opening(frontend::CANCEL_REQUEST, &long[..260]), Ok(()));
}
