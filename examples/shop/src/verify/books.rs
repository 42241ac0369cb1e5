//! Do the books balance: stock against sales, payments against orders, items against totals.
//! The rows are read as they are and compared here; where the database can answer by itself too
//! (counts, sums, a join on the sharding key), its answer must be the same.

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use super::Check;
use crate::db::{Db, Whole};

/// (user, order).
type Key = (i64, i64);

#[derive(Debug, Default)]
pub struct Books {
    /// Product → stock it began with, stock it has.
    pub stock: HashMap<i64, (i64, i64)>,
    /// Order → total.
    pub orders: HashMap<Key, i64>,
    /// Order, product, quantity, price.
    pub items: Vec<(Key, i64, i64, i64)>,
    /// Order, amount.
    pub payments: Vec<(Key, i64)>,
    pub users: HashSet<i64>,
}

pub async fn check(db: &Db) -> Result<Vec<Check>> {
    let books = read(db).await?;
    let mut checks = vec![
        books.stock_sold(),
        books.stock_left(),
        books.one_payment_an_order(),
        books.items_make_the_total(),
        books.items_have_orders(),
        books.orders_have_users(),
    ];
    let asked = [
        ("sold quantities by GROUP BY", sold_by_product(db, &books).await),
        ("order and payment sums in SQL", sums(db, &books).await),
        ("orders joined with items in SQL", joined(db, &books).await),
        ("page views by month", views(db).await),
    ];
    checks.extend(
        asked
            .into_iter()
            .map(|(name, answer)| Check::from_answer(name, answer)),
    );
    Ok(checks)
}

async fn read(db: &Db) -> Result<Books> {
    let mut books = Books::default();
    let sql = "/* margay: primary */ SELECT product_id, initial_qty, qty FROM stock";
    for row in db.query(sql, &[]).await? {
        let (initial, left): (i32, i32) = (row.get(1), row.get(2));
        books
            .stock
            .insert(row.get(0), (i64::from(initial), i64::from(left)));
    }
    let sql = "/* margay: primary */ SELECT user_id, id, total_cents FROM orders";
    for row in db.query(sql, &[]).await? {
        books.orders.insert((row.get(0), row.get(1)), row.get(2));
    }
    let sql = "/* margay: primary */ SELECT user_id, order_id, product_id, qty, price_cents FROM order_items";
    for row in db.query(sql, &[]).await? {
        let qty: i32 = row.get(3);
        books
            .items
            .push(((row.get(0), row.get(1)), row.get(2), i64::from(qty), row.get(4)));
    }
    let sql = "/* margay: primary */ SELECT user_id, order_id, amount_cents FROM payments";
    for row in db.query(sql, &[]).await? {
        books.payments.push(((row.get(0), row.get(1)), row.get(2)));
    }
    books.users = db.user_ids().await?.into_iter().collect();
    Ok(books)
}

/// At most three examples, so that a broken check stays readable.
fn examples(wrong: &[String]) -> String {
    let shown = wrong.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
    if wrong.len() > 3 {
        format!("{shown}; and {} more", wrong.len() - 3)
    } else {
        shown
    }
}

fn judged(name: &str, wrong: &[String], fine: String) -> Check {
    if wrong.is_empty() {
        Check::new(name, true, fine)
    } else {
        Check::new(name, false, examples(wrong))
    }
}

impl Books {
    fn sold(&self) -> HashMap<i64, i64> {
        let mut sold = HashMap::new();
        for (_, product, qty, _) in &self.items {
            *sold.entry(*product).or_default() += qty;
        }
        sold
    }

    pub fn stock_sold(&self) -> Check {
        let sold = self.sold();
        let mut wrong = Vec::new();
        for (product, (initial, left)) in &self.stock {
            let missing = initial - left;
            let sold = sold.get(product).copied().unwrap_or(0);
            if missing != sold {
                wrong.push(format!("product {product}: {missing} missing, {sold} sold"));
            }
        }
        let unknown = sold.keys().filter(|product| !self.stock.contains_key(product));
        wrong.extend(unknown.map(|product| format!("product {product} was sold but has no stock row")));
        let pieces: i64 = sold.values().sum();
        let fine = format!("{pieces} pieces of {} products", self.stock.len());
        judged("stock sold equals stock missing", &wrong, fine)
    }

