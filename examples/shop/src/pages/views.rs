//! Page views by the month, as a chart drawn here; and what was looked at most this month.

use axum::extract::State;
use axum::response::IntoResponse;
use jiff::Timestamp;
use maud::{Markup, PreEscaped, html};

use super::format::{count, month};
use super::{AppState, Looking, Page, art};

const MOST_VIEWED: i64 = 8;

pub async fn months(State(shop): AppState, looking: Looking) -> Page {
    let months = shop.db.views_by_month().await?;
    let now = Timestamp::now();
    let most = shop.db.most_viewed(now, MOST_VIEWED).await?;
    let ids: Vec<i64> = most.iter().map(|(id, _)| *id).collect();
    let products = shop.db.products(&ids).await?;
    let all: i64 = months.iter().map(|(_, views)| views).sum();
    let top = most.first().map_or(1, |(_, views)| *views).max(1);
    let body = html! {
        h1 { "Page views" }
        p.faint { "Every look at a product since January 2026, counted by the month in UTC: " strong { (count(all)) } " in all." }
        section.panel.chart-panel { (chart(&months)) }
        div.split.even {
            section.panel {
                h2 { "Month by month" }
                table.figures-table {
                    thead { tr { th { "Month" } th.number { "Views" } th.number { "Change" } } }
                    tbody {
                        @for (at, (first, views)) in months.iter().enumerate().rev() {
                            tr {
                                td { (month(*first)) }
                                td.number { (count(*views)) }
                                td.number.faint {
                                    @if let Some((_, before)) = at.checked_sub(1).and_then(|at| months.get(at)) {
                                        (change(*before, *views))
                                    }
                                }
                            }
                        }
                    }
                }
            }
            section.panel {
                h2 { "Most viewed in " (month(now)) }
                @if most.is_empty() { p.faint { "Nothing yet." } }
                @for (id, views) in &most {
                    @if let Some(product) = products.iter().find(|product| product.id == *id) {
                        a.ranked href={ "/product/" (id) } {
                            (art::product(&product.motif, product.id))
                            span.ranked-text {
                                span { (product.name) }
                                span.meter { span style={ "width:" (views * 100 / top) "%" } {} }
                            }
                            span.number { (count(*views)) }
                        }
                    }
                }
            }
        }
    };
    Ok(looking.page("Page views", body).into_response())
}

fn change(before: i64, now: i64) -> String {
    if before == 0 {
        return String::new();
    }
    let percent = (now - before) * 100 / before;
    if percent < 0 {
        format!("−{}%", -percent)
    } else {
        format!("+{percent}%")
    }
}

/// The least of 1, 2, 2.5 and 5 times a power of ten of which five steps reach `most`.
fn step(most: i64) -> i64 {
    let mut power = 1;
    loop {
        for step in [power, power * 2, power * 5 / 2, power * 5] {
            if step * 5 >= most && step > 0 {
                return step;
            }
        }
        power *= 10;
    }
}

fn chart(months: &[(Timestamp, i64)]) -> Markup {
    const WIDTH: f64 = 960.0;
    const HEIGHT: f64 = 300.0;
    const LEFT: f64 = 52.0;
    const BOTTOM: f64 = 30.0;
    const TOP: f64 = 22.0;
    let most = months.iter().map(|(_, views)| *views).max().unwrap_or(0).max(1);
    let step = step(most);
    let lines = (most + step - 1) / step;
    let y = |views: i64| HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * views as f64 / (lines * step) as f64;
    let slot = (WIDTH - LEFT) / months.len().max(1) as f64;
    let width = (slot * 0.56).min(56.0);
    let mut svg = String::new();
    for line in 0..=lines {
        let (at, label) = (y(line * step), count(line * step));
        let text = at + 4.0;
        let end = LEFT - 10.0;
        svg.push_str(&format!(
            r#"<path class="rule" d="M{LEFT} {at:.1}H{WIDTH}"/><text class="tick" x="{end}" y="{text:.1}" text-anchor="end">{label}</text>"#
        ));
    }
    for (at, (first, views)) in months.iter().enumerate() {
        let middle = LEFT + slot * (at as f64 + 0.5);
        let (left, right, top, foot) = (
            middle - width / 2.0,
            middle + width / 2.0,
            y(*views),
            HEIGHT - BOTTOM,
        );
        let round = 5.0_f64.min(foot - top);
        let name = month(*first);
        let short = name.split(' ').next().unwrap_or_default().to_owned();
        let last = if at + 1 == months.len() { " bar-now" } else { "" };
        svg.push_str(&format!(
            r#"<g><title>{name}: {all}</title><path class="bar-column{last}" d="M{left:.1} {foot:.1}V{from:.1}q0-{round} {round}-{round}H{to:.1}q{round} 0 {round} {round}V{foot:.1}z"/><text class="value" x="{middle:.1}" y="{over:.1}" text-anchor="middle">{all}</text><text class="tick" x="{middle:.1}" y="{under:.1}" text-anchor="middle">{short}</text></g>"#,
            all = count(*views),
            from = top + round,
            to = right - round,
            over = top - 7.0,
            under = HEIGHT - 9.0,
        ));
    }
    PreEscaped(format!(
        r#"<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Page views by month">{svg}</svg>"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_steps_of_the_axis_reach_the_highest_bar() {
        for most in [1, 3, 7, 10, 99, 2_847, 24_000, 1_000_001] {
            let step = step(most);
            assert!(step * 5 >= most && step > 0, "{most}: {step}");
            assert!((most + step - 1) / step <= 5, "{most}: {step}");
        }
    }

    #[test]
    fn a_chart_of_nothing_and_of_an_empty_month_is_drawn() {
        assert!(chart(&[]).into_string().contains("<svg"));
        assert!(chart(&[(Timestamp::UNIX_EPOCH, 0)]).into_string().contains("Jan"));
    }
}
