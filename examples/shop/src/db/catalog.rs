//! Domain `catalog`: categories, products and how many of each are left.

use anyhow::Result;
use tokio_postgres::Row;

use super::{Db, Whole};

#[derive(Clone, Debug)]
pub struct Category {
    pub id: i64,
    pub name: String,
    /// Which drawing stands for its products.
    pub motif: String,
    pub blurb: String,
}

#[derive(Clone, Debug)]
pub struct Product {
    pub id: i64,
    pub category_id: i64,
    pub category: String,
    pub motif: String,
    pub name: String,
    pub description: String,
    pub price_cents: i64,
    pub list_price_cents: i64,
    pub rating_tenths: i32,
    pub review_count: i32,
    pub qty: i32,
    pub sold: i32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    #[default]
    Popular,
    Cheapest,
    Dearest,
    Rating,
    Name,
}

impl Sort {
    pub const ALL: [Sort; 5] = [
        Sort::Popular,
        Sort::Cheapest,
        Sort::Dearest,
        Sort::Rating,
        Sort::Name,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Sort::Popular => "popular",
            Sort::Cheapest => "cheapest",
            Sort::Dearest => "dearest",
            Sort::Rating => "rating",
            Sort::Name => "name",
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Sort::Popular => "Most popular",
            Sort::Cheapest => "Price, low to high",
            Sort::Dearest => "Price, high to low",
            Sort::Rating => "Best rated",
            Sort::Name => "Name",
        }
    }

    pub fn from_word(word: &str) -> Sort {
        Sort::ALL
            .into_iter()
            .find(|sort| sort.word() == word)
            .unwrap_or_default()
    }

    /// Ends in the id, so that pages neither overlap nor skip.
    fn order_by(self) -> &'static str {
        match self {
            Sort::Popular => "s.initial_qty - s.qty DESC, p.id",
            Sort::Cheapest => "p.price_cents, p.id",
            Sort::Dearest => "p.price_cents DESC, p.id",
            Sort::Rating => "p.rating_tenths DESC, p.review_count DESC, p.id",
            Sort::Name => "p.name, p.id",
        }
    }
}

const COLUMNS: &str = "p.id, p.category_id, c.name, c.motif, p.name, p.description, p.price_cents,
    p.list_price_cents, p.rating_tenths, p.review_count, s.qty, s.initial_qty - s.qty";
const JOINED: &str = "products p JOIN categories c ON c.id = p.category_id
    JOIN stock s ON s.product_id = p.id";

impl Db {
    pub async fn categories(&self) -> Result<Vec<Category>> {
        let rows = self
            .query("SELECT id, name, motif, blurb FROM categories ORDER BY id", &[])
            .await?;
        Ok(rows.iter().map(category).collect())
    }

    pub async fn category(&self, id: i64) -> Result<Option<Category>> {
        let sql = "SELECT id, name, motif, blurb FROM categories WHERE id = $1";
        Ok(self.query_opt(sql, &[&id]).await?.as_ref().map(category))
    }

    pub async fn product(&self, id: i64) -> Result<Option<Product>> {
        let sql = format!("SELECT {COLUMNS} FROM {JOINED} WHERE p.id = $1");
        Ok(self.query_opt(&sql, &[&id]).await?.as_ref().map(product))
    }

    pub async fn products(&self, ids: &[i64]) -> Result<Vec<Product>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!("SELECT {COLUMNS} FROM {JOINED} WHERE p.id = ANY($1)");
        Ok(self.query(&sql, &[&ids]).await?.iter().map(product).collect())
    }

    pub async fn product_ids(&self) -> Result<Vec<i64>> {
        let rows = self
            .query("/* margay: primary */ SELECT id FROM products ORDER BY id", &[])
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    pub async fn featured(&self, sort: Sort, limit: i64) -> Result<Vec<Product>> {
        let order = sort.order_by();
        let sql = format!("SELECT {COLUMNS} FROM {JOINED} WHERE s.qty > 0 ORDER BY {order} LIMIT $1");
        Ok(self.query(&sql, &[&limit]).await?.iter().map(product).collect())
    }

    pub async fn in_category(
        &self,
        id: i64,
        sort: Sort,
        limit: i64,
        offset: i64,
    ) -> Result<(i64, Vec<Product>)> {
        let count = "SELECT count(*) FROM products WHERE category_id = $1";
        let total = self.query_one(count, &[&id]).await?.get::<_, Whole>(0).0;
        let order = sort.order_by();
        let sql = format!(
            "SELECT {COLUMNS} FROM {JOINED} WHERE p.category_id = $1 ORDER BY {order} LIMIT $2 OFFSET $3"
        );
        let rows = self.query(&sql, &[&id, &limit, &offset]).await?;
        Ok((total, rows.iter().map(product).collect()))
    }

    /// Products whose name holds every word of `text`, in any order.
    pub async fn search(
        &self,
        text: &str,
        sort: Sort,
        limit: i64,
        offset: i64,
    ) -> Result<(i64, Vec<Product>)> {
        let patterns = like_patterns(text);
        let words = [&patterns[0], &patterns[1], &patterns[2]];
        let condition = "lower(p.name) LIKE $1 AND lower(p.name) LIKE $2 AND lower(p.name) LIKE $3";
        let count = format!("SELECT count(*) FROM products p WHERE {condition}");
        let total = self
            .query_one(&count, &[words[0], words[1], words[2]])
            .await?
            .get::<_, Whole>(0)
            .0;
        let order = sort.order_by();
        let sql =
            format!("SELECT {COLUMNS} FROM {JOINED} WHERE {condition} ORDER BY {order} LIMIT $4 OFFSET $5");
        let rows = self
            .query(&sql, &[words[0], words[1], words[2], &limit, &offset])
            .await?;
        Ok((total, rows.iter().map(product).collect()))
    }
}

/// Three LIKE patterns, one a word; the third takes what is left, a missing one matches everything.
fn like_patterns(text: &str) -> [String; 3] {
    let lowered = text.to_lowercase();
    let mut words = lowered.split_whitespace();
    let mut pattern = || format!("%{}%", escaped(words.next().unwrap_or_default()));
    let (first, second) = (pattern(), pattern());
    let rest: Vec<&str> = words.collect();
    [first, second, format!("%{}%", escaped(&rest.join(" ")))]
}

fn escaped(word: &str) -> String {
    word.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

fn category(row: &Row) -> Category {
    Category {
        id: row.get(0),
        name: row.get(1),
        motif: row.get(2),
        blurb: row.get(3),
    }
}

fn product(row: &Row) -> Product {
    Product {
        id: row.get(0),
        category_id: row.get(1),
        category: row.get(2),
        motif: row.get(3),
        name: row.get(4),
        description: row.get(5),
        price_cents: row.get(6),
        list_price_cents: row.get(7),
        rating_tenths: row.get(8),
        review_count: row.get(9),
        qty: row.get(10),
        sold: row.get(11),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_words_become_patterns_and_wildcards_are_taken_literally() {
        assert_eq!(like_patterns(" Oak  LAMP "), ["%oak%", "%lamp%", "%%"]);
        assert_eq!(like_patterns("100% a_b c d"), ["%100\\%%", "%a\\_b%", "%c d%"]);
    }

    #[test]
    fn a_sort_is_found_again_by_its_word() {
        for sort in Sort::ALL {
            assert_eq!(Sort::from_word(sort.word()), sort);
        }
        assert_eq!(Sort::from_word("; drop table"), Sort::Popular);
    }
}
