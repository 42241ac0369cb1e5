//! Clients that send what no driver would: random, cut, misplaced and far too many messages. The proxy
//! must neither panic nor hang, nor keep a server connection, and must answer the next client as ever.

mod session_support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use margay::wire::postgres::frame::{self, Frame};
use margay::wire::postgres::frontend;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use session_support::raw::Raw;
use session_support::{Proxy, proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts panics in the proxy's own files, which tokio would swallow with their task.
fn count_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.location().is_some_and(|l| !l.file().starts_with("tests/")) {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            before(info);
        }));
    });
}

async fn all_is_well(proxy: &Proxy) {
    let mut raw = Raw::connect(proxy.address, &[]).await;
    assert_eq!(raw.query("SELECT count(*) FROM spread").await.status(), 'I');
    drop(raw);
    proxy.nothing_leaks().await;
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "the proxy has panicked");
}

/// Reads until the proxy closes the connection; what came is the result.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut all)).await;
    // An error is an end too.
    let _ = read.expect("the proxy closes the connection");
    all
}

#[tokio::test]
async fn random_messages_neither_panic_nor_hang_nor_leak() {
    count_panics();
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let proxy = proxy().await;
    for _ in 0..60 {
        let mut raw = Raw::connect(proxy.address, &[]).await;
        for _ in 0..random.random_range(1..40) {
            random_message(&mut random, &mut raw.out);
        }
        // Bytes at random places may be others, so that lengths and strings are wrong too.
        if random.random_bool(0.5) {
            for _ in 0..random.random_range(1..6) {
                let at = random.random_range(0..raw.out.len());
                raw.out[at] = random.random();
            }
        }
        if random.random_bool(0.3) {
            let length = random.random_range(0..raw.out.len());
            raw.out.truncate(length);
        }
        let out = raw.out.split();
        let _ = raw.stream.write_all(&out).await;
        // With the end of what it sends the client has said everything; the proxy must let go.
        let _ = raw.stream.shutdown().await;
        until_closed(&mut raw.stream).await;
    }
    all_is_well(&proxy).await;
}

fn random_message(random: &mut StdRng, out: &mut BytesMut) {
    const NAMES: [&[u8]; 3] = [b"", b"a", b"b"];
    const TEXTS: [&[u8]; 12] = [
        b"SELECT 1",
        b"SELECT * FROM spread",
        b"INSERT INTO spread VALUES ($1, $2)",
        b"SELECT note FROM lefts WHERE id = $1",
        b"BEGIN",
        b"COMMIT",
        b"SELEC",
        b"SET TimeZone = 'Asia/Tokyo'",
        b"COPY lefts FROM STDIN",
        b"COPY rights TO STDOUT",
        b"SAVEPOINT x",
        b"",
    ];
    let name = NAMES[random.random_range(0..3)];
    let other = NAMES[random.random_range(0..3)];
    let text = TEXTS[random.random_range(0..TEXTS.len())];
    match random.random_range(0..14) {
        0 => frontend::query(out, text),
        1 | 2 => frontend::parse(out, name, text, []),
        3 | 4 => {
            let values: Vec<Option<&[u8]>> =
                (0..random.random_range(0..3)).map(|_| Some(&b"1"[..])).collect();
            frontend::bind(out, name, other, &[], values.into_iter(), &[]);
        }
        5 | 6 => frontend::execute(out, name, random.random_range(0..3)),
        7 => frontend::describe(out, frontend::Target::Portal, name),
        8 => frontend::describe(out, frontend::Target::Statement, name),
        9 => frontend::close(out, frontend::Target::Statement, name),
        10 => frontend::copy_data(out, b"1\tx\n"),
        11 => frontend::copy_done(out),
        12 => frontend::flush(out),
        _ => frontend::sync(out),
    }
}

#[tokio::test]
async fn any_number_of_syncs_is_answered() {
    count_panics();
    let proxy = proxy().await;
    let mut raw = Raw::connect(proxy.address, &[]).await;
    for _ in 0..5000 {
        frontend::sync(&mut raw.out);
    }
    raw.send().await;
    for _ in 0..5000 {
        assert_eq!(raw.frame().await.expect("an answer").tag, b'Z');
    }
    assert_eq!(raw.query("SELECT 1").await.column(), ["1"]);
    drop(raw);
    all_is_well(&proxy).await;
}

