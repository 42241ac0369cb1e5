//! Whether a server is who it should be, by libpq's sslmodes. The safe direction is refusal. The
//! signature of the handshake is checked in every mode: that the peer holds the certificate's key.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::{TlsMode, Wrong};
use crate::model::certificate::Certificate;

#[derive(Debug)]
pub(super) struct Verify {
    mode: TlsMode,
    roots: RootCertStore,
    /// The CA file's certificates as they are: a server's own may be among them, as OpenSSL has it for
    /// self-signed ones.
    trusted: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Verify {
    pub fn new(
        mode: TlsMode,
        trusted: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, Wrong> {
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(trusted.iter().cloned());
        let verifies = matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyFull);
        if verifies && trusted.is_empty() {
            return Err(Wrong::Ca("no CA is named".into()));
        }
        if !trusted.is_empty() && added == 0 {
            return Err(Wrong::Ca("no certificate in it can be used".into()));
        }
        Ok(Self {
            mode,
            roots,
            trusted,
            provider,
        })
    }

    fn chain(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        if self.trusted.iter().any(|t| t == own) {
            return match Certificate::decode(own) {
                Some(certificate) if certificate.is_valid_at(now.as_secs()) => Ok(()),
                Some(_) => Err(CertificateError::Expired.into()),
                None => Err(CertificateError::BadEncoding.into()),
            };
        }
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(own)?,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )
    }
}

/// The names in the certificate, or, where it has none in the modern place, its common name, as libpq does.
fn named(own: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Error> {
    let refused = match verify_server_name(&ParsedCertificate::try_from(own)?, name) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    let certificate = Certificate::decode(own).filter(|c| !c.has_alt_names());
    let by_common_name = certificate
        .as_ref()
        .and_then(Certificate::common_name)
        .is_some_and(|pattern| host_matches(pattern, &name.to_str()));
    if by_common_name { Ok(()) } else { Err(refused) }
}

/// `*.example.com` stands for one label. Case doesn't matter.
fn host_matches(pattern: &str, host: &str) -> bool {
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(rest), Some((first, parent))) => {
            !first.is_empty() && rest.contains('.') && rest.eq_ignore_ascii_case(parent)
        }
        (None, _) | (_, None) => false,
    }
}

impl ServerCertVerifier for Verify {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.mode {
            TlsMode::Prefer | TlsMode::Require => {}
            TlsMode::VerifyCa => self.chain(own, intermediates, now)?,
            TlsMode::VerifyFull => {
                self.chain(own, intermediates, now)?;
                named(own, name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, own, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, own, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

    use super::super::provider;
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        assert!(host_matches("db.example.com", "DB.example.com"));
        assert!(host_matches("*.example.com", "db.example.com"));
        for (pattern, host) in [
            ("*.example.com", "a.db.example.com"),
            ("*.example.com", "example.com"),
            ("*.com", "example.com"),
            ("*", "localhost"),
            ("d*.example.com", "db.example.com"),
        ] {
            assert!(!host_matches(pattern, host), "{pattern} {host}");
        }
    }

    /// A certificate that signs itself, as `openssl req -x509` makes it.
    fn self_signed(common_name: &str, hosts: &[&str], is_ca: IsCa) -> CertificateDer<'static> {
        let hosts: Vec<String> = hosts.iter().map(|h| h.to_string()).collect();
        let mut params = CertificateParams::new(hosts).expect("names");
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = is_ca;
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().clone()
    }

    fn verify(
        trusted: &CertificateDer<'static>,
        own: &CertificateDer<'static>,
        host: &str,
        year: u64,
    ) -> Result<ServerCertVerified, Error> {
        let verify = Verify::new(TlsMode::VerifyFull, vec![trusted.clone()], provider()).expect("a CA");
        let name = ServerName::try_from(host.to_owned()).expect("a name");
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs((year - 1970) * 31_556_952));
        verify.verify_server_cert(own, &[], &name, &[], now)
    }

    #[test]
    fn a_servers_own_certificate_may_be_what_is_trusted_as_long_as_it_is_valid() {
        for is_ca in [IsCa::ExplicitNoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
            let own = self_signed("db", &["db.example.com"], is_ca);
            assert!(verify(&own, &own, "db.example.com", 2026).is_ok());
            assert!(verify(&own, &own, "other.example.com", 2026).is_err());
            assert!(verify(&own, &own, "db.example.com", 2031).is_err());
            assert!(verify(&own, &own, "db.example.com", 2019).is_err());
            let same_name = self_signed("db", &["db.example.com"], is_ca);
            assert!(verify(&own, &same_name, "db.example.com", 2026).is_err());
        }
    }

    #[test]
    fn the_common_name_counts_only_where_no_other_name_is_given() {
        let old = self_signed("db.example.com", &[], IsCa::ExplicitNoCa);
        assert!(verify(&old, &old, "db.example.com", 2026).is_ok());
        assert!(verify(&old, &old, "other.example.com", 2026).is_err());
        let new = self_signed("db.example.com", &["other.example.com"], IsCa::ExplicitNoCa);
        assert!(verify(&new, &new, "db.example.com", 2026).is_err());
        assert!(verify(&new, &new, "other.example.com", 2026).is_ok());
    }
}
