//! TLS of listeners and servers: files read, modes and files checked against each other.

use std::sync::Arc;

use super::super::file;
use super::super::tls::{ChannelBinding, ListenerFiles, ListenerTls, ServerFiles, ServerTls, TlsMode, Wrong};
use super::{Check, join};

/// A chain of certificates is a few KiB, a machine's whole trust store some hundred.
const LONGEST_PEM_BYTES: u64 = 4 << 20;

/// Where machines keep the certificates that they trust: Debian, Red Hat, SUSE, Alpine, the BSDs.
const SYSTEM_CA: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

impl Check<'_> {
    /// None: no TLS, or something was reported.
    pub(super) fn listener_tls(
        &mut self,
        written: &file::ListenerTls,
        path: &[&str],
    ) -> Option<Arc<ListenerTls>> {
        let in_sandbox = self.overrides.default_password.is_some();
        if in_sandbox && !self.has_files(&[&written.certificate, &written.key]) {
            // It stands in for secrets that this machine doesn't hold.
            return None;
        }
        let certificate = self.pem(&written.certificate, &join(path, &["certificate"]));
        let key = self.pem(&written.key, &join(path, &["key"]));
        let client_ca = written.client_ca.as_ref();
        let client_ca = client_ca.map(|name| self.pem(name, &join(path, &["client_ca"])));
        let certificate_required = written.client_certificates == Some(file::Demand::Required);
        if written.client_certificates.is_some() && written.client_ca.is_none() {
            self.wrong(
                &join(path, &["client_certificates"]),
                "client certificates are judged by a CA, and none is named",
                "write `client_ca: FILE`",
            );
        }
        let files = ListenerFiles {
            certificate: &certificate?,
            key: &key?,
            client_ca: match &client_ca {
                None => None,
                Some(ca) => Some(ca.as_deref()?),
            },
        };
        let required = written.mode == Some(file::Demand::Required);
        match ListenerTls::new(&files, required, certificate_required) {
            Ok(tls) => Some(Arc::new(tls)),
            Err(wrong) => {
                self.wrong_pem(wrong, path, "client_ca");
                None
            }
        }
    }

    /// TLS to a server. `path`: of the map, or of the URL whose parameters say it.
    pub(super) fn server_tls(&mut self, written: &file::ServerTls, path: &[&str]) -> Option<Arc<ServerTls>> {
        let mode = written.mode.unwrap_or(match written.ca {
            Some(_) => file::TlsMode::VerifyFull,
            None => file::TlsMode::Prefer,
        });
        let mode = match mode {
            file::TlsMode::Disable => {
                if written.ca.is_some() || written.certificate.is_some() || written.key.is_some() {
                    self.wrong(path, "TLS is disabled and has files", "take one of them out");
                }
                return None;
            }
            file::TlsMode::Prefer => TlsMode::Prefer,
            file::TlsMode::Require => TlsMode::Require,
            file::TlsMode::VerifyCa => TlsMode::VerifyCa,
            file::TlsMode::VerifyFull => TlsMode::VerifyFull,
        };
        match (mode, &written.ca) {
            (TlsMode::Prefer, Some(_)) => self.wrong(
                path,
                "mode `prefer` verifies nothing, and a CA is named",
                "write mode `verify-full`, or leave the CA out",
            ),
            (TlsMode::VerifyCa | TlsMode::VerifyFull, None) => self.wrong(
                path,
                "the server is to be verified, and no CA is named",
                "write `ca: FILE`, or `ca: system` for those that the machine trusts (in a URL: `sslrootcert=`)",
            ),
            (TlsMode::Prefer | TlsMode::Require, None) | (_, Some(_)) => {}
        }
        let binding = match written.channel_binding {
            Some(file::ChannelBinding::Disable) => ChannelBinding::Disable,
            Some(file::ChannelBinding::Require) => ChannelBinding::Require,
            Some(file::ChannelBinding::Prefer) | None => ChannelBinding::Prefer,
        };
        if binding == ChannelBinding::Require && mode == TlsMode::Prefer {
            self.wrong(
                path,
                "channel binding is required and TLS is not",
                "write a mode that has TLS always",
            );
        }
        let ca = match written.ca.as_deref() {
            None => None,
            Some("system") => Some(self.system_ca(path)?),
            Some(name) => Some(self.pem(name, &join(path, &["ca"]))?),
        };
        let identity = match (&written.certificate, &written.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => {
                let certificate = self.pem(certificate, &join(path, &["certificate"]));
                let key = self.pem(key, &join(path, &["key"]));
                Some((certificate?, key?))
            }
            (Some(_), None) | (None, Some(_)) => {
                self.wrong(
                    path,
                    "a client certificate and its key go together, and one of them is missing",
                    "name both files",
                );
                None
            }
        };
        match ServerTls::new(mode, binding, ServerFiles { ca, identity }) {
            Ok(tls) => Some(Arc::new(tls)),
            // Reported above, in better words.
            Err(Wrong::Ca(_)) if written.ca.is_none() => None,
            Err(wrong) => {
                self.wrong_pem(wrong, path, "ca");
                None
            }
        }
    }

    fn wrong_pem(&mut self, wrong: Wrong, path: &[&str], ca: &str) {
        let (key, why) = match wrong {
            Wrong::Certificate(why) => ("certificate", why),
            Wrong::Key(why) => ("key", why),
            Wrong::Ca(why) => (ca, why),
        };
        self.wrong(
            &join(path, &[key]),
            format!("the file of `{key}` can't be used: {why}"),
            "name a PEM file, relative to the rules file",
        );
    }

    fn pem(&mut self, name: &str, path: &[&str]) -> Option<Vec<u8>> {
        self.small_file(name, path, LONGEST_PEM_BYTES)
    }

    fn system_ca(&mut self, path: &[&str]) -> Option<Vec<u8>> {
        let found = SYSTEM_CA.iter().find_map(|file| std::fs::read(file).ok());
        if found.is_none() {
            let message = "this machine's trusted certificates were not found";
            self.wrong(path, message, "name their file");
        }
        found
    }

    /// All of them are there, beside one of the rules files.
    fn has_files(&self, names: &[&str]) -> bool {
        names.iter().all(|name| {
            self.files
                .iter()
                .any(|f| f.parent().is_some_and(|p| p.join(name).is_file()))
        })
    }
}