#[tokio::test]
async fn ten_thousand_statements_in_one_pipeline_over_two_nodes() {
    count_panics();
    let proxy = proxy().await;
    let mut raw = Raw::connect(proxy.address, &[]).await;
    raw.parse("s", "INSERT INTO spread VALUES ($1, 'x')");
    for id in 0..10_000 {
        // Hundreds in a row for one node, then for the other.
        let id = (id / 200) * 400 + (id % 200) * 2 + (id / 200) % 2;
        raw.bind("", "s", &[&id.to_string()]).execute("", 0);
    }
    frontend::sync(&mut raw.out);
    let out = raw.out.split();
    let (mut read, mut write) = raw.stream.split();
    let reading = async {
        let (mut input, mut complete) = (BytesMut::new(), 0);
        loop {
            while let Some(frame) = frame::split(&mut input, frame::MAX_SERVER).expect("frames") {
                match frame.tag {
                    b'C' => complete += 1,
                    b'E' => panic!("an error: {}", frame.body().escape_ascii()),
                    b'Z' => return complete,
                    _ => {}
                }
            }
            assert!(read.read_buf(&mut input).await.expect("bytes") > 0, "closed");
        }
    };
    let (written, complete) = tokio::join!(write.write_all(&out), reading);
    written.expect("the proxy reads");
    assert_eq!(complete, 10_000);
    assert_eq!(
        proxy.count(0, "spread").await + proxy.count(1, "spread").await,
        10_000
    );
    drop(raw);
    all_is_well(&proxy).await;
}

#[tokio::test]
async fn a_large_literal_passes_and_one_beyond_the_limit_is_refused() {
    count_panics();
    let proxy = proxy().await;
    let mut raw = Raw::connect(proxy.address, &[]).await;
    let large = "x".repeat(12 << 20);
    // Together they are beyond the limit of 16 MiB: the length alone says so, and the rest isn't read.
    frontend::query(
        &mut raw.out,
        format!("INSERT INTO spread VALUES (2, '{large}'), (3, '{large}')").as_bytes(),
    );
    let out = raw.out.split();
    let _ = raw.stream.write_all(&out).await;
    until_closed(&mut raw.stream).await;
    let mut raw = Raw::connect(proxy.address, &[]).await;
    assert_eq!(
        raw.query(&format!("INSERT INTO spread VALUES (2, '{large}')"))
            .await
            .commands(),
        ["INSERT 0 1"]
    );
    let length = raw.query("SELECT length(note) FROM spread WHERE id = 2").await;
    assert_eq!(length.column(), [(12 << 20).to_string()]);
    drop(raw);
    all_is_well(&proxy).await;
}

#[tokio::test]
async fn a_client_that_says_nothing_is_let_go() {
    count_panics();
    let proxy = proxy().await;
    let mut snapshot = (*proxy.shared.snapshot.load_full()).clone();
    snapshot.limits.login_timeout = Duration::from_millis(100);
    proxy.shared.snapshot.store(snapshot.into());
    let mut silent = TcpStream::connect(proxy.address)
        .await
        .expect("the proxy listens");
    assert!(until_closed(&mut silent).await.is_empty());
    // Half a startup message is no better.
    let mut half = TcpStream::connect(proxy.address)
        .await
        .expect("the proxy listens");
    half.write_all(&[0, 0, 0, 40, 0, 3, 0, 0, b'u'])
        .await
        .expect("sent");
    assert!(until_closed(&mut half).await.is_empty());
    all_is_well(&proxy).await;
}

