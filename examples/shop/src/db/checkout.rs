//! Checkout: one transaction over all three domains. Cart, stock, order, items and payment change
//! together or not at all, wherever they live.

use anyhow::{Result, anyhow};
use jiff::Timestamp;
use tokio_postgres::types::ToSql;

use super::users::CartLine;
use super::{Db, failed};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checkout {
    Placed { order_id: i64, total_cents: i64 },
    EmptyCart,
    OutOfStock { product_id: i64, name: String },
}

/// A line of the order to be: what, how many, at which price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub product_id: i64,
    pub name: String,
    pub qty: i32,
    pub price_cents: i64,
}

pub fn total_cents(lines: &[Line]) -> i64 {
    lines
        .iter()
        .map(|line| i64::from(line.qty) * line.price_cents)
        .sum()
}

impl Db {
    /// Buys what is in the cart. Anything but `Placed` leaves the database as it was.
    pub async fn checkout(&self, user_id: i64, ship_to: &str, method: &str) -> Result<Checkout> {
        let mut client = self.client().await?;
        let txn = client.transaction().await.map_err(|error| failed(&error))?;

        // Taking the cart's rows first makes a second checkout of the same cart wait, and find it empty.
        let sql = "DELETE FROM cart_items WHERE user_id = $1 RETURNING product_id, qty";
        let statement = txn.prepare_cached(sql).await.map_err(|error| failed(&error))?;
        let rows = txn
            .query(&statement, &[&user_id])
            .await
            .map_err(|error| failed(&error))?;
        let mut cart: Vec<CartLine> = rows
            .iter()
            .map(|row| CartLine {
                product_id: row.get(0),
                qty: row.get(1),
            })
            .collect();
        if cart.is_empty() {
            txn.rollback().await.map_err(|error| failed(&error))?;
            return Ok(Checkout::EmptyCart);
        }
        // Everyone locks stock in the same order, so no two checkouts can wait for each other.
        cart.sort_unstable_by_key(|line| line.product_id);

        let ids: Vec<i64> = cart.iter().map(|line| line.product_id).collect();
        let sql = "SELECT id, name, price_cents FROM products WHERE id = ANY($1)";
        let statement = txn.prepare_cached(sql).await.map_err(|error| failed(&error))?;
        let products = txn
            .query(&statement, &[&ids])
            .await
            .map_err(|error| failed(&error))?;
        let mut lines = Vec::with_capacity(cart.len());
        for taken in &cart {
            let row = products
                .iter()
                .find(|row| row.get::<_, i64>(0) == taken.product_id)
                .ok_or_else(|| anyhow!("product {} is gone from the catalog", taken.product_id))?;
            lines.push(Line {
                product_id: taken.product_id,
                name: row.get(1),
                qty: taken.qty,
                price_cents: row.get(2),
            });
        }

        let sql = "UPDATE stock SET qty = qty - $2 WHERE product_id = $1 AND qty >= $2";
        let statement = txn.prepare_cached(sql).await.map_err(|error| failed(&error))?;
        for line in &lines {
            let taken = txn
                .execute(&statement, &[&line.product_id, &line.qty])
                .await
                .map_err(|error| failed(&error))?;
            if taken == 0 {
                txn.rollback().await.map_err(|error| failed(&error))?;
                let Line { product_id, name, .. } = line.clone();
                return Ok(Checkout::OutOfStock { product_id, name });
            }
        }

        let now = Timestamp::now();
        let order_id = self.ids.next(now);
        let total = total_cents(&lines);
        let sql = "INSERT INTO orders (user_id, id, placed_at, status, total_cents, ship_to)
            VALUES ($1, $2, $3, $4, $5, $6)";
        let statement = txn.prepare_cached(sql).await.map_err(|error| failed(&error))?;
        let order: [&(dyn ToSql + Sync); 6] = [&user_id, &order_id, &now, &"paid", &total, &ship_to];
        txn.execute(&statement, &order)
            .await
            .map_err(|error| failed(&error))?;

        let sql = insert_items(lines.len());
        let statement = txn.prepare_cached(&sql).await.map_err(|error| failed(&error))?;
        let item_ids: Vec<i64> = lines.iter().map(|_| self.ids.next(now)).collect();
        let mut items: Vec<&(dyn ToSql + Sync)> = Vec::with_capacity(lines.len() * ITEM_COLUMNS);
        for (line, id) in lines.iter().zip(&item_ids) {
            items.extend_from_slice(&[&user_id, id, &order_id, &line.product_id]);
            items.extend_from_slice(&[&line.name, &line.qty, &line.price_cents]);
        }
        txn.execute(&statement, &items)
            .await
            .map_err(|error| failed(&error))?;

        let sql = "INSERT INTO payments (user_id, id, order_id, amount_cents, method, paid_at)
            VALUES ($1, $2, $3, $4, $5, $6)";
        let statement = txn.prepare_cached(sql).await.map_err(|error| failed(&error))?;
        let payment_id = self.ids.next(now);
        let payment: [&(dyn ToSql + Sync); 6] = [&user_id, &payment_id, &order_id, &total, &method, &now];
        txn.execute(&statement, &payment)
            .await
            .map_err(|error| failed(&error))?;

        txn.commit().await.map_err(|error| failed(&error))?;
        Ok(Checkout::Placed {
            order_id,
            total_cents: total,
        })
    }
}

const ITEM_COLUMNS: usize = 7;

/// INSERT for a number of items. The shape depends on the number only, so it is prepared once for each.
fn insert_items(count: usize) -> String {
    let rows: Vec<String> = (0..count)
        .map(|row| {
            let slots: Vec<String> = (1..=ITEM_COLUMNS)
                .map(|column| format!("${}", row * ITEM_COLUMNS + column))
                .collect();
            format!("({})", slots.join(", "))
        })
        .collect();
    let columns = "user_id, id, order_id, product_id, product_name, qty, price_cents";
    format!("INSERT INTO order_items ({columns}) VALUES {}", rows.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_the_sum_of_quantity_times_price() {
        let line = |qty, price_cents| Line {
            product_id: 1,
            name: String::new(),
            qty,
            price_cents,
        };
        assert_eq!(total_cents(&[]), 0);
        assert_eq!(total_cents(&[line(2, 1_999), line(1, 1), line(3, 100)]), 4_299);
        // Beyond 32 bits, as a total in cents may well be.
        assert_eq!(total_cents(&[line(1_000, 9_999_999)]), 9_999_999_000);
    }

    #[test]
    fn every_item_row_has_parameters_of_its_own() {
        let sql = insert_items(2);
        assert!(
            sql.ends_with("($1, $2, $3, $4, $5, $6, $7), ($8, $9, $10, $11, $12, $13, $14)"),
            "{sql}"
        );
    }
}
