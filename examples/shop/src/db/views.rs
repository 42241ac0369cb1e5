//! Page views: written one by one, read by the month.

use anyhow::Result;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::{Db, Whole};

impl Db {
    pub async fn record_view(&self, user_id: Option<i64>, product_id: i64) -> Result<()> {
        let sql = "INSERT INTO page_views (viewed_at, id, user_id, product_id) VALUES ($1, $2, $3, $4)";
        let now = Timestamp::now();
        self.execute(sql, &[&now, &self.ids.next(now), &user_id, &product_id])
            .await
            .map(drop)
    }

    /// Views per month (its first instant in UTC), oldest first. It reads every month's shard.
    pub async fn views_by_month(&self) -> Result<Vec<(Timestamp, i64)>> {
        let sql = "SELECT date_trunc('month', viewed_at), count(*) FROM page_views
            GROUP BY date_trunc('month', viewed_at)";
        let rows = self.query(sql, &[]).await?;
        let mut months: Vec<(Timestamp, i64)> = rows
            .iter()
            .map(|row| (row.get(0), row.get::<_, Whole>(1).0))
            .collect();
        months.sort_unstable();
        Ok(months)
    }

    /// The most viewed products of the month that holds `at`. Both bounds lie in that month, so only
    /// its shard is read.
    pub async fn most_viewed(&self, at: Timestamp, limit: i64) -> Result<Vec<(i64, i64)>> {
        let (first, last) = month_of(at)?;
        let sql = "SELECT product_id, count(*) AS views FROM page_views
            WHERE viewed_at >= $1 AND viewed_at <= $2
            GROUP BY product_id ORDER BY views DESC, product_id LIMIT $3";
        let rows = self.query(sql, &[&first, &last, &limit]).await?;
        Ok(rows
            .iter()
            .map(|row| (row.get(0), row.get::<_, Whole>(1).0))
            .collect())
    }
}

/// The first and the last microsecond, in UTC, of the month that holds `at`.
pub fn month_of(at: Timestamp) -> Result<(Timestamp, Timestamp)> {
    let date: Date = at.to_zoned(TimeZone::UTC).date().first_of_month();
    let first = date.to_zoned(TimeZone::UTC)?.timestamp();
    let next = date.checked_add(1.month())?.to_zoned(TimeZone::UTC)?.timestamp();
    Ok((first, next.checked_sub(1.microsecond())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_ends_a_microsecond_before_the_next_begins() {
        let at: Timestamp = "2026-12-31T23:59:59.5Z".parse().expect("a timestamp");
        let (first, last) = month_of(at).expect("in range");
        assert_eq!(first.to_string(), "2026-12-01T00:00:00Z");
        assert_eq!(last.to_string(), "2026-12-31T23:59:59.999999Z");
    }
}
