//! What Margay must know of an X.509 certificate beyond what the TLS library checks: whose it is, and the
//! hash that channel binding is made of. Trusts nothing: chains are verified elsewhere.

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use x509_cert::Certificate as X509;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Tag, Tagged};

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

/// A decoded certificate.
pub struct Certificate(X509);

impl Certificate {
    /// None: it can't be read.
    pub fn decode(der: &[u8]) -> Option<Self> {
        X509::from_der(der).ok().map(Self)
    }

    /// The subject's first common name, as PostgreSQL's `cert` method takes it. None: there is none, or it
    /// holds a zero byte or text that isn't ASCII or UTF-8.
    pub fn common_name(&self) -> Option<&str> {
        let subject = self.0.tbs_certificate().subject();
        let name = subject.iter().find(|a| a.oid == COMMON_NAME)?;
        let readable = matches!(
            name.value.tag(),
            Tag::Utf8String | Tag::PrintableString | Tag::Ia5String
        );
        let text = std::str::from_utf8(name.value.value()).ok()?;
        (readable && !text.contains('\0')).then_some(text)
    }

    /// It names hosts in the modern way, so that its common name doesn't count as one (RFC 6125).
    pub fn has_alt_names(&self) -> bool {
        let extensions = self.0.tbs_certificate().extensions();
        extensions.is_some_and(|all| all.iter().any(|e| e.extn_id == SUBJECT_ALT_NAME))
    }

    /// `unix_s`: seconds since 1970.
    pub fn is_valid_at(&self, unix_s: u64) -> bool {
        let validity = self.0.tbs_certificate().validity();
        let (first, last) = (
            validity.not_before.to_unix_duration(),
            validity.not_after.to_unix_duration(),
        );
        (first.as_secs()..=last.as_secs()).contains(&unix_s)
    }
}

/// The binding data of `tls-server-end-point` (RFC 5929 §4.1): the certificate's hash by the hash
/// function of its signature, MD5 and SHA-1 replaced by SHA-256. None: the signature has no single hash
/// function (Ed25519, RSASSA-PSS), so that channel binding isn't defined.
pub fn end_point_hash(der: &[u8]) -> Option<Vec<u8>> {
    let certificate = Certificate::decode(der)?;
    let algorithm = certificate.0.signature_algorithm().oid.to_string();
    let hash = match algorithm.as_str() {
        // RSA with MD5, SHA-1, SHA-256; ECDSA with SHA-1, SHA-256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => Sha256::digest(der).to_vec(),
        "1.2.840.113549.1.1.14" | "1.2.840.10045.4.3.1" => Sha224::digest(der).to_vec(),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Sha384::digest(der).to_vec(),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Sha512::digest(der).to_vec(),
        _ => return None,
    };
    Some(hash)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate(algorithm: &'static rcgen::SignatureAlgorithm, common_name: &str) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate_for(algorithm).expect("a key");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn the_end_points_hash_is_that_of_the_signature() {
        for (algorithm, bytes) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, Some(32)),
            (&rcgen::PKCS_ECDSA_P384_SHA384, Some(48)),
            (&rcgen::PKCS_ED25519, None),
        ] {
            let der = certificate(algorithm, "x");
            assert_eq!(end_point_hash(&der).map(|h| h.len()), bytes, "{algorithm:?}");
        }
        let der = certificate(&rcgen::PKCS_ECDSA_P256_SHA256, "x");
        assert_eq!(end_point_hash(&der), Some(Sha256::digest(&der).to_vec()));
        assert_eq!(end_point_hash(b"no certificate"), None);
    }

    #[test]
    fn a_common_name_with_a_zero_byte_is_none() {
        let name = |text| {
            let der = certificate(&rcgen::PKCS_ECDSA_P256_SHA256, text);
            Certificate::decode(&der).and_then(|c| c.common_name().map(str::to_owned))
        };
        assert_eq!(name("alice").as_deref(), Some("alice"));
        assert_eq!(name("Jürgen Groß").as_deref(), Some("Jürgen Groß"));
        assert_eq!(name("alice\0.evil"), None);
    }
}