#[tokio::test]
async fn openings_that_are_none() {
    count_panics();
    let proxy = proxy().await;
    let ssl = [0, 0, 0, 8, 4, 210, 22, 47];
    let openings: [(&[u8], &[u8]); 5] = [
        // Protocol 2.0.
        (&[0, 0, 0, 8, 0, 2, 0, 0], b"E"),
        // Too short, too long.
        (&[0, 0, 0, 3, 0], b"E"),
        (&[0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0], b"E"),
        // HTTP.
        (b"GET / HTTP/1.1\r\n\r\n", b"E"),
        // A request for SSL, and TLS without waiting for the answer.
        (&[&ssl[..], &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]].concat(), b"E"),
    ];
    for (opening, answer) in openings {
        let mut stream = TcpStream::connect(proxy.address)
            .await
            .expect("the proxy listens");
        stream.write_all(opening).await.expect("sent");
        let _ = stream.shutdown().await;
        let said = until_closed(&mut stream).await;
        assert!(
            said.is_empty() || said.starts_with(answer),
            "{opening:?}: {}",
            said.escape_ascii()
        );
    }
    all_is_well(&proxy).await;
}

/// The frames of a login by protocol 3.`minor`, up to ReadyForQuery.
async fn login(proxy: &Proxy, minor: u16, options: &[u8]) -> Vec<Frame> {
    let mut stream = TcpStream::connect(proxy.address)
        .await
        .expect("the proxy listens");
    let mut out = BytesMut::new();
    let body = [&b"user\0app\0database\0app\0"[..], options, b"\0"].concat();
    out.put_u32(body.len() as u32 + 8);
    out.put_u16(3);
    out.put_u16(minor);
    out.put_slice(&body);
    stream.write_all(&out).await.expect("sent");
    let (mut input, mut frames) = (BytesMut::new(), Vec::new());
    while !frames.iter().any(|f: &Frame| f.tag == b'Z') {
        assert!(stream.read_buf(&mut input).await.expect("an answer") > 0);
        while let Some(frame) = frame::split(&mut input, frame::MAX_SERVER).expect("frames") {
            frames.push(frame);
        }
    }
    frames
}

#[tokio::test]
async fn a_protocol_version_or_option_that_nobody_knows_is_negotiated_down() {
    count_panics();
    let proxy = proxy().await;
    let grease = b"_pq_.test_protocol_negotiation\0\0";
    /// Minor and number of options that aren't known.
    type Told = Option<(u16, usize)>;
    // Minor asked for, options → what is negotiated, bytes of the cancel secret.
    let cases: [(u16, &[u8], Told, usize); 6] = [
        (0, b"", None, 4),
        (0, grease, Some((0, 1)), 4),
        (2, b"", None, 32),
        (2, grease, Some((2, 1)), 32),
        (3, b"", Some((2, 0)), 32),
        // What libpq sends as grease.
        (9999, grease, Some((2, 1)), 32),
    ];
    for (minor, options, negotiated, secret) in cases {
        let frames = login(&proxy, minor, options).await;
        let told = frames.iter().find(|f| f.tag == b'v').map(|f| {
            let body = f.body();
            let number = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().expect("four bytes"));
            ((number(0) - (3 << 16)) as u16, number(4) as usize)
        });
        assert_eq!(told, negotiated, "3.{minor}");
        let key = frames.iter().find(|f| f.tag == b'K').expect("a key");
        assert_eq!(key.body().len() - 4, secret, "3.{minor}");
    }
    all_is_well(&proxy).await;
}

#[tokio::test]
async fn terminate_in_a_transaction_rolls_it_back() {
    count_panics();
    let proxy = proxy().await;
    let mut raw = Raw::connect(proxy.address, &[]).await;
    raw.query("BEGIN").await;
    raw.query("INSERT INTO spread VALUES (1, 'x'), (2, 'y')").await;
    frontend::terminate(&mut raw.out);
    raw.send().await;
    until_closed(&mut raw.stream).await;
    proxy.nothing_leaks().await;
    assert_eq!(proxy.count(0, "spread").await + proxy.count(1, "spread").await, 0);
    all_is_well(&proxy).await;
}

