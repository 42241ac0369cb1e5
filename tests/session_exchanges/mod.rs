//! The corpus of exchanges, how one is played, and how its answer is made comparable.

use bytes::BytesMut;
use margay::wire::postgres::backend::{self, Fields, Message, RowDescription};
use margay::wire::postgres::frame::Frame;
use margay::wire::postgres::frontend::{self, Target};

use crate::session_support::raw::Raw;

pub struct Exchange {
    pub name: String,
    steps: Vec<String>,
    /// Tables on which the answer may differ.
    except: Vec<String>,
}

/// `== name`, then a message per line; `#` begins a comment, `!` names tables where it isn't played.
pub fn read(corpus: &str) -> Vec<Exchange> {
    let mut all: Vec<Exchange> = Vec::new();
    for line in corpus
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        match line.strip_prefix("== ") {
            Some(name) => all.push(Exchange {
                name: name.to_owned(),
                steps: Vec::new(),
                except: Vec::new(),
            }),
            None => {
                let last = all.last_mut().expect("a name comes first");
                match line.strip_prefix("! ") {
                    Some(tables) => last.except.extend(tables.split(' ').map(str::to_owned)),
                    None => last.steps.push(line.to_owned()),
                }
            }
        }
    }
    all
}

impl Exchange {
    /// One that isn't in the corpus.
    #[allow(dead_code)]
    pub fn of(steps: Vec<String>) -> Exchange {
        Exchange {
            name: "random".to_owned(),
            steps,
            except: Vec::new(),
        }
    }

    pub fn is_played_on(&self, table: &str) -> bool {
        !self.except.iter().any(|e| e == table || e == "all")
    }

    /// Sends the messages; after each Q and S the answer up to ReadyForQuery is read.
    pub async fn play(&self, raw: &mut Raw, table: &str) -> Vec<String> {
        let mut told = Vec::new();
        for step in &self.steps {
            let step = step.replace("{t}", table).replace("\\n", "\n");
            let (what, rest) = step.split_once(' ').unwrap_or((&step, ""));
            let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
            let name = |name: &str| {
                if name == "-" {
                    String::new()
                } else {
                    name.to_owned()
                }
            };
            match what {
                // COPY FROM STDIN with its rows, and its end, without waiting for the answer in between.
                "K" => {
                    let copy = format!("COPY {table} FROM STDIN WITH (FORMAT csv)");
                    frontend::query(&mut raw.out, copy.as_bytes());
                    for row in second.split(' ') {
                        frontend::copy_data(&mut raw.out, format!("{row}\n").as_bytes());
                    }
                    if first == "done" {
                        frontend::copy_done(&mut raw.out);
                    } else {
                        frontend::copy_fail(&mut raw.out, b"enough");
                    }
                }
                "Q" => frontend::query(&mut raw.out, rest.as_bytes()),
                "P" => frontend::parse(&mut raw.out, name(first).as_bytes(), second.as_bytes(), []),
                "B" => bind(&mut raw.out, &name(first), second),
                "D" if first == "S" => {
                    frontend::describe(&mut raw.out, Target::Statement, name(second).as_bytes());
                }
                "D" => frontend::describe(&mut raw.out, Target::Portal, name(second).as_bytes()),
                "E" => {
                    let rows = second.parse().unwrap_or(0);
                    frontend::execute(&mut raw.out, name(first).as_bytes(), rows);
                }
                "C" if first == "S" => {
                    frontend::close(&mut raw.out, Target::Statement, name(second).as_bytes());
                }
                "C" => frontend::close(&mut raw.out, Target::Portal, name(second).as_bytes()),
                "H" => frontend::flush(&mut raw.out),
                "QC" => {
                    frontend::query(&mut raw.out, rest.as_bytes());
                    told.extend(raw.until_copy().await.iter().map(line));
                }
                "KT" => frontend::copy_data(&mut raw.out, rest.replace("\\t", "\t").as_bytes()),
                "KB" => frontend::copy_data(&mut raw.out, &bytes_of(rest)),
                "KD" => frontend::copy_done(&mut raw.out),
                "KF" => frontend::copy_fail(&mut raw.out, rest.as_bytes()),
                "S" => frontend::sync(&mut raw.out),
                other => panic!("{}: no message {other}", self.name),
            }
            if matches!(what, "Q" | "K" | "S" | "KD" | "KF") && !step.ends_with(" …") {
                // A ParameterStatus may come at any time: newer servers say all of them at the end.
                let mut answer: Vec<String> = raw.until_ready().await.iter().map(line).collect();
                let ready = answer.pop();
                let (mut statuses, answer): (Vec<_>, Vec<_>) =
                    answer.into_iter().partition(|l| l.starts_with("S "));
                statuses.sort_by(|a, b| {
                    a.split_once('=')
                        .map(|p| p.0)
                        .cmp(&b.split_once('=').map(|p| p.0))
                });
                told.extend(in_any_order(answer));
                told.extend(statuses);
                told.extend(ready);
            }
        }
        told
    }
}

