//! The tables, domain by domain. Foreign keys stay within a domain, and within `trade` they carry
//! user_id, so that each is checked on one shard. Must stay inside the DDL that a sharded database
//! can carry out on every node.

use anyhow::Result;

use super::Db;

/// Children before parents, as DROP needs them.
pub const TABLES: [&str; 10] = [
    "page_views",
    "payments",
    "order_items",
    "orders",
    "cart_items",
    "addresses",
    "users",
    "stock",
    "products",
    "categories",
];

const CREATE: [&str; 15] = [
    // domain catalog
    "CREATE TABLE IF NOT EXISTS categories (
        id bigint PRIMARY KEY,
        name text NOT NULL,
        motif text NOT NULL,
        blurb text NOT NULL)",
    "CREATE TABLE IF NOT EXISTS products (
        id bigint PRIMARY KEY,
        category_id bigint NOT NULL REFERENCES categories (id),
        name text NOT NULL,
        description text NOT NULL,
        price_cents bigint NOT NULL,
        list_price_cents bigint NOT NULL,
        rating_tenths integer NOT NULL,
        review_count integer NOT NULL,
        created_at timestamptz NOT NULL)",
    "CREATE INDEX IF NOT EXISTS products_by_category ON products (category_id, id)",
    "CREATE INDEX IF NOT EXISTS products_by_name ON products (lower(name))",
    "CREATE TABLE IF NOT EXISTS stock (
        product_id bigint PRIMARY KEY REFERENCES products (id),
        initial_qty integer NOT NULL,
        qty integer NOT NULL CHECK (qty >= 0))",
    // domain user
    "CREATE TABLE IF NOT EXISTS users (
        id bigint PRIMARY KEY,
        name text NOT NULL,
        email text NOT NULL,
        city text NOT NULL,
        joined_at timestamptz NOT NULL)",
    "CREATE TABLE IF NOT EXISTS addresses (
        id bigint PRIMARY KEY,
        user_id bigint NOT NULL REFERENCES users (id),
        label text NOT NULL,
        recipient text NOT NULL,
        street text NOT NULL,
        city text NOT NULL)",
    "CREATE INDEX IF NOT EXISTS addresses_by_user ON addresses (user_id, id)",
    "CREATE TABLE IF NOT EXISTS cart_items (
        user_id bigint NOT NULL REFERENCES users (id),
        product_id bigint NOT NULL,
        qty integer NOT NULL CHECK (qty > 0),
        added_at timestamptz NOT NULL,
        PRIMARY KEY (user_id, product_id))",
    // domain trade
    "CREATE TABLE IF NOT EXISTS orders (
        user_id bigint NOT NULL,
        id bigint NOT NULL,
        placed_at timestamptz NOT NULL,
        status text NOT NULL,
        total_cents bigint NOT NULL,
        ship_to text NOT NULL,
        PRIMARY KEY (user_id, id))",
    "CREATE TABLE IF NOT EXISTS order_items (
        user_id bigint NOT NULL,
        id bigint NOT NULL,
        order_id bigint NOT NULL,
        product_id bigint NOT NULL,
        product_name text NOT NULL,
        qty integer NOT NULL,
        price_cents bigint NOT NULL,
        PRIMARY KEY (user_id, id),
        FOREIGN KEY (user_id, order_id) REFERENCES orders (user_id, id))",
    "CREATE INDEX IF NOT EXISTS order_items_by_order ON order_items (user_id, order_id)",
    "CREATE TABLE IF NOT EXISTS payments (
        user_id bigint NOT NULL,
        id bigint NOT NULL,
        order_id bigint NOT NULL,
        amount_cents bigint NOT NULL,
        method text NOT NULL,
        paid_at timestamptz NOT NULL,
        PRIMARY KEY (user_id, id),
        FOREIGN KEY (user_id, order_id) REFERENCES orders (user_id, id))",
    "CREATE INDEX IF NOT EXISTS payments_by_order ON payments (user_id, order_id)",
    "CREATE TABLE IF NOT EXISTS page_views (
        viewed_at timestamptz NOT NULL,
        id bigint NOT NULL,
        user_id bigint,
        product_id bigint NOT NULL,
        PRIMARY KEY (viewed_at, id))",
];

pub async fn create(db: &Db) -> Result<()> {
    for statement in CREATE {
        db.run(statement).await?;
    }
    Ok(())
}

pub async fn drop_all(db: &Db) -> Result<()> {
    for table in TABLES {
        db.run(&format!("DROP TABLE IF EXISTS {table}")).await?;
    }
    Ok(())
}
