//! Category, search and product pages.

use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use maud::{Markup, html};
use serde::Deserialize;

use super::format::{count, plural};
use super::layout::{encoded, grid, notice, pager, pages, price, stars};
use super::{AppState, Looking, Page, art};
use crate::db::catalog::Sort;

const PER_PAGE: i64 = 24;
/// Beyond this, a search is no search any more.
const LONGEST_SEARCH: usize = 100;
const LAST_PAGE: i64 = 10_000;

#[derive(Debug, Deserialize)]
pub struct ListQuery {
    #[serde(default)]
    q: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    page: Option<i64>,
}

impl ListQuery {
    fn page(&self) -> i64 {
        self.page.unwrap_or(1).clamp(1, LAST_PAGE)
    }
}

fn sorting(action: &str, q: Option<&str>, chosen: Sort) -> Markup {
    html! {
        form.sorting action=(action) {
            @if let Some(q) = q { input type="hidden" name="q" value=(q); }
            label { "Sort by "
                select name="sort" onchange="this.form.submit()" {
                    @for sort in Sort::ALL {
                        option value=(sort.word()) selected[sort == chosen] { (sort.label()) }
                    }
                }
            }
            noscript { button.button.small type="submit" { "Sort" } }
        }
    }
}

pub async fn category(
    State(shop): AppState,
    looking: Looking,
    Path(id): Path<i64>,
    Query(query): Query<ListQuery>,
) -> Page {
    let Some(category) = shop.db.category(id).await? else {
        return Ok(looking.not_found("There is no such category.").into_response());
    };
    let (sort, page) = (Sort::from_word(&query.sort), query.page());
    let (total, products) = shop
        .db
        .in_category(id, sort, PER_PAGE, (page - 1) * PER_PAGE)
        .await?;
    let href = |page: i64| format!("/category/{id}?sort={}&page={page}", sort.word());
    let body = html! {
        nav.crumbs { a href="/" { "Home" } " / " span { (category.name) } }
        div.list-head {
            div.list-title {
                (art::motif(&category.motif, category.id))
                div { h1 { (category.name) } p.faint { (category.blurb) " · " (plural(total, "product", "products")) } }
            }
            (sorting(&format!("/category/{id}"), None, sort))
        }
        (grid(&products))
        (pager(page, pages(total, PER_PAGE), href))
    };
    Ok(looking.page(&category.name, body).into_response())
}

pub async fn search(State(shop): AppState, looking: Looking, Query(query): Query<ListQuery>) -> Page {
    let text: String = query
        .q
        .trim()
        .chars()
        .filter(|c| *c != '\0')
        .take(LONGEST_SEARCH)
        .collect();
    let (sort, page) = (Sort::from_word(&query.sort), query.page());
    let (total, products) = shop
        .db
        .search(&text, sort, PER_PAGE, (page - 1) * PER_PAGE)
        .await?;
    let href = |page: i64| format!("/search?q={}&sort={}&page={page}", encoded(&text), sort.word());
    let title = if text.is_empty() {
        "All products".to_owned()
    } else {
        format!("“{text}”")
    };
    let body = html! {
        nav.crumbs { a href="/" { "Home" } " / " span { "Search" } }
        div.list-head {
            div.list-title { div { h1 { (title) } p.faint { (plural(total, "product", "products")) " found" } } }
            (sorting("/search", Some(&text), sort))
        }
        @if products.is_empty() {
            (notice("Nothing by that name", "Try fewer or shorter words: every word must be in the name.", "/", "Browse instead"))
        } @else {
            (grid(&products))
            (pager(page, pages(total, PER_PAGE), href))
        }
    };
    Ok(looking.page_for(&title, &text, body).into_response())
}

pub async fn product(State(shop): AppState, looking: Looking, Path(id): Path<i64>) -> Page {
    let Some(product) = shop.db.product(id).await? else {
        return Ok(looking.not_found("There is no such product.").into_response());
    };
    shop.db
        .record_view(looking.0.as_ref().map(|visitor| visitor.id), id)
        .await?;
    let (_, mut beside) = shop
        .db
        .in_category(product.category_id, Sort::Popular, 5, 0)
        .await?;
    beside.retain(|other| other.id != id);
    beside.truncate(4);
    let body = html! {
        nav.crumbs {
            a href="/" { "Home" } " / "
            a href={ "/category/" (product.category_id) } { (product.category) } " / "
            span { (product.name) }
        }
        article.product {
            div.product-art { (art::product(&product.motif, product.id)) }
            div.product-text {
                h1 { (product.name) }
                (stars(&product))
                (price(&product))
                p.description { (product.description) }
                @if product.qty == 0 {
                    p.stock.gone { "Sold out" }
                } @else {
                    @if product.qty <= 5 { p.stock.few { "Only " (product.qty) " left" } }
                    @else { p.stock { "In stock" } }
                    form.buy method="post" action="/cart/add" {
                        input type="hidden" name="product_id" value=(product.id);
                        label { span.sr { "Quantity" }
                            select name="qty" {
                                @for qty in 1..=product.qty.min(9) { option value=(qty) { (qty) } }
                            }
                        }
                        button.button type="submit" { "Add to cart" }
                    }
                }
                dl.facts {
                    div { dt { "Sold so far" } dd { (count(i64::from(product.sold))) } }
                    div { dt { "Left" } dd { (count(i64::from(product.qty))) } }
                    div { dt { "Article" } dd { (format!("T-{:05}", product.id)) } }
                }
            }
        }
        @if !beside.is_empty() {
            section { h2 { "More " (product.category.to_lowercase()) } (grid(&beside)) }
        }
    };
    Ok(looking.page(&product.name, body).into_response())
}
