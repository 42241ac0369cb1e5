//! `set_config()` as drivers and applications write it: in the select list of a query that reads no
//! table, so that it runs exactly once. Then what it sets is known before it runs, and the session
//! can take it over as it does with SET.

use crate::model::{Code, Fault, KeyType, Value};

use super::query::{Body, Call, Compare, Distinct, Expr, Item, Query, Root, Source};
use super::types::SetConfig;
use super::value::{Constants, Key};

/// The arguments of one call, to be read when their values are known.
#[derive(Clone, Debug)]
pub(super) struct SetCall {
    name: Expr,
    value: Expr,
    local: Expr,
    /// It is called only where the server has such a setting (`… FROM pg_settings WHERE name = '…'`).
    pub if_rows: bool,
}

/// All calls that stand plainly in the select list, in their order.
pub(super) fn plain_calls(root: &Root) -> Vec<SetCall> {
    let Root::Query(query) = root else {
        return Vec::new();
    };
    if !query.ctes.is_empty() || query.is_limited() || query.has_order {
        return Vec::new();
    }
    let Some((items, known)) = plain_items(query) else {
        return Vec::new();
    };
    let named = |mut call: SetCall| match known {
        None => Some(call),
        Some(known) => {
            let is_name = matches!(&call.name, Expr::Column(name) if name.last() == "name");
            call.name = is_name.then(|| known.clone())?;
            call.if_rows = true;
            Some(call)
        }
    };
    items.iter().filter_map(set_call).filter_map(named).collect()
}

/// `FROM pg_settings WHERE name = 'constant'`: one row, or none.
fn of_setting<'q>(from: &[Source], filter: Option<&'q Expr>) -> Option<&'q Expr> {
    let [Source::Table(table)] = from else { return None };
    let own = match table.name.parts.as_slice() {
        [only] => &**only == "pg_settings",
        [schema, only] => &**schema == "pg_catalog" && &**only == "pg_settings",
        _ => false,
    };
    match filter? {
        Expr::Compare {
            op: Compare::Eq,
            left,
            right,
        } if own && matches!(&**left, Expr::Column(name) if name.last() == "name") => {
            super::value::is_constant(right).then_some(&**right)
        }
        _ => None,
    }
}

fn plain_items(query: &Query) -> Option<(&[Item], Option<&Expr>)> {
    let Body::Select(select) = &query.body else {
        return None;
    };
    let setting = of_setting(&select.from, select.filter.as_ref());
    let plain = (select.from.is_empty() && select.filter.is_none() || setting.is_some())
        && select.group.is_empty()
        && select.having.is_none()
        && !select.into
        && !select.windows
        && !select.odd_group
        && matches!(select.distinct, Distinct::No);
    plain.then_some((&select.items[..], setting))
}

fn set_call(item: &Item) -> Option<SetCall> {
    let Item::Expr { expr, .. } = item else {
        return None;
    };
    let mut expr = expr;
    while let Expr::Cast { expr: inner, .. } = expr {
        expr = inner;
    }
    let Expr::Call(call) = expr else { return None };
    let Call {
        name,
        args,
        filter: None,
        over: None,
        odd: false,
        distinct: false,
        star: false,
        ..
    } = &**call
    else {
        return None;
    };
    let own = match name.parts.as_slice() {
        [only] => &**only == "set_config",
        [schema, only] => &**schema == "pg_catalog" && &**only == "set_config",
        _ => false,
    };
    match args.as_slice() {
        [name, value, local] if own => Some(SetCall {
            name: name.clone(),
            value: value.clone(),
            local: local.clone(),
            if_rows: false,
        }),
        _ => None,
    }
}

impl SetCall {
    pub fn read(&self, constants: &Constants<'_>) -> Result<SetConfig, Fault> {
        let name = text(&self.name, constants).flatten().ok_or_else(unread)?;
        let value = text(&self.value, constants).ok_or_else(unread)?;
        let local = match constants.key(&self.local, KeyType::Bool) {
            Key::Known(Value::Bool(local)) => local,
            Key::Known(_) | Key::Null | Key::Nothing | Key::Unknown => return Err(unread()),
        };
        let name = name.to_ascii_lowercase();
        if name.starts_with("margay.") || name.starts_with("transaction_") {
            return Err(
                Fault::new(Code::SESSION_STATE, format!("set_config() can't set {name}"))
                    .hint("Use SET, or SET TRANSACTION."),
            );
        }
        Ok(SetConfig {
            name: name.into(),
            value: value.map(Into::into),
            local,
            if_rows: self.if_rows,
        })
    }
}

/// None: it can't be read. Some(None): NULL.
fn text(expr: &Expr, constants: &Constants<'_>) -> Option<Option<String>> {
    match constants.key(expr, KeyType::Text) {
        Key::Known(Value::Text(bytes)) => String::from_utf8(bytes.into_vec()).ok().map(Some),
        Key::Null => Some(None),
        Key::Known(_) | Key::Nothing | Key::Unknown => None,
    }
}

fn unread() -> Fault {
    Fault::new(
        Code::SESSION_STATE,
        "the arguments of set_config() must be constants or text parameters",
    )
    .hint("Use SET, or write the arguments as plain constants.")
}