#[tokio::test]
async fn nothing_leaks_from_one_client_to_another() {
    count_panics();
    let proxy = proxy().await;
    let mut one = Raw::connect(proxy.address, &[]).await;
    let mut other = Raw::connect(proxy.address, &[]).await;
    let ask =
        "SELECT current_setting('TimeZone') || current_setting('search_path') || current_setting('work_mem')
                   || coalesce(current_setting('my.own', true), '') || current_setting('application_name')";
    // `lefts` and `rights` are on different nodes.
    let asks = [
        format!("{ask} FROM (SELECT count(*) FROM lefts) x"),
        format!("{ask} FROM (SELECT count(*) FROM rights) x"),
    ];
    let mut defaults = Vec::new();
    for ask in &asks {
        defaults.push(other.query(ask).await.column());
    }
    let changes = [
        "SET TimeZone = 'Asia/Tokyo'",
        "SET search_path = nowhere, public",
        "SET work_mem = '7MB'",
        "SET application_name = 'one'",
        "SELECT set_config('work_mem', '9MB', false)",
        "SELECT set_config('my.own', 'mine', false)",
        "BEGIN; SET LOCAL work_mem = '5MB'; SELECT count(*) FROM spread; COMMIT",
        "BEGIN; SET TimeZone = 'Asia/Seoul'; SELECT count(*) FROM spread; ROLLBACK",
        "BEGIN; SELECT set_config('TimeZone', 'Asia/Seoul', true); SELECT count(*) FROM spread; COMMIT",
        "SET work_mem = '6MB'; SELECT 1/0",
    ];
    for change in changes {
        one.query(change).await;
        for ask in &asks {
            one.query(ask).await;
        }
        for (ask, expected) in asks.iter().zip(&defaults) {
            assert_eq!(other.query(ask).await.column(), *expected, "after {change}");
        }
    }
    let set = one.query(
        "SELECT current_setting('TimeZone') || current_setting('work_mem') || current_setting('my.own')",
    );
    assert_eq!(set.await.column(), ["Asia/Tokyo9MBmine"]);
    one.query("DISCARD ALL").await;
    for (ask, expected) in asks.iter().zip(&defaults) {
        assert_eq!(one.query(ask).await.column(), *expected, "after DISCARD ALL");
    }
    drop((one, other));
    all_is_well(&proxy).await;
}

#[tokio::test]
async fn equal_names_of_statements_are_each_clients_own() {
    count_panics();
    let proxy = proxy().await;
    let mut clients = Vec::new();
    for i in 0..4 {
        let mut raw = Raw::connect(proxy.address, &[]).await;
        raw.parse("s", &format!("SELECT {i} + $1::int"));
        raw.sync().await;
        clients.push(raw);
    }
    for round in 0..3 {
        for (i, raw) in clients.iter_mut().enumerate() {
            raw.bind("", "s", &["10"]).execute("", 0);
            assert_eq!(raw.sync().await.column(), [(10 + i).to_string()], "round {round}");
        }
    }
    clients[0].query("DEALLOCATE ALL").await;
    clients[0].bind("", "s", &["10"]).execute("", 0);
    assert_eq!(clients[0].sync().await.error().as_deref(), Some("26000"));
    clients[1].bind("", "s", &["10"]).execute("", 0);
    assert_eq!(clients[1].sync().await.column(), ["11"]);
    drop(clients);
    all_is_well(&proxy).await;
}

#[tokio::test]
async fn a_prepared_statement_means_what_its_text_means_now() {
    count_panics();
    let proxy = proxy().await;
    for node in 0..2 {
        let sql = "CREATE SCHEMA other; CREATE TABLE other.lefts (id bigint PRIMARY KEY, note text)";
        proxy.direct(node).await.batch_execute(sql).await.expect("made");
    }
    let mut raw = Raw::connect(proxy.address, &[]).await;
    raw.query("INSERT INTO lefts VALUES (1, 'public')").await;
    raw.parse("s", "SELECT note FROM lefts WHERE id = $1");
    raw.bind("", "s", &["1"]).execute("", 0);
    assert_eq!(raw.sync().await.column(), ["public"]);
    raw.query("SET search_path = other").await;
    raw.bind("", "s", &["1"]).execute("", 0);
    assert_eq!(raw.sync().await.column(), Vec::<String>::new());
    raw.query("RESET search_path").await;
    raw.bind("", "s", &["1"]).execute("", 0);
    assert_eq!(raw.sync().await.column(), ["public"]);
    drop(raw);
    all_is_well(&proxy).await;
}
