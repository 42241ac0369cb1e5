//! Our side of SCRAM-SHA-256 against the client of `postgres-protocol`, the example of RFC 7677,
//! and hostile clients.

use std::sync::Arc;

use margay::model::Code;
use margay::wire::postgres::scram::{Binding, Exchange, ITERATIONS, ScramError, Verifier};
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};

const NONCE: &str = "3rfcNHYJY1ZVvWVs7jAbCdEf";

/// Runs a whole login with the oracle as client.
fn log_in(verifier: Verifier, password: &[u8]) -> Result<(), ScramError> {
    let mut client = ScramSha256::new(password, ChannelBinding::unsupported());
    let mut server = Exchange::new(Arc::new(verifier), NONCE);
    let challenge = server.first(client.message())?;
    client.update(&challenge).expect("the client takes our challenge");
    let last = server.last(client.message())?;
    client.finish(&last).expect("the client takes our signature");
    Ok(())
}

#[test]
fn the_example_of_rfc_7677_comes_out_byte_for_byte() {
    use base64::Engine as _;
    let salt = base64::engine::general_purpose::STANDARD
        .decode("W22ZaJ0SNY7soEsUEjb6gQ==")
        .expect("base64");
    let verifier = Verifier::from_password("pencil", &salt, 4096);
    let mut server = Exchange::new(Arc::new(verifier), "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
    let first = server.first(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").expect("valid");
    assert_eq!(
        first,
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    let last = server.last(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    );
    assert_eq!(
        last.expect("the password is right"),
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    );
}

#[test]
fn the_right_password_gets_in_and_a_wrong_one_does_not() {
    for password in [
        "secret",
        "",
        "pass,word=1",
        "geheim-ſ-Ⅸ",
        "a\u{ad}b",
        "\u{7}bell",
        "密码",
    ] {
        let verifier = Verifier::from_password(password, b"0123456789abcdef", ITERATIONS);
        assert_eq!(
            log_in(verifier.clone(), password.as_bytes()),
            Ok(()),
            "{password:?}"
        );
        let wrong = format!("{password}x");
        assert_eq!(
            log_in(verifier, wrong.as_bytes()),
            Err(ScramError::WrongPassword),
            "{password:?}"
        );
    }
    let fault = ScramError::WrongPassword.fault("shop");
    assert_eq!(
        (fault.code, &*fault.message),
        (
            Code::AUTH_FAILED,
            "password authentication failed for user \"shop\""
        )
    );
}

#[test]
fn a_verifier_reads_what_it_prints_and_nothing_else() {
    let verifier = Verifier::from_password("pencil", b"0123456789abcdef", 4096);
    let text = verifier.to_string();
    assert!(
        text.starts_with("SCRAM-SHA-256$4096:MDEyMzQ1Njc4OWFiY2RlZg==$"),
        "{text}"
    );
    assert_eq!(Verifier::parse(&text).as_ref(), Some(&verifier));
    assert_eq!(log_in(Verifier::parse(&text).expect("valid"), b"pencil"), Ok(()));
    assert!(
        !format!("{verifier:?}").contains("MDEy"),
        "a verifier is a secret"
    );
    let broken = [
        "",
        "md5abc",
        "SCRAM-SHA-256$",
        "SCRAM-SHA-256$0:MDEy$AAAA:AAAA",
        "SCRAM-SHA-256$4096:MDEy$AAAA:AAAA",
    ];
    for text in broken
        .map(str::to_string)
        .into_iter()
        .chain([text[..text.len() - 3].to_string(), text.replace(":", ";")])
    {
        assert_eq!(Verifier::parse(&text), None, "{text}");
    }
}

#[test]
fn an_unknown_user_sees_the_same_exchange_with_the_same_salt_each_time() {
    let secret = [7; 32];
    let challenge = |user: &[u8], secret: &[u8; 32]| {
        let mut server = Exchange::new(Arc::new(Verifier::mock(user, secret)), NONCE);
        let first = server.first(b"n,,n=,r=abcdefgh").expect("valid");
        String::from_utf8(first).expect("ASCII")
    };
    let real = Exchange::new(
        Arc::new(Verifier::from_password("x", &[1; 16], ITERATIONS)),
        NONCE,
    )
    .first(b"n,,n=,r=abcdefgh")
    .expect("valid");
    assert_eq!(challenge(b"bob", &secret), challenge(b"bob", &secret));
    assert_ne!(challenge(b"bob", &secret), challenge(b"eve", &secret));
    assert_ne!(challenge(b"bob", &secret), challenge(b"bob", &[8; 32]));
    assert_eq!(challenge(b"bob", &secret).len(), real.len());
    for password in ["", "bob", "secret"] {
        assert_eq!(
            log_in(Verifier::mock(b"bob", &secret), password.as_bytes()),
            Err(ScramError::WrongPassword)
        );
    }
}

#[test]
fn malformed_messages_are_refused() {
    let verifier = Arc::new(Verifier::from_password("pencil", &[1; 16], 1));
    let first: &[&[u8]] = &[
        b"",
        b"n",
        b"n,",
        b"n,,",
        b"n,,n=",
        b"n,,n=,",
        b"n,,n=,r=",
        b"n,,r=abc",
        b"x,,n=,r=abc",
        b"p=tls-unique,,n=,r=abc",
        b"n,a=root,n=,r=abc",
        b"n,,m=ext,n=,r=abc",
        b"n,,n=,r=a b",
        b"n,,n=,r=\xff\xfe",
    ];
    for message in first {
        let refused = Exchange::new(verifier.clone(), NONCE).first(message);
        assert!(
            matches!(refused, Err(ScramError::Malformed(_))),
            "{}",
            message.escape_ascii()
        );
    }
    let proof = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let last = [
        String::new(),
        "c=biws".into(),
        format!("c=biws,r=abc{NONCE}"),
        format!("c=biws,r=abc{NONCE},p="),
        format!("c=biws,r=abc{NONCE},p=AAAA"),
        format!("c=biws,r=abc{NONCE},p=!!!!"),
        format!("c=biws,r=abc,p={proof}"),
        format!("c=eSws,r=abc{NONCE},p={proof}"),
        format!("c=,r=abc{NONCE},p={proof}"),
        format!("r=abc{NONCE},c=biws,p={proof}"),
        format!(",p={proof}"),
    ];
    for message in &last {
        let mut server = Exchange::new(verifier.clone(), NONCE);
        server.first(b"n,,n=,r=abc").expect("valid");
        assert!(
            matches!(server.last(message.as_bytes()), Err(ScramError::Malformed(_))),
            "{message}"
        );
    }
    let mut server = Exchange::new(verifier.clone(), NONCE);
    server.first(b"n,,n=,r=abc").expect("valid");
    let message = format!("c=biws,r=abc{NONCE},p={proof}");
    assert_eq!(server.last(message.as_bytes()), Err(ScramError::WrongPassword));
}

/// What becomes of a login with this offer and choice, by a client that binds as given.
fn bound(binding: Binding, client: ChannelBinding) -> Result<(), ScramError> {
    let verifier = Verifier::from_password("pencil", b"0123456789abcdef", 1);
    let mut client = ScramSha256::new(b"pencil", client);
    let mut server = Exchange::new(Arc::new(verifier), NONCE).bind(binding);
    let challenge = server.first(client.message())?;
    client.update(&challenge).expect("the client takes our challenge");
    let last = server.last(client.message())?;
    client.finish(&last).expect("the client takes our signature");
    Ok(())
}

#[test]
fn channel_binding_must_fit_what_was_offered_and_chosen() {
    let hash = || Binding::Used(Arc::from(&b"the certificate's hash"[..]));
    let same = || ChannelBinding::tls_server_end_point(b"the certificate's hash".to_vec());
    let malformed = |result| matches!(result, Err(ScramError::Malformed(_)));
    assert_eq!(bound(hash(), same()), Ok(()));
    // Another certificate: someone stands in between.
    let other = ChannelBinding::tls_server_end_point(b"another's".to_vec());
    assert!(malformed(bound(hash(), other)));
    assert!(malformed(bound(hash(), ChannelBinding::unsupported())));
    assert!(malformed(bound(hash(), ChannelBinding::unrequested())));
    // The client could, and wasn't offered it: true only if we didn't.
    assert_eq!(bound(Binding::NotOffered, ChannelBinding::unrequested()), Ok(()));
    assert_eq!(
        bound(Binding::Declined, ChannelBinding::unrequested()),
        Err(ScramError::Downgraded)
    );
    assert_eq!(ScramError::Downgraded.fault("app").state(), "28000");
    assert_eq!(bound(Binding::Declined, ChannelBinding::unsupported()), Ok(()));
    assert!(malformed(bound(Binding::Declined, same())));
    assert!(malformed(bound(Binding::NotOffered, same())));
    let verifier = Arc::new(Verifier::from_password("pencil", &[1; 16], 1));
    let unique = Exchange::new(verifier, NONCE)
        .bind(hash())
        .first(b"p=tls-unique,,n=,r=abc");
    assert!(malformed(unique.map(drop)));
}

#[test]
fn messages_out_of_turn_are_refused() {
    let verifier = Arc::new(Verifier::from_password("pencil", &[1; 16], 1));
    let mut server = Exchange::new(verifier.clone(), NONCE);
    assert!(matches!(
        server.last(b"c=biws,r=abc,p=AAAA"),
        Err(ScramError::Malformed(_))
    ));
    let mut server = Exchange::new(verifier, NONCE);
    server.first(b"n,,n=,r=abc").expect("valid");
    assert!(matches!(
        server.first(b"n,,n=,r=abc"),
        Err(ScramError::Malformed(_))
    ));
    assert!(matches!(
        server.last(b"c=biws,r=abc,p=AAAA"),
        Err(ScramError::Malformed(_))
    ));
}
