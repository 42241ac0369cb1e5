//! Domain `trade`, as a customer reads it: every statement names one user, so one shard answers.

use anyhow::Result;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::{Db, Whole};

#[derive(Clone, Debug)]
pub struct Order {
    pub id: i64,
    pub placed_at: Timestamp,
    pub status: String,
    pub total_cents: i64,
    pub ship_to: String,
    /// How it was paid.
    pub method: String,
}

#[derive(Clone, Debug)]
pub struct Item {
    pub order_id: i64,
    pub product_id: i64,
    pub name: String,
    pub qty: i32,
    pub price_cents: i64,
}

/// Orders with their payment: a join on the sharding key, so it happens within the shard.
const PAID_ORDERS: &str = "o.id, o.placed_at, o.status, o.total_cents, o.ship_to, p.method
    FROM orders o JOIN payments p ON p.user_id = o.user_id AND p.order_id = o.id";
const ITEMS: &str = "SELECT order_id, product_id, product_name, qty, price_cents FROM order_items";

impl Db {
    /// How many orders a user placed and what they cost together.
    pub async fn order_sum(&self, user_id: i64) -> Result<(i64, i64)> {
        let sql = "SELECT count(*), sum(total_cents) FROM orders WHERE user_id = $1";
        let row = self.query_one(sql, &[&user_id]).await?;
        Ok((
            row.get::<_, Whole>(0).0,
            row.get::<_, Option<Whole>>(1).map_or(0, |sum| sum.0),
        ))
    }

    /// A page of a user's orders, newest first: ids ascend with time.
    pub async fn orders(&self, user_id: i64, limit: i64, offset: i64) -> Result<Vec<Order>> {
        let sql = format!(
            "SELECT {PAID_ORDERS} WHERE o.user_id = $1 AND p.user_id = $1 ORDER BY o.id DESC LIMIT $2 OFFSET $3"
        );
        Ok(self
            .query(&sql, &[&user_id, &limit, &offset])
            .await?
            .iter()
            .map(order)
            .collect())
    }

    /// One order. It may have been placed a moment ago on another connection: hence `primary`.
    pub async fn order(&self, user_id: i64, id: i64) -> Result<Option<(Order, Vec<Item>)>> {
        let sql = format!(
            "/* margay: primary */ SELECT {PAID_ORDERS} WHERE o.user_id = $1 AND p.user_id = $1 AND o.id = $2"
        );
        let Some(found) = self.query_opt(&sql, &[&user_id, &id]).await? else {
            return Ok(None);
        };
        let sql = format!("/* margay: primary */ {ITEMS} WHERE user_id = $1 AND order_id = $2 ORDER BY id");
        let rows = self.query(&sql, &[&user_id, &id]).await?;
        Ok(Some((order(&found), rows.iter().map(item).collect())))
    }

    /// The items of all of a user's orders from the first id to the last.
    pub async fn items_between(&self, user_id: i64, first: i64, last: i64) -> Result<Vec<Item>> {
        let sql =
            format!("{ITEMS} WHERE user_id = $1 AND order_id >= $2 AND order_id <= $3 ORDER BY order_id, id");
        Ok(self
            .query(&sql, &[&user_id, &first, &last])
            .await?
            .iter()
            .map(item)
            .collect())
    }
}

fn order(row: &Row) -> Order {
    Order {
        id: row.get(0),
        placed_at: row.get(1),
        status: row.get(2),
        total_cents: row.get(3),
        ship_to: row.get(4),
        method: row.get(5),
    }
}

fn item(row: &Row) -> Item {
    Item {
        order_id: row.get(0),
        product_id: row.get(1),
        name: row.get(2),
        qty: row.get(3),
        price_cents: row.get(4),
    }
}
