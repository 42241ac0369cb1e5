//! Encodings of clients against a real server: each character that an encoding has must be read and written
//! here as PostgreSQL converts it, for the shard of a text key is computed from it.

mod session_support;

use margay::model::Encoding;
use margay::wire::postgres::frontend;
use session_support::proxy;
use session_support::raw::{Answer, Raw};

/// What a server makes of bytes, as UTF-8; NULL: they are no text in the encoding.
const CONVERT: &str = "
    CREATE FUNCTION converted(bytes bytea, encoding name) RETURNS bytea LANGUAGE plpgsql AS $$
    BEGIN
        RETURN convert_to(convert_from(bytes, encoding), 'UTF8');
    EXCEPTION WHEN OTHERS THEN
        RETURN NULL;
    END $$";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_character_is_converted_as_a_server_converts_it() {
    let proxy = proxy().await;
    let server = proxy.direct(0).await;
    server.batch_execute(CONVERT).await.expect("a function");
    let candidates: Vec<Vec<u8>> = (0x80..=0xff).map(|byte| vec![byte]).collect();
    let mut wrong = Vec::new();
    for encoding in Encoding::all() {
        let sql = "SELECT converted(b, $2::text::name) FROM unnest($1::bytea[]) WITH ORDINALITY AS u (b, n) ORDER BY n";
        let rows = server
            .query(sql, &[&candidates, &encoding.name()])
            .await
            .expect("conversions");
        assert_eq!(rows.len(), candidates.len());
        let mut known = 0;
        let mut differing = Vec::new();
        for (bytes, row) in candidates.iter().zip(&rows) {
            // What a server refuses never becomes a value.
            let Some(theirs) = row.get::<_, Option<Vec<u8>>>(0) else {
                continue;
            };
            known += 1;
            let theirs = String::from_utf8(theirs).expect("a server's UTF-8");
            let decoded = encoding.decode(bytes);
            let encoded = encoding.encode(&theirs);
            if decoded.as_deref() != Some(&*theirs) || encoded.as_deref() != Some(&bytes[..]) {
                differing.push(format!(
                    "{bytes:02x?} is {theirs:?}, here {decoded:?} and back {encoded:02x?}"
                ));
            }
        }
        assert!(
            known >= 40,
            "{}: only {known} characters were compared",
            encoding.name()
        );
        if !differing.is_empty() {
            differing.truncate(4);
            wrong.push(format!("{}: {differing:#?}", encoding.name()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const NAMES: &[&str] = &["é", "Ã©", "müller", "ñandú", "ascii", "Ø", "Ã¼", "ÿ"];

fn bytes_of(client: &str, text: &str) -> Vec<u8> {
    match Encoding::by_name(client) {
        Some(encoding) => encoding.encode(text).expect("characters of Latin").into_owned(),
        None => text.as_bytes().to_vec(),
    }
}

async fn simple(raw: &mut Raw, client: &str, sql: &str) -> Answer {
    frontend::query(&mut raw.out, &bytes_of(client, sql));
    Answer(raw.until_ready().await)
}

async fn bound(raw: &mut Raw, client: &str, sql: &str, value: &str, binary: bool) -> Answer {
    let formats: &[i16] = if binary { &[1] } else { &[] };
    frontend::parse(&mut raw.out, b"", &bytes_of(client, sql), [25]);
    let value = bytes_of(client, value);
    frontend::bind(&mut raw.out, b"", b"", formats, [Some(&*value)].into_iter(), &[]);
    raw.execute("", 0);
    raw.sync().await
}

/// Written and read by clients of three encodings, as literals and as parameters: each row is where all find it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_key_means_the_same_in_every_encoding() {
    let proxy = proxy().await;
    let clients = ["UTF8", "LATIN1", "WIN1252"];
    for (turn, writer) in clients.iter().enumerate() {
        let mut raw = Raw::connect(proxy.address, &[("client_encoding", writer)]).await;
        for (row, name) in NAMES.iter().enumerate() {
            let told = match (turn + row) % 3 {
                0 => {
                    simple(
                        &mut raw,
                        writer,
                        &format!("INSERT INTO named VALUES (1, '{name}')"),
                    )
                    .await
                }
                1 => bound(&mut raw, writer, "INSERT INTO named VALUES (1, $1)", name, false).await,
                _ => bound(&mut raw, writer, "INSERT INTO named VALUES (1, $1)", name, true).await,
            };
            assert_eq!(told.error(), None, "{writer} {name}");
        }
        for reader in clients {
            let mut raw = Raw::connect(proxy.address, &[("client_encoding", reader)]).await;
            for name in NAMES {
                let sql = format!("SELECT note FROM named WHERE note = '{name}'");
                let list = format!("SELECT note FROM named WHERE note IN ('{name}', 'none')");
                let of_parameter = "SELECT note FROM named WHERE note = $1";
                let answers = [
                    simple(&mut raw, reader, &sql).await,
                    simple(&mut raw, reader, &list).await,
                    simple(&mut raw, reader, &format!("SELECT 1; {sql}")).await,
                    bound(&mut raw, reader, of_parameter, name, false).await,
                    bound(&mut raw, reader, of_parameter, name, true).await,
                    bound(
                        &mut raw,
                        reader,
                        "SELECT note FROM named WHERE note = ANY (ARRAY[$1])",
                        name,
                        false,
                    )
                    .await,
                ];
                for (way, answer) in answers.iter().enumerate() {
                    let rows: Vec<&[u8]> = answer
                        .0
                        .iter()
                        .filter(|f| f.tag == b'D')
                        .map(|f| f.body())
                        .collect();
                    let last = rows
                        .last()
                        .unwrap_or_else(|| panic!("{writer} {reader} {name} {way}: no row"));
                    assert!(
                        last.ends_with(&bytes_of(reader, name)),
                        "{writer} {reader} {name} {way}"
                    );
                }
            }
        }
        let answer = simple(&mut raw, writer, "DELETE FROM named").await;
        assert_eq!(answer.commands(), [format!("DELETE {}", NAMES.len())]);
    }
}

/// Shift JIS has bytes of ASCII within its characters: what can't be read is refused, or asked of all nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_refused_or_asked_everywhere() {
    const KA: &[u8] = b"\x83\x4a\x83\x5c";
    let proxy = proxy().await;
    let mut utf8 = Raw::connect(proxy.address, &[]).await;
    let told = simple(
        &mut utf8,
        "UTF8",
        "INSERT INTO named VALUES (1, '\u{30ab}\u{30bd}')",
    )
    .await;
    assert_eq!(told.error(), None);
    let mut raw = Raw::connect(proxy.address, &[("client_encoding", "SJIS")]).await;
    let sql = [b"SELECT note FROM named WHERE note = '", KA, b"'"].concat();
    frontend::query(&mut raw.out, &sql);
    assert_eq!(Answer(raw.until_ready().await).error().as_deref(), Some("0A000"));
    for (sql, error, rows) in [
        ("SELECT note FROM named WHERE note = $1", None, 1),
        ("INSERT INTO named VALUES (2, $1)", Some("0A000"), 0),
        ("UPDATE named SET id = 3 WHERE note = $1 RETURNING note", None, 1),
    ] {
        raw.parse("", sql);
        frontend::bind(&mut raw.out, b"", b"", &[], [Some(KA)].into_iter(), &[]);
        raw.execute("", 0);
        let answer = raw.sync().await;
        assert_eq!(answer.error().as_deref(), error, "{sql}");
        assert_eq!(answer.column().len(), rows, "{sql}");
    }
}
