//! The transaction's time and the session's names as constants in the text, where servers would give
//! values of their own: on several nodes, within a transaction that may use several, and always for names
//! that are not the servers'.

use jiff::tz::TimeZone;

use crate::model::{Code, Fault, KeyType, Value};

use super::super::compile::{FixedSplice, Route, Unfixed};
use super::super::fixed::{self, Fixed, TimeType};
use super::super::splice::Splice;
use super::Binder;

const EPOCH_US: i64 = 946_684_800_000_000;
const DAY_US: i64 = 86_400_000_000;

impl Binder<'_, '_> {
    /// `across`: several servers run the text.
    pub(super) fn fixed_splices(&self, across: bool) -> Result<Vec<Splice>, Fault> {
        for unfixed in &self.compiled.unfixed {
            self.refuse_unfixed(unfixed, across)?;
        }
        let needed = self.compiled.fixed.iter().filter(|f| self.needs(f.what, across));
        let nothing = self
            .compiled
            .nothing
            .iter()
            .map(|at| Ok(Splice::replace(*at, "")));
        needed.map(|f| self.fixed_splice(f)).chain(nothing).collect()
    }

    fn fixed_splice(&self, f: &FixedSplice) -> Result<Splice, Fault> {
        let value = self.fixed_text(f.what)?;
        // A scalar subquery's column gives its name, as the function does.
        let text = match &f.name {
            Some(name) => format!("(SELECT {value} AS \"{name}\")"),
            None => value,
        };
        Ok(Splice::replace(f.at, text))
    }

    /// Has the proxy to give the value of a word of the statement?
    fn needs(&self, what: Fixed, across: bool) -> bool {
        if what == Fixed::Database && self.asks_shell() {
            // The shell has a name of its own, which nobody knows.
            return true;
        }
        let is_name = matches!(what, Fixed::CurrentUser | Fixed::SessionUser | Fixed::Database);
        self.is_ours(what, across) && !(is_name && self.compiled.reads_catalogs)
    }

    fn is_ours(&self, what: Fixed, across: bool) -> bool {
        match what {
            Fixed::Time { .. } => across || self.moment.in_transaction,
            Fixed::StatementTime => across,
            Fixed::CurrentUser | Fixed::SessionUser | Fixed::Database => self.name(what).is_some(),
        }
    }

    /// Has it to give that of a default which the server would evaluate?
    pub(super) fn needs_text(&self, text: &str, across: bool) -> bool {
        fixed::in_text(text)
            .iter()
            .any(|(_, what)| self.is_ours(*what, across))
    }

    fn refuse_unfixed(&self, unfixed: &Unfixed, across: bool) -> Result<(), Fault> {
        match unfixed {
            Unfixed::Word(what, word) if self.needs(*what, across) => Err(Fault::new(
                Code::FUNCTION_ACROSS_NODES,
                format!("{word} at this place would be the server's own, not the transaction's"),
            )
            .hint("Write it as a plain expression of a SELECT list or condition, or pass its value.")),
            Unfixed::Default(column, text) if self.needs_text(text, across) => Err(Fault::new(
                Code::FUNCTION_ACROSS_NODES,
                format!("the default of {column} would be the server's own, not the transaction's"),
            )
            .hint(format!("Name the column and give its value: {text}."))),
            Unfixed::Word(..) | Unfixed::Default(..) => Ok(()),
        }
    }

    fn asks_shell(&self) -> bool {
        matches!(self.compiled.route, Route::Catalogs { .. })
    }

    fn name(&self, what: Fixed) -> Option<&str> {
        let names = &self.view.names;
        match what {
            Fixed::CurrentUser => names.current_user.as_deref(),
            Fixed::SessionUser => names.session_user.as_deref(),
            Fixed::Database if self.asks_shell() => Some(&*self.view.database.name),
            Fixed::Database => names.database.as_deref(),
            Fixed::Time { .. } | Fixed::StatementTime => None,
        }
    }