/// Rows of a COPY come in no order; a header stays where it is.
fn in_any_order(mut answer: Vec<String>) -> Vec<String> {
    let is_data = |line: &String| line.starts_with("d ");
    if let (Some(first), Some(last)) = (answer.iter().position(is_data), answer.iter().rposition(is_data)) {
        let rows = if answer[first].starts_with("d id") {
            first + 1
        } else {
            first
        };
        answer[rows..=last].sort_unstable();
    }
    answer
}

/// Hexadecimal digits.
fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let digit = |d: u8| char::from(d).to_digit(16).unwrap_or_default() as u8;
    digits
        .chunks(2)
        .map(|pair| digit(pair[0]) * 16 + digit(pair[1]))
        .collect()
}

/// `portal statement value value …`; `NULL`, `b:` before binary results.
fn bind(out: &mut BytesMut, portal: &str, rest: &str) {
    let mut words = rest.split(' ');
    let statement = words.next().unwrap_or_default();
    let statement = if statement == "-" { "" } else { statement };
    let mut words: Vec<&str> = words.collect();
    let binary = words.first() == Some(&"b:");
    if binary {
        words.remove(0);
    }
    let values = words.iter().map(|w| (*w != "NULL").then_some(w.as_bytes()));
    let formats: &[i16] = if binary { &[1] } else { &[] };
    frontend::bind(out, portal.as_bytes(), statement.as_bytes(), &[], values, formats);
}

/// One frame as text, without what differs from server to server.
fn line(frame: &Frame) -> String {
    let body = frame.body();
    let tag = char::from(frame.tag);
    match frame.tag {
        b'T' => {
            let description = RowDescription::decode(body).expect("valid");
            // Numbers of tables and their columns differ.
            let fields: Vec<String> = description
                .fields()
                .map(|f| {
                    let name = String::from_utf8_lossy(f.name).into_owned();
                    format!("{name}:{}:{}:{}:{}", f.type_oid, f.type_len, f.type_mod, f.format)
                })
                .collect();
            format!("T {}", fields.join(" "))
        }
        b'E' | b'N' => {
            let fields = Fields::decode(body).expect("valid");
            let compared = b"SVCMDHPpqWstcdn";
            let said: Vec<String> = fields
                .iter()
                .filter(|(code, _)| compared.contains(code))
                .map(|(code, text)| format!("{}={}", char::from(code), text_of(text)))
                .collect();
            format!("{tag} {}", said.join(" | "))
        }
        b'S' => match backend::decode(b'S', body) {
            Ok(Message::ParameterStatus { name, value }) => format!("S {}={}", text_of(name), text_of(value)),
            _ => panic!("a ParameterStatus that can't be read"),
        },
        _ => format!("{tag} {}", body.escape_ascii()),
    }
}

/// Margay's own errors have their code behind the text.
fn text_of(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.rfind(" [MG") {
        Some(at) if text.ends_with(']') => text[..at].to_owned(),
        Some(_) | None => text.into_owned(),
    }
}
