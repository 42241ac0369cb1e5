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
}

/// All calls that stand plainly in the select list, in their order.
pub(super) fn plain_calls(root: &Root) -> Vec<SetCall> {
    let Root::Query(query) = root else {
        return Vec::new();
    };
    if !query.ctes.is_empty() || query.is_limited() || query.has_order {
        return Vec::new();
    }
    if let Some(call) = of_known_setting(query) {
        return vec![call];
    }
    let Some(items) = plain_items(query) else {
        return Vec::new();
    };
    items.iter().filter_map(set_call).collect()
}

/// `SELECT set_config(name, …) FROM pg_settings WHERE name = '…'`: as pg_dump sets what a server may not know.
fn of_known_setting(query: &Query) -> Option<SetCall> {
    let Body::Select(select) = &query.body else {
        return None;
    };
    let plain = select.group.is_empty()
        && select.having.is_none()
        && !select.into
        && !select.windows
        && !select.odd_group
        && matches!(select.distinct, Distinct::No);
    let is_name = |e: &Expr| matches!(e, Expr::Column(n) if n.last() == "name");
    let (
        [Source::Table(table)],
        [item],
        Some(Expr::Compare {
            op: Compare::Eq,
            left,
            right,
        }),
        true,
    ) = (
        select.from.as_slice(),
        select.items.as_slice(),
        &select.filter,
        plain,
    )
    else {
        return None;
    };
    let call = set_call(item)?;
    let known = table.name.last() == "pg_settings" && is_name(left) && is_name(&call.name);
    known.then(|| SetCall {
        name: (**right).clone(),
        ..call
    })
}

fn plain_items(query: &Query) -> Option<&[Item]> {
    let Body::Select(select) = &query.body else {
        return None;
    };
    let plain = select.from.is_empty()
        && select.filter.is_none()
        && select.group.is_empty()
        && select.having.is_none()
        && !select.into
        && !select.windows
        && !select.odd_group
        && matches!(select.distinct, Distinct::No);
    plain.then_some(&select.items[..])
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