    fn fixed_text(&self, what: Fixed) -> Result<String, Fault> {
        match what {
            Fixed::Time { ty, precision } => self.time_text(ty, precision, self.moment.now_us),
            Fixed::StatementTime => self.time_text(TimeType::Timestamptz, None, self.moment.statement_us),
            Fixed::CurrentUser | Fixed::SessionUser | Fixed::Database => Ok(format!(
                "{}::pg_catalog.name",
                quoted(self.name(what).unwrap_or_default())
            )),
        }
    }

    /// A default as the server prints it, its words replaced. Only those that are all the proxy's to give
    /// need it: the statement's time means itself on one server.
    pub(super) fn default_text(&self, text: &str) -> Result<String, Fault> {
        let mut out = String::new();
        let mut at = 0;
        for (range, what) in fixed::in_text(text) {
            let known = match what {
                Fixed::Time { .. } | Fixed::StatementTime => true,
                Fixed::CurrentUser | Fixed::SessionUser | Fixed::Database => self.name(what).is_some(),
            };
            out.push_str(text.get(at..range.start).unwrap_or(""));
            if known {
                out.push_str(&self.fixed_text(what)?);
            } else {
                out.push_str(text.get(range.clone()).unwrap_or(""));
            }
            at = range.end;
        }
        out.push_str(text.get(at..).unwrap_or(""));
        Ok(out)
    }

    /// A time as a constant of a type, in the form that every DateStyle reads alike.
    pub(super) fn time_text(&self, ty: TimeType, precision: Option<u8>, us: i64) -> Result<String, Fault> {
        self.once.set(true);
        let text = match ty {
            TimeType::Timestamptz => format!("{}+00", Value::Timestamp(us)),
            TimeType::Timestamp => Value::Timestamp(self.local(us)?.0).to_string(),
            TimeType::Date => Value::Date(self.local(us)?.0.div_euclid(DAY_US) as i32).to_string(),
            TimeType::Time => clock(self.local(us)?.0),
            TimeType::Timetz => {
                let (local, offset) = self.local(us)?;
                let (sign, o) = (if offset < 0 { '-' } else { '+' }, offset.abs());
                format!(
                    "{}{sign}{:02}:{:02}:{:02}",
                    clock(local),
                    o / 3600,
                    o / 60 % 60,
                    o % 60
                )
            }
        };
        let precision = precision.map_or_else(String::new, |p| format!("({p})"));
        Ok(format!("'{text}'::pg_catalog.{}{precision}", ty.sql()))
    }

    /// The transaction's time as a key value.
    pub(super) fn now_value(&self, ty: KeyType) -> Result<Value, Fault> {
        let us = self.moment.now_us;
        Ok(match ty {
            KeyType::Timestamptz => Value::Timestamp(us),
            KeyType::Date => Value::Date(self.local(us)?.0.div_euclid(DAY_US) as i32),
            _ => Value::Timestamp(self.local(us)?.0),
        })
    }

    /// Microseconds of the session's local time, and its offset in seconds.
    fn local(&self, us: i64) -> Result<(i64, i64), Fault> {
        let zone = self.view.time_zone.as_ref().ok_or_else(|| {
            Fault::new(
                Code::FUNCTION_ACROSS_NODES,
                "the local time can't be computed in the session's TimeZone",
            )
            .hint("SET TimeZone to a name like 'Europe/Paris' or 'UTC', or pass the time as a parameter.")
        })?;
        let offset = offset_seconds(us, zone);
        Ok((us.saturating_add(offset * 1_000_000), offset))
    }
}

fn offset_seconds(us: i64, zone: &TimeZone) -> i64 {
    jiff::Timestamp::from_microsecond(us.saturating_add(EPOCH_US))
        .map(|t| i64::from(zone.to_offset(t).seconds()))
        .unwrap_or(0)
}

/// `HH:MM:SS.ffffff` of local microseconds.
fn clock(local_us: i64) -> String {
    let text = Value::Timestamp(local_us).to_string();
    text.split_once(' ')
        .map_or(String::new(), |(_, clock)| clock.to_owned())
}

/// Safe whatever standard_conforming_strings says.
fn quoted(name: &str) -> String {
    let doubled = name.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}
