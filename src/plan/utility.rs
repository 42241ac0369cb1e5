//! Statements that the session carries out itself: transaction control, SET, DEALLOCATE …

use crate::model::{Code, Fault};

use super::command::{Command, Isolation, SetCommand, TxnCommand, TxnModes};
use super::lex;
use super::reader::Reader;

/// Reads a session command. None: it is none.
pub fn read(r: &mut Reader<'_>) -> Result<Option<Command>, Fault> {
    let text: Box<str> = r.sql.trim().into();
    let word = r.text().to_ascii_lowercase();
    r.at += 1;
    Ok(Some(match word.as_str() {
        "" => Command::Empty,
        "begin" => {
            let _ = r.take("work") || r.take("transaction");
            Command::Txn(TxnCommand::Begin {
                modes: modes(r)?,
                tag: "BEGIN",
                text,
            })
        }
        "start" if r.take("transaction") => Command::Txn(TxnCommand::Begin {
            modes: modes(r)?,
            tag: "START TRANSACTION",
            text,
        }),
        "commit" | "end" if !r.is("prepared") => Command::Txn(TxnCommand::Commit { chain: chain(r)? }),
        "rollback" | "abort" if !r.is("prepared") => {
            let _ = r.take("work") || r.take("transaction");
            if r.take("to") {
                r.take("savepoint");
                Command::Txn(TxnCommand::RollbackTo(ident(r)?))
            } else {
                Command::Txn(TxnCommand::Rollback { chain: chain(r)? })
            }
        }
        "savepoint" => Command::Txn(TxnCommand::Savepoint(ident(r)?)),
        "release" => {
            r.take("savepoint");
            Command::Txn(TxnCommand::Release(ident(r)?))
        }
        "commit" | "end" | "rollback" | "abort" => return Err(prepared()),
        "prepare" if r.is("transaction") => return Err(prepared()),
        "set" => return set(r, text).map(Some),
        "reset" => return reset(r, text).map(Some),
        "show" if r.is("margay") => {
            r.take("margay");
            if !r.take_punct('.') {
                return Ok(None);
            }
            Command::ShowMargay(ident(r)?)
        }
        "show" if r.is("session_authorization") || r.is("session") => {
            let said = r.take("session_authorization") || r.take_all(&["session", "authorization"]);
            if !said || !r.done() {
                return Ok(None);
            }
            Command::ShowSessionUser
        }
        "discard" => Command::Discard {
            what: r.rest().to_ascii_lowercase().into(),
        },
        "explain" if r.take("route") => Command::ExplainRoute(with_comments(r).into()),
        "deallocate" => {
            r.take("prepare");
            Command::Deallocate {
                name: if r.take("all") { None } else { Some(ident(r)?) },
            }
        }
        _ => return Ok(None),
    }))
}

/// What follows EXPLAIN ROUTE, with the comments around it if they may hold hints.
fn with_comments(r: &Reader<'_>) -> String {
    let gap = |from: u32, to: u32| r.sql.get(from as usize..to as usize).unwrap_or("");
    let start = r.peek().map_or(r.sql.len() as u32, |t| t.start);
    let (mut before, mut end) = (String::new(), 0);
    for token in &r.tokens[..r.at.min(r.tokens.len())] {
        before += gap(end, token.start);
        end = token.end;
    }
    before += gap(end, start);
    let last = r.tokens.last().map_or(start, |t| t.end);
    let behind = gap(last.max(start), r.sql.len() as u32);
    let hint = |text: &str| text.contains("margay:");
    match (hint(&before), hint(behind)) {
        (false, false) => r.rest().into(),
        (true, false) => format!("{}{}", before.trim_start(), r.rest()),
        (false, true) => format!("{}{}", r.rest(), behind.trim_end()),
        (true, true) => format!("{}{}{}", before.trim_start(), r.rest(), behind.trim_end()),
    }
}

fn prepared() -> Fault {
    Fault::new(
        Code::UNSUPPORTED_STATEMENT,
        "two-phase commit by clients isn't supported: Margay uses it itself",
    )
    .hint("Use COMMIT; a transaction over several nodes is committed in two phases anyway.")
}

fn syntax(r: &Reader<'_>) -> Fault {
    let near = r.text();
    let message = if near.is_empty() {
        "syntax error at end of input".to_string()
    } else {
        format!("syntax error at or near \"{near}\"")
    };
    Fault::new(Code::UNSUPPORTED_STATEMENT, message).sqlstate("42601")
}

fn ident(r: &mut Reader<'_>) -> Result<Box<str>, Fault> {
    r.ident().ok_or_else(|| syntax(r))
}

