//! Who may connect, and with which secret.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::file::{self, ClientSecret, Named, ServerSecret};
use super::super::problem::suggest;
use super::super::snapshot::{Login, Secret, User};
use super::super::tls::ListenerTls;
use super::{Check, first_of, join};

impl Check<'_> {
    pub(super) fn users(
        &mut self,
        users: &[file::User],
        databases: &Named<file::Database>,
    ) -> Vec<Arc<User>> {
        if users.is_empty() {
            self.wrong(
                &["users"],
                "there are no users: nobody could connect",
                "write `users: [{name: app, password: {env: APP_PASSWORD}}]`",
            );
        }
        let mut seen: HashMap<&str, String> = HashMap::new();
        let mut all = Vec::with_capacity(users.len());
        for (i, user) in users.iter().enumerate() {
            let index = i.to_string();
            let path = ["users", index.as_str()];
            if user.name.is_empty() || user.name.len() > 63 || user.name.contains('\0') {
                self.wrong(
                    &join(&path, &["name"]),
                    "a user's name has 1 to 63 bytes",
                    "write another name",
                );
            }
            let here = index.clone();
            if let Some(first) = first_of(&mut seen, user.name.as_str(), here) {
                let place = self.place_text(self.value_pos(&["users", first, "name"]));
                let message = format!("the user `{}` is here twice: first at {place}", user.name);
                self.wrong(&join(&path, &["name"]), message, "keep one of them");
            }
            for (k, database) in user.databases.iter().flatten().enumerate() {
                let names = self.database_names(databases);
                if !names.contains(database) {
                    let fix = suggest(database, names.iter().map(String::as_str));
                    let k = k.to_string();
                    self.wrong(
                        &join(&path, &["databases", &k]),
                        format!("there is no database `{database}`"),
                        fix,
                    );
                }
            }
            all.push(Arc::new(User {
                name: user.name.as_str().into(),
                secret: self.client_secret(user, &path),
                databases: user
                    .databases
                    .as_ref()
                    .map(|d| d.iter().map(|d| d.as_str().into()).collect()),
                admin: user.admin.unwrap_or(false),
                certificate: user.certificate.unwrap_or(false),
                login: self.server_login(user, &path),
            }));
        }
        all
    }

    /// Names of databases, broken ones included.
    fn database_names(&self, databases: &Named<file::Database>) -> Vec<String> {
        match self.original.get("databases") {
            Some(written) => written.entries().iter().map(|e| e.key.clone()).collect(),
            None => databases.iter().map(|(n, _)| n.to_owned()).collect(),
        }
    }

    /// As whom the user reaches the servers.
    fn server_login(&mut self, user: &file::User, path: &[&str]) -> Option<Arc<Login>> {
        let written = user.servers.as_ref()?;
        // A sandbox has no roles but its own.
        if self.overrides.default_password.is_some() {
            return None;
        }
        let path = join(path, &["servers"]);
        if written.user.is_empty() || written.user.len() > 63 || written.user.contains('\0') {
            self.wrong(
                &join(&path, &["user"]),
                "a role's name has 1 to 63 bytes",
                "write another name",
            );
        }
        let path = join(&path, &["password"]);
        let password = written.password.as_ref().and_then(|secret| match secret {
            ServerSecret::Plain(text) => Some(text.clone()),
            ServerSecret::Env(name) => self.secret_env(name, &path),
            ServerSecret::File(name) => self.secret_file(name, &path),
        });
        Some(Arc::new(Login {
            user: written.user.as_str().into(),
            password: password.map(Into::into),
        }))
    }

    /// `certificate: true` needs a listener that asks clients for one.
    pub(super) fn certificates_can_be_asked_for(&mut self, users: &[file::User], tls: Option<&ListenerTls>) {
        if tls.is_some_and(|tls| tls.verifies_clients) || self.overrides.default_password.is_some() {
            return;
        }
        for (i, _) in users
            .iter()
            .enumerate()
            .filter(|(_, u)| u.certificate == Some(true))
        {
            self.wrong(
                &["users", &i.to_string(), "certificate"],
                "no client is asked for a certificate: the user could not connect",
                "write `listen: {postgres: {address: …, tls: {certificate: …, key: …, client_ca: FILE}}}`",
            );
        }
    }

    fn client_secret(&mut self, user: &file::User, path: &[&str]) -> Secret {
        let trust = user.trust.unwrap_or(false);
        let whole = path;
        let path = join(path, &["password"]);
        let Some(secret) = &user.password else {
            // The certificate is proof enough, as with PostgreSQL's `cert` method.
            if !trust && user.certificate != Some(true) {
                let message = format!("the user `{}` has no password", user.name);
                self.wrong(
                    whole,
                    message,
                    "write `password: {env: NAME}`, or `trust: true` to let the user in without one",
                );
            }
            return Secret::Trust;
        };
        if trust {
            self.wrong(
                &path,
                format!("the user `{}` has a password and `trust: true`", user.name),
                "leave one of them out",
            );
        }
        let spare = self.overrides.default_password.clone();
        let password = match secret {
            ClientSecret::Plain(text) => Some(text.clone()),
            ClientSecret::Env(name) => match (spare, (self.env)(name)) {
                (Some(spare), None) => Some(spare),
                _ => self.secret_env(name, &path),
            },
            ClientSecret::File(name) => match spare {
                // A sandbox stands in for secrets that this machine doesn't hold.
                Some(spare)
                    if !self
                        .files
                        .iter()
                        .any(|f| f.parent().is_some_and(|p| p.join(name).is_file())) =>
                {
                    Some(spare)
                }
                _ => self.secret_file(name, &path),
            },
            ClientSecret::Scram(verifier) => {
                if !is_verifier(verifier) {
                    let fix = "write `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, as pg_authid.rolpassword has it";
                    self.wrong(&join(&path, &["scram"]), "this is no SCRAM verifier", fix);
                }
                return Secret::Scram(verifier.as_str().into());
            }
        };
        let password = password.unwrap_or_else(|| "-".to_owned());
        if password.is_empty() {
            self.wrong(
                &path,
                format!("the password of the user `{}` is empty", user.name),
                "give it a password",
            );
        }
        Secret::Password(password.into())
    }
}

/// The form of PostgreSQL's verifiers; the keys are SHA-256 hashes in base64.
fn is_verifier(text: &str) -> bool {
    use base64::Engine;
    let base64 = |t: &str| base64::engine::general_purpose::STANDARD.decode(t).ok();
    let Some(rest) = text.strip_prefix("SCRAM-SHA-256$") else {
        return false;
    };
    let Some((start, keys)) = rest.split_once('$') else {
        return false;
    };
    let Some((iterations, salt)) = start.split_once(':') else {
        return false;
    };
    let Some((stored, server)) = keys.split_once(':') else {
        return false;
    };
    iterations.parse::<u32>().is_ok_and(|i| i > 0)
        && base64(salt).is_some_and(|s| !s.is_empty())
        && [stored, server]
            .iter()
            .all(|k| base64(k).is_some_and(|k| k.len() == 32))
}