    pub fn stock_left(&self) -> Check {
        let wrong: Vec<String> = self
            .stock
            .iter()
            .filter(|(_, (_, left))| *left < 0)
            .map(|(product, (_, left))| format!("product {product}: {left} left"))
            .collect();
        let gone = self.stock.values().filter(|(_, left)| *left == 0).count();
        judged("no stock below zero", &wrong, format!("{gone} products sold out"))
    }

    pub fn one_payment_an_order(&self) -> Check {
        let mut paid: HashMap<Key, Vec<i64>> = HashMap::new();
        for (key, amount) in &self.payments {
            paid.entry(*key).or_default().push(*amount);
        }
        let mut wrong = Vec::new();
        for (key, total) in &self.orders {
            let amounts = paid.remove(key).unwrap_or_default();
            if amounts != [*total] {
                wrong.push(format!(
                    "order {} of user {}: total {total}, paid {amounts:?}",
                    key.1, key.0
                ));
            }
        }
        wrong.extend(
            paid.keys()
                .map(|(user, order)| format!("payment without order {order} of user {user}")),
        );
        let fine = format!(
            "{} orders, {} cents",
            self.orders.len(),
            self.orders.values().sum::<i64>()
        );
        judged("payments equal orders, one each", &wrong, fine)
    }

    pub fn items_make_the_total(&self) -> Check {
        let mut sums: HashMap<Key, i64> = HashMap::new();
        for (key, _, qty, price) in &self.items {
            *sums.entry(*key).or_default() += qty * price;
        }
        let mut wrong = Vec::new();
        for (key, total) in &self.orders {
            let sum = sums.get(key).copied().unwrap_or(0);
            if sum != *total {
                wrong.push(format!(
                    "order {} of user {}: total {total}, items {sum}",
                    key.1, key.0
                ));
            }
        }
        judged(
            "items make up each order's total",
            &wrong,
            format!("{} items", self.items.len()),
        )
    }

    pub fn items_have_orders(&self) -> Check {
        let orphans = self
            .items
            .iter()
            .filter(|(key, ..)| !self.orders.contains_key(key));
        let wrong: Vec<String> = orphans
            .map(|((user, order), product, ..)| {
                format!("product {product} for order {order} of user {user}, which is not there")
            })
            .collect();
        judged(
            "no item without its order",
            &wrong,
            format!("{} items", self.items.len()),
        )
    }

    pub fn orders_have_users(&self) -> Check {
        let buyers: HashSet<i64> = self.orders.keys().map(|(user, _)| *user).collect();
        let wrong: Vec<String> = buyers
            .difference(&self.users)
            .map(|user| format!("user {user} is not there"))
            .collect();
        judged(
            "every order's user is there",
            &wrong,
            format!("{} of {} users", buyers.len(), self.users.len()),
        )
    }
}

async fn sold_by_product(db: &Db, books: &Books) -> Result<Check> {
    let sql = "/* margay: primary */ SELECT product_id, sum(qty) FROM order_items GROUP BY product_id";
    let rows = db.query(sql, &[]).await?;
    let answered: HashMap<i64, i64> = rows
        .iter()
        .map(|row| (row.get(0), row.get::<_, Whole>(1).0))
        .collect();
    let holds = answered == books.sold() && answered.len() == rows.len();
    Ok(Check::new(
        "sold quantities by GROUP BY",
        holds,
        format!("{} groups", rows.len()),
    ))
}

