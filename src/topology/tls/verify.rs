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
    use super::host_matches;

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
}
