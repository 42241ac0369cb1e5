//! `shop seed`: makes the tables and fills them, in INSERTs of many rows each.

mod names;
mod plan;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use tokio_postgres::types::ToSql;

use crate::db::{Db, failed, schema};
use crate::progress::Progress;
use names::KINDS;

/// Rows of one INSERT: few enough for the protocol's limit on parameters at any width.
const BATCH: usize = 250;

type Cell = Box<dyn ToSql + Sync + Send>;

macro_rules! row {
    ($($value:expr),* $(,)?) => { vec![$(Box::new($value) as Cell),*] };
}

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub scale: usize,
    pub seed: u64,
    pub fresh: bool,
}

/// Fills the shop; a shop that is full already stays as it is unless `fresh`.
pub async fn run(db: &Db, options: Options) -> Result<()> {
    if options.fresh {
        schema::drop_all(db)
            .await
            .context("the old tables can't be dropped")?;
    }
    schema::create(db).await.context("the tables can't be created")?;
    if db.count("users").await? > 0 {
        // Page views come last: without them an earlier run was cut short.
        if db.count("page_views").await? == 0 {
            bail!("an earlier seed did not finish; start over with `shop seed --fresh`");
        }
        println!("the shop is already filled; `shop seed --fresh` starts over");
        return Ok(());
    }
    fill(db, plan::plan(options.scale, options.seed, Timestamp::now())).await
}

async fn fill(db: &Db, plan: plan::Plan) -> Result<()> {
    let categories = KINDS.iter().zip(1_i64..);
    let rows = categories
        .map(|(kind, id)| row![id, kind.category, kind.motif, kind.blurb])
        .collect();
    insert(db, "categories", &["id", "name", "motif", "blurb"], rows).await?;

    let stock = plan
        .products
        .iter()
        .map(|p| row![p.id, p.initial_qty, p.qty])
        .collect();
    let rows = plan.products.into_iter().map(|p| {
        row![
            p.id,
            p.category_id,
            p.name,
            p.description,
            p.price_cents,
            p.list_price_cents,
            p.rating_tenths,
            p.review_count,
            p.created_at
        ]
    });
    let columns = [
        "id",
        "category_id",
        "name",
        "description",
        "price_cents",
        "list_price_cents",
        "rating_tenths",
        "review_count",
        "created_at",
    ];
    insert(db, "products", &columns, rows.collect()).await?;
    insert(db, "stock", &["product_id", "initial_qty", "qty"], stock).await?;

    let rows = plan
        .users
        .into_iter()
        .map(|u| row![u.id, u.name, u.email, u.city, u.joined_at])
        .collect();
    insert(db, "users", &["id", "name", "email", "city", "joined_at"], rows).await?;
    let rows = plan.addresses.into_iter();
    let rows = rows
        .map(|a| row![a.id, a.user_id, a.label, a.recipient, a.street, a.city])
        .collect();
    insert(
        db,
        "addresses",
        &["id", "user_id", "label", "recipient", "street", "city"],
        rows,
    )
    .await?;

    let mut orders = Vec::new();
    let mut items = Vec::new();
    let mut payments = Vec::new();
    for o in plan.orders {
        orders.push(row![
            o.user_id,
            o.id,
            o.placed_at,
            o.status,
            o.total_cents,
            o.ship_to
        ]);
        payments.push(row![
            o.user_id,
            o.payment_id,
            o.id,
            o.total_cents,
            o.method,
            o.placed_at
        ]);
        for (id, line) in o.lines {
            items.push(row![
                o.user_id,
                id,
                o.id,
                line.product_id,
                line.name,
                line.qty,
                line.price_cents
            ]);
        }
    }
    insert(
        db,
        "orders",
        &["user_id", "id", "placed_at", "status", "total_cents", "ship_to"],
        orders,
    )
    .await?;
    let columns = [
        "user_id",
        "id",
        "order_id",
        "product_id",
        "product_name",
        "qty",
        "price_cents",
    ];
    insert(db, "order_items", &columns, items).await?;
    let columns = ["user_id", "id", "order_id", "amount_cents", "method", "paid_at"];
    insert(db, "payments", &columns, payments).await?;

    let rows = plan
        .views
        .into_iter()
        .map(|v| row![v.viewed_at, v.id, v.user_id, v.product_id])
        .collect();
    insert(
        db,
        "page_views",
        &["viewed_at", "id", "user_id", "product_id"],
        rows,
    )
    .await
}

async fn insert(db: &Db, table: &str, columns: &[&str], rows: Vec<Vec<Cell>>) -> Result<()> {
    let client = db.client().await?;
    let mut progress = Progress::new();
    let mut written = 0;
    for batch in rows.chunks(BATCH) {
        let sql = statement(table, columns, batch.len());
        let prepared = client.prepare_cached(&sql).await.map_err(|error| failed(&error));
        let prepared = prepared.with_context(|| format!("INSERT INTO {table}"))?;
        let cells: Vec<&(dyn ToSql + Sync)> = batch
            .iter()
            .flatten()
            .map(|cell| &**cell as &(dyn ToSql + Sync))
            .collect();
        let touched = client
            .execute(&prepared, &cells)
            .await
            .map_err(|error| failed(&error));
        let touched = touched.with_context(|| format!("INSERT INTO {table}"))?;
        if touched != batch.len() as u64 {
            bail!(
                "INSERT INTO {table}: {} rows sent, {touched} inserted",
                batch.len()
            );
        }
        written += batch.len();
        if written < rows.len() {
            progress.update(&format!("  {table:<12} {written:>7} of {}", rows.len()));
        }
    }
    progress.done(&format!("  {table:<12} {written:>7} rows"));
    Ok(())
}

fn statement(table: &str, columns: &[&str], rows: usize) -> String {
    let mut sql = format!("INSERT INTO {table} ({}) VALUES ", columns.join(", "));
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns.len() {
            let comma = if column == 0 { "" } else { ", " };
            sql.push_str(&format!("{comma}${}", row * columns.len() + column + 1));
        }
        sql.push(')');
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_insert_of_many_rows_numbers_its_parameters_through() {
        assert_eq!(
            statement("t", &["a", "b"], 2),
            "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4)"
        );
    }

    #[test]
    fn the_widest_batch_stays_within_the_protocols_parameter_limit() {
        let widest = 9;
        assert!(BATCH * widest <= usize::try_from(i16::MAX).expect("positive"));
    }
}