async fn sums(db: &Db, books: &Books) -> Result<Check> {
    let mut answers = Vec::new();
    for sql in [
        "/* margay: primary */ SELECT count(*), sum(total_cents) FROM orders",
        "/* margay: primary */ SELECT count(*), sum(amount_cents) FROM payments",
    ] {
        let row = db.query_one(sql, &[]).await?;
        answers.push((
            row.get::<_, Whole>(0).0,
            row.get::<_, Option<Whole>>(1).map_or(0, |sum| sum.0),
        ));
    }
    let read = (books.orders.len() as i64, books.orders.values().sum::<i64>());
    let holds = answers.iter().all(|answer| *answer == read);
    let detail = if holds {
        format!("{} rows, {} cents", read.0, read.1)
    } else {
        format!(
            "read {read:?}; orders answered {:?}, payments {:?}",
            answers[0], answers[1]
        )
    };
    Ok(Check::new("order and payment sums in SQL", holds, detail))
}

async fn joined(db: &Db, books: &Books) -> Result<Check> {
    let sql = "/* margay: primary */ SELECT count(*) FROM orders o
        JOIN order_items i ON i.user_id = o.user_id AND i.order_id = o.id";
    let count = db.query_one(sql, &[]).await?.get::<_, Whole>(0).0;
    let holds = count == books.items.len() as i64;
    let detail = format!("{count} joined rows, {} items", books.items.len());
    Ok(Check::new("orders joined with items in SQL", holds, detail))
}

async fn views(db: &Db) -> Result<Check> {
    let sql = "/* margay: primary */ SELECT date_trunc('month', viewed_at), count(*) FROM page_views
        GROUP BY date_trunc('month', viewed_at)";
    let rows = db.query(sql, &[]).await?;
    let by_month: i64 = rows.iter().map(|row| row.get::<_, Whole>(1).0).sum();
    let all = db.count("page_views").await?;
    let detail = format!("{by_month} in {} months, {all} in all", rows.len());
    Ok(Check::new("page views by month", by_month == all, detail))
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    fn balanced() -> Books {
        Books {
            stock: HashMap::from([(1, (10, 7)), (2, (5, 5))]),
            orders: HashMap::from([((9, 100), 500), ((9, 101), 1_000)]),
            items: vec![((9, 100), 1, 1, 500), ((9, 101), 1, 2, 500)],
            payments: vec![((9, 100), 500), ((9, 101), 1_000)],
            users: HashSet::from([9]),
        }
    }

    fn outcomes(books: &Books) -> [Outcome; 6] {
        [
            books.stock_sold().outcome,
            books.stock_left().outcome,
            books.one_payment_an_order().outcome,
            books.items_make_the_total().outcome,
            books.items_have_orders().outcome,
            books.orders_have_users().outcome,
        ]
    }

    #[test]
    fn balanced_books_hold() {
        assert!(
            outcomes(&balanced())
                .iter()
                .all(|outcome| *outcome == Outcome::Holds)
        );
    }

    #[test]
    fn a_lost_item_breaks_stock_and_total() {
        let mut books = balanced();
        books.items.pop();
        assert_eq!(books.stock_sold().outcome, Outcome::Broken);
        assert_eq!(books.items_make_the_total().outcome, Outcome::Broken);
    }

    #[test]
    fn a_double_or_a_missing_or_a_stray_payment_is_seen() {
        let mut books = balanced();
        books.payments.push(((9, 100), 500));
        assert_eq!(books.one_payment_an_order().outcome, Outcome::Broken);
        let mut books = balanced();
        books.payments.pop();
        assert_eq!(books.one_payment_an_order().outcome, Outcome::Broken);
        let mut books = balanced();
        books.payments.push(((9, 102), 1));
        assert_eq!(books.one_payment_an_order().outcome, Outcome::Broken);
    }

    #[test]
    fn an_item_filed_under_another_user_is_an_orphan() {
        let mut books = balanced();
        books.items[0].0 = (8, 100);
        assert_eq!(books.items_have_orders().outcome, Outcome::Broken);
    }

    #[test]
    fn stock_below_zero_and_orders_of_strangers_are_seen() {
        let mut books = balanced();
        books.stock.insert(3, (0, -1));
        books.users.clear();
        assert_eq!(books.stock_left().outcome, Outcome::Broken);
        assert_eq!(books.orders_have_users().outcome, Outcome::Broken);
    }
}
