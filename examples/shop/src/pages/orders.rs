//! What someone ordered: the history by pages, and one order.

use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use maud::{Markup, html};
use serde::Deserialize;

use super::format::{day, minute, money, plural};
use super::layout::{notice, pager, pages};
use super::{AppState, Looking, Page, SignedIn, art};
use crate::db::trade::{Item, Order};

const PER_PAGE: i64 = 8;

#[derive(Debug, Deserialize)]
pub struct HistoryQuery {
    page: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub struct OrderQuery {
    thanks: Option<u8>,
}

fn status(order: &Order) -> Markup {
    html! { span class={ "status status-" (order.status) } { (order.status) } }
}

pub async fn history(State(shop): AppState, signed_in: SignedIn, Query(query): Query<HistoryQuery>) -> Page {
    let user = signed_in.0.id;
    let (total, cents) = shop.db.order_sum(user).await?;
    if total == 0 {
        let body = notice(
            "No orders yet",
            "The first one is always the nicest.",
            "/",
            "Find something",
        );
        return Ok(signed_in.page("Orders", body).into_response());
    }
    let page = query.page.unwrap_or(1).clamp(1, pages(total, PER_PAGE));
    let orders = shop.db.orders(user, PER_PAGE, (page - 1) * PER_PAGE).await?;
    let items = match (orders.first(), orders.last()) {
        (Some(newest), Some(oldest)) => shop.db.items_between(user, oldest.id, newest.id).await?,
        _ => Vec::new(),
    };
    let body = html! {
        h1 { "Your orders" }
        p.faint { (plural(total, "order", "orders")) " for " (money(cents)) " so far" }
        @for order in &orders {
            @let items: Vec<&Item> = items.iter().filter(|item| item.order_id == order.id).collect();
            a.panel.order href={ "/orders/" (order.id) } {
                div.order-head {
                    div { strong { (day(order.placed_at)) } span.faint { " · No. " (order.id) } }
                    (status(order))
                }
                div.order-body {
                    ul { @for item in &items { li { (item.qty) " × " (item.name) } } }
                    strong.order-sum { (money(order.total_cents)) }
                }
            }
        }
        (pager(page, pages(total, PER_PAGE), |page| format!("/orders?page={page}")))
    };
    Ok(signed_in.page("Orders", body).into_response())
}

pub async fn order(
    State(shop): AppState,
    signed_in: SignedIn,
    Path(id): Path<i64>,
    Query(query): Query<OrderQuery>,
) -> Page {
    let Some((order, items)) = shop.db.order(signed_in.0.id, id).await? else {
        return Ok(Looking(Some(signed_in.0))
            .not_found("You have no such order.")
            .into_response());
    };
    let ids: Vec<i64> = items.iter().map(|item| item.product_id).collect();
    let products = shop.db.products(&ids).await?;
    let motif = |id: i64| {
        products
            .iter()
            .find(|product| product.id == id)
            .map_or("notebook", |product| product.motif.as_str())
    };
    let body = html! {
        nav.crumbs { a href="/orders" { "Orders" } " / " span { "No. " (order.id) } }
        @if query.thanks.is_some() {
            p.alert.good role="status" { strong { "Thank you! " } "Your order is placed and paid. It is on its way from the shelf." }
        }
        div.order-title { h1 { "Order of " (day(order.placed_at)) } (status(&order)) }
        div.split {
            div.panel.lines {
                @for item in &items {
                    div.line {
                        a.line-art href={ "/product/" (item.product_id) } { (art::product(motif(item.product_id), item.product_id)) }
                        div.line-text {
                            a href={ "/product/" (item.product_id) } { strong { (item.name) } }
                            p.faint { (item.qty) " × " (money(item.price_cents)) }
                        }
                        strong.line-sum { (money(i64::from(item.qty) * item.price_cents)) }
                    }
                }
            }
            aside.panel.summary {
                h2 { "Details" }
                dl.sums {
                    div { dt { "Number" } dd { (order.id) } }
                    div { dt { "Placed" } dd { (minute(order.placed_at)) } }
                    div { dt { "Paid by" } dd { (order.method) } }
                    div { dt { "Sent to" } dd { (order.ship_to) } }
                    div.total { dt { "Total" } dd { (money(order.total_cents)) } }
                }
            }
        }
    };
    Ok(signed_in.page("Order", body).into_response())
}
