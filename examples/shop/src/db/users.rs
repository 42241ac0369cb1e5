//! Domain `user`: people, their addresses, their carts.

use anyhow::Result;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::{Db, Whole};

#[derive(Clone, Debug)]
pub struct User {
    pub id: i64,
    pub name: String,
    pub email: String,
    pub city: String,
    pub joined_at: Timestamp,
}

/// Who is looking at a page, with the number of things in the cart.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub id: i64,
    pub name: String,
    pub in_cart: i64,
}

#[derive(Clone, Debug)]
pub struct Address {
    pub id: i64,
    pub label: String,
    pub recipient: String,
    pub street: String,
    pub city: String,
}

impl Address {
    pub fn line(&self) -> String {
        format!("{}, {}, {}", self.recipient, self.street, self.city)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CartLine {
    pub product_id: i64,
    pub qty: i32,
}

/// What someone just wrote must be on the next page, which another connection may serve: hence `primary`.
const VISITOR: &str = "/* margay: primary */ SELECT u.id, u.name, sum(c.qty) AS in_cart
    FROM users u LEFT JOIN cart_items c ON c.user_id = u.id WHERE u.id = $1 GROUP BY u.id, u.name";

impl Db {
    pub async fn visitor(&self, user_id: i64) -> Result<Option<Visitor>> {
        let row = self.query_opt(VISITOR, &[&user_id]).await?;
        Ok(row.map(|row| Visitor {
            id: row.get(0),
            name: row.get(1),
            in_cart: row.get::<_, Option<Whole>>(2).map_or(0, |sum| sum.0),
        }))
    }

    pub async fn user(&self, user_id: i64) -> Result<Option<User>> {
        let sql = "SELECT id, name, email, city, joined_at FROM users WHERE id = $1";
        Ok(self.query_opt(sql, &[&user_id]).await?.as_ref().map(user))
    }

    pub async fn users(&self, limit: i64, offset: i64) -> Result<Vec<User>> {
        let sql = "SELECT id, name, email, city, joined_at FROM users ORDER BY id LIMIT $1 OFFSET $2";
        Ok(self
            .query(sql, &[&limit, &offset])
            .await?
            .iter()
            .map(user)
            .collect())
    }

    pub async fn user_ids(&self) -> Result<Vec<i64>> {
        let rows = self
            .query("/* margay: primary */ SELECT id FROM users ORDER BY id", &[])
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    pub async fn addresses(&self, user_id: i64) -> Result<Vec<Address>> {
        let sql = "/* margay: primary */ SELECT id, label, recipient, street, city FROM addresses
            WHERE user_id = $1 ORDER BY id";
        let rows = self.query(sql, &[&user_id]).await?;
        Ok(rows
            .iter()
            .map(|row| Address {
                id: row.get(0),
                label: row.get(1),
                recipient: row.get(2),
                street: row.get(3),
                city: row.get(4),
            })
            .collect())
    }

    pub async fn add_address(
        &self,
        user_id: i64,
        label: &str,
        recipient: &str,
        street: &str,
        city: &str,
    ) -> Result<()> {
        let sql = "INSERT INTO addresses (id, user_id, label, recipient, street, city)
            VALUES ($1, $2, $3, $4, $5, $6)";
        let id = self.ids.next(Timestamp::now());
        self.execute(sql, &[&id, &user_id, &label, &recipient, &street, &city])
            .await
            .map(drop)
    }

    pub async fn remove_address(&self, user_id: i64, id: i64) -> Result<()> {
        let sql = "DELETE FROM addresses WHERE user_id = $1 AND id = $2";
        self.execute(sql, &[&user_id, &id]).await.map(drop)
    }

    pub async fn cart(&self, user_id: i64) -> Result<Vec<CartLine>> {
        let sql = "/* margay: primary */ SELECT product_id, qty FROM cart_items
            WHERE user_id = $1 ORDER BY added_at, product_id";
        let rows = self.query(sql, &[&user_id]).await?;
        Ok(rows
            .iter()
            .map(|row| CartLine {
                product_id: row.get(0),
                qty: row.get(1),
            })
            .collect())
    }

    /// Puts more of a product into the cart.
    pub async fn add_to_cart(&self, user_id: i64, product_id: i64, qty: i32) -> Result<()> {
        let sql = "INSERT INTO cart_items (user_id, product_id, qty, added_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (user_id, product_id) DO UPDATE SET qty = cart_items.qty + excluded.qty";
        self.execute(sql, &[&user_id, &product_id, &qty, &Timestamp::now()])
            .await
            .map(drop)
    }

    /// Sets how many of a product are in the cart; none takes it out.
    pub async fn set_in_cart(&self, user_id: i64, product_id: i64, qty: i32) -> Result<()> {
        if qty <= 0 {
            let sql = "DELETE FROM cart_items WHERE user_id = $1 AND product_id = $2";
            return self.execute(sql, &[&user_id, &product_id]).await.map(drop);
        }
        let sql = "UPDATE cart_items SET qty = $3 WHERE user_id = $1 AND product_id = $2";
        self.execute(sql, &[&user_id, &product_id, &qty]).await.map(drop)
    }
}

fn user(row: &Row) -> User {
    User {
        id: row.get(0),
        name: row.get(1),
        email: row.get(2),
        city: row.get(3),
        joined_at: row.get(4),
    }
}