fn chain(r: &mut Reader<'_>) -> Result<bool, Fault> {
    let _ = r.take("work") || r.take("transaction");
    let chain = if r.take_all(&["and", "chain"]) {
        true
    } else {
        r.take_all(&["and", "no", "chain"]);
        false
    };
    if r.done() { Ok(chain) } else { Err(syntax(r)) }
}

pub fn modes(r: &mut Reader<'_>) -> Result<TxnModes, Fault> {
    let mut out = TxnModes::default();
    while !r.done() {
        if r.take_all(&["isolation", "level"]) {
            out.isolation = Some(if r.take("serializable") {
                Isolation::Serializable
            } else if r.take_all(&["repeatable", "read"]) {
                Isolation::RepeatableRead
            } else if r.take_all(&["read", "committed"]) || r.take_all(&["read", "uncommitted"]) {
                Isolation::ReadCommitted
            } else {
                return Err(syntax(r));
            });
        } else if r.take_all(&["read", "only"]) {
            out.read_only = Some(true);
        } else if r.take_all(&["read", "write"]) {
            out.read_only = Some(false);
        } else if r.take_all(&["not", "deferrable"]) {
            out.deferrable = Some(false);
        } else if r.take("deferrable") {
            out.deferrable = Some(true);
        } else if !r.take_punct(',') {
            return Err(syntax(r));
        }
    }
    Ok(out)
}

fn set(r: &mut Reader<'_>, text: Box<str>) -> Result<Command, Fault> {
    if r.take("transaction") {
        return Ok(Command::Txn(TxnCommand::SetTransaction {
            modes: modes(r)?,
            text,
        }));
    }
    let command = |name: &str, value: &str, local: bool, text: Box<str>| {
        let default = value.eq_ignore_ascii_case("default");
        Command::Set(SetCommand {
            name: name.into(),
            value: (!default).then(|| value.into()),
            local,
            text,
        })
    };
    if r.take_all(&["session", "characteristics", "as", "transaction"]) {
        let modes = modes(r)?;
        // The same as these settings; only one of them is usually given.
        return Ok(match modes {
            TxnModes {
                isolation: None,
                read_only: Some(on),
                deferrable: None,
            } => command(
                "default_transaction_read_only",
                if on { "on" } else { "off" },
                false,
                text,
            ),
            TxnModes {
                isolation: Some(level),
                read_only: None,
                deferrable: None,
            } => {
                let level = match level {
                    Isolation::ReadCommitted => "'read committed'",
                    Isolation::RepeatableRead => "'repeatable read'",
                    Isolation::Serializable => "serializable",
                };
                command("default_transaction_isolation", level, false, text)
            }
            _ => {
                return Err(Fault::new(
                    Code::SESSION_STATE,
                    "set one transaction characteristic at a time",
                )
                .hint("SET default_transaction_isolation = …; SET default_transaction_read_only = …"));
            }
        });
    }
    if r.take("constraints") {
        return Err(Fault::new(Code::SESSION_STATE, "SET CONSTRAINTS isn't supported"));
    }
    let local = r.take("local");
    let session = !local && r.take("session");
    if r.take_all(&["time", "zone"]) {
        let value = if r.is("local") { "DEFAULT" } else { r.rest() };
        return Ok(command("timezone", value, local, text));
    }
    if r.take("names") {
        return Ok(command("client_encoding", r.rest(), local, text));
    }
    if r.take("schema") {
        return Ok(command("search_path", r.rest(), local, text));
    }
    if session && r.take("authorization") || r.take_all(&["session", "authorization"]) {
        return Ok(command("session_authorization", r.rest(), local, text));
    }
    if r.is("role") {
        r.take("role");
        let _ = r.take("to");
        return Ok(command(
            "role",
            r.rest().trim_start_matches(['=', ' ']),
            local,
            text,
        ));
    }
    let mut name = String::from(&*ident(r)?);
    while r.take_punct('.') {
        name.push('.');
        name.push_str(&ident(r)?);
    }
    let equals = r
        .peek()
        .is_some_and(|t| t.kind == lex::Kind::Operator && t.text(r.sql) == "=");
    if equals {
        r.at += 1;
    } else if !r.take("to") {
        return Err(syntax(r));
    }
    if r.done() {
        return Err(syntax(r));
    }
    let name = name.to_ascii_lowercase();
    if name.starts_with("transaction_") {
        return transaction_setting(&name, r, text);
    }
    Ok(command(&name, r.rest(), local, text))
}

