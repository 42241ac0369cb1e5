//! Encodings of clients against a real server: each character that an encoding has must be read and written
//! here as PostgreSQL converts it, for the shard of a text key is computed from it.

mod session_support;

use margay::model::Encoding;
use session_support::proxy;

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
