//! Certificates for tests: a CA, and what it signs. All in a folder that goes with the value.

// Each test program uses a part of this.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

pub struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A CA in a folder of its own, with its certificate as `ca.crt`.
    pub fn new() -> Authority {
        Authority::named("Margay test CA")
    }

    pub fn named(common_name: &str) -> Authority {
        let folder = tempfile::Builder::new()
            .prefix("margay-tls-")
            .tempdir()
            .expect("a folder");
        let mut params = CertificateParams::default();
        params.distinguished_name = named(common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key");
        let own = params.self_signed(&key).expect("a certificate");
        std::fs::write(folder.path().join("ca.crt"), own.pem()).expect("a file");
        let issuer = Issuer::new(params, key);
        Authority { folder, issuer }
    }

    /// Signs a certificate for hosts (names or addresses; none for a client's), as `<file>.crt` and `<file>.key`.
    pub fn sign(&self, file: &str, common_name: &str, hosts: &[&str]) {
        let key = KeyPair::generate().expect("a key");
        let params = certificate(common_name, hosts);
        let own = params.signed_by(&key, &self.issuer).expect("a certificate");
        std::fs::write(self.path(&format!("{file}.crt")), own.pem()).expect("a file");
        private(&self.path(&format!("{file}.key")), &key.serialize_pem());
    }

    /// The same by an algorithm that hashes in its own way. The CA's key decides how the signature is made,
    /// so the certificate signs itself and is a CA of its own.
    pub fn sign_ed25519(&self, file: &str, common_name: &str, hosts: &[&str]) {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        let own = certificate(common_name, hosts)
            .self_signed(&key)
            .expect("a certificate");
        std::fs::write(self.path(&format!("{file}.crt")), own.pem()).expect("a file");
        std::fs::write(self.path("ca.crt"), own.pem()).expect("a file");
        private(&self.path(&format!("{file}.key")), &key.serialize_pem());
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// For rules and connection strings.
    pub fn text(&self, file: &str) -> String {
        self.path(file).display().to_string()
    }

    /// Replaces a file at once, as who renews certificates should.
    pub fn replace(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).expect("a file");
    }
}

/// libpq and PostgreSQL refuse keys that others may read.
fn private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("its owner");
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn certificate(common_name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|h| h.to_string()).collect();
    let mut params = CertificateParams::new(hosts).expect("names");
    params.distinguished_name = named(common_name);
    // Even without names it is to be version 3.
    params.is_ca = IsCa::ExplicitNoCa;
    params
}