/// `SET transaction_read_only = on` and its kin: SET TRANSACTION in other words.
fn transaction_setting(name: &str, r: &Reader<'_>, text: Box<str>) -> Result<Command, Fault> {
    let value = r.rest().trim().trim_matches('\'').to_ascii_lowercase();
    let switch = match value.as_str() {
        "on" | "true" | "yes" | "1" => Some(true),
        "off" | "false" | "no" | "0" => Some(false),
        _ => None,
    };
    let level = match value.as_str() {
        "serializable" => Some(Isolation::Serializable),
        "repeatable read" => Some(Isolation::RepeatableRead),
        "read committed" | "read uncommitted" => Some(Isolation::ReadCommitted),
        _ => None,
    };
    let none = TxnModes::default();
    let modes = match (name, switch, level) {
        ("transaction_read_only", Some(_), _) => TxnModes {
            read_only: switch,
            ..none
        },
        ("transaction_deferrable", Some(_), _) => TxnModes {
            deferrable: switch,
            ..none
        },
        ("transaction_isolation", _, Some(_)) => TxnModes {
            isolation: level,
            ..none
        },
        (_, _, _) => {
            return Err(
                Fault::new(Code::SESSION_STATE, format!("{name} can't be set to {value}"))
                    .hint("Use SET TRANSACTION."),
            );
        }
    };
    Ok(Command::Txn(TxnCommand::SetTransaction { modes, text }))
}

fn reset(r: &mut Reader<'_>, text: Box<str>) -> Result<Command, Fault> {
    let name: Box<str> = if r.take("all") {
        "".into()
    } else if r.take_all(&["time", "zone"]) {
        "timezone".into()
    } else if r.take_all(&["session", "authorization"]) {
        "session_authorization".into()
    } else {
        let mut name = String::from(&*ident(r)?);
        while r.take_punct('.') {
            name.push('.');
            name.push_str(&ident(r)?);
        }
        name.to_ascii_lowercase().into()
    };
    Ok(Command::Set(SetCommand {
        name,
        value: None,
        local: false,
        text,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(sql: &str) -> Command {
        let tokens = lex::tokens(sql, true);
        read(&mut Reader::new(sql, &tokens)).unwrap().unwrap()
    }

    #[test]
    fn transaction_control_is_read() {
        assert!(matches!(command("begin"), Command::Txn(TxnCommand::Begin { .. })));
        let Command::Txn(TxnCommand::Begin { modes, tag, .. }) =
            command("START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        else {
            panic!("not a begin");
        };
        assert_eq!(
            (modes.isolation, modes.read_only, tag),
            (Some(Isolation::RepeatableRead), Some(true), "START TRANSACTION")
        );
        assert!(matches!(
            command("COMMIT AND CHAIN"),
            Command::Txn(TxnCommand::Commit { chain: true })
        ));
        assert!(matches!(
            command("end transaction"),
            Command::Txn(TxnCommand::Commit { chain: false })
        ));
        assert!(
            matches!(command("ROLLBACK TO SAVEPOINT \"A b\""), Command::Txn(TxnCommand::RollbackTo(n)) if &*n == "A b")
        );
    }

    #[test]
    fn explain_route_keeps_the_hints_around_it() {
        let explained = |sql: &str| match command(sql) {
            Command::ExplainRoute(text) => text.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(explained("/* a */ EXPLAIN ROUTE SELECT 1 -- b"), "SELECT 1");
        assert_eq!(
            explained("/* margay: primary */ EXPLAIN ROUTE SELECT 1"),
            "/* margay: primary */   SELECT 1"
        );
        assert_eq!(
            explained("EXPLAIN /* margay: key=1 */ ROUTE SELECT 1 /* margay: primary */"),
            "/* margay: key=1 */  SELECT 1 /* margay: primary */"
        );
    }

    #[test]
    fn the_tag_is_that_of_the_word_used() {
        let tag = |sql: &str| match command(sql) {
            Command::Set(set) => set.tag(),
            other => panic!("{other:?}"),
        };
        for sql in ["SET TIME ZONE LOCAL", "SET x TO DEFAULT", "/* x */ SET a = 1"] {
            assert_eq!(tag(sql), "SET", "{sql}");
        }
        for sql in ["RESET x", "reset all", "RESET TIME ZONE"] {
            assert_eq!(tag(sql), "RESET", "{sql}");
        }
    }

    #[test]
    fn settings_are_read_as_written() {
        let set = |sql: &str| match command(sql) {
            Command::Set(s) => (s.name.to_string(), s.value.map(|v| v.to_string()), s.local),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            set("SET TIME ZONE 'UTC'"),
            ("timezone".into(), Some("'UTC'".into()), false)
        );
        assert_eq!(
            set("set local Search_Path = a, \"B\""),
            ("search_path".into(), Some("a, \"B\"".into()), true)
        );
        assert_eq!(set("SET SESSION x.y TO DEFAULT"), ("x.y".into(), None, false));
        assert_eq!(set("RESET ALL"), (String::new(), None, false));
        assert_eq!(
            set("SET margay.read = 'primary'"),
            ("margay.read".into(), Some("'primary'".into()), false)
        );
    }
}
