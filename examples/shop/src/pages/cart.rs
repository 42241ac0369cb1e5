//! The cart: what someone means to buy.

use anyhow::Result;
use axum::extract::{Form, State};
use axum::response::{IntoResponse, Redirect};
use maud::{Markup, html};
use serde::Deserialize;

use super::format::{money, plural};
use super::layout::notice;
use super::{AppState, Page, Shop, SignedIn, art};
use crate::db::catalog::Product;

/// More of one thing than this is a typing error.
const MOST: i32 = 99;

#[derive(Debug, Deserialize)]
pub struct LineForm {
    product_id: i64,
    qty: i32,
}

/// A line of the cart with the product it means.
pub struct Line {
    pub product: Product,
    pub qty: i32,
}

pub fn total_cents(lines: &[Line]) -> i64 {
    lines
        .iter()
        .map(|line| i64::from(line.qty) * line.product.price_cents)
        .sum()
}

/// The cart lives with the user and the products in the catalog: two questions, put together here.
pub async fn lines(shop: &Shop, user_id: i64) -> Result<Vec<Line>> {
    let cart = shop.db.cart(user_id).await?;
    let ids: Vec<i64> = cart.iter().map(|line| line.product_id).collect();
    let products = shop.db.products(&ids).await?;
    Ok(cart
        .iter()
        .filter_map(|line| {
            let product = products
                .iter()
                .find(|product| product.id == line.product_id)?
                .clone();
            Some(Line {
                product,
                qty: line.qty,
            })
        })
        .collect())
}

pub async fn cart(State(shop): AppState, signed_in: SignedIn) -> Page {
    let lines = lines(&shop, signed_in.0.id).await?;
    Ok(signed_in.page("Cart", show(&lines, None)).into_response())
}

pub fn show(lines: &[Line], problem: Option<&str>) -> Markup {
    if lines.is_empty() {
        return notice(
            "Your cart is empty",
            "It is light, but it could be lovelier.",
            "/",
            "Find something",
        );
    }
    let pieces: i64 = lines.iter().map(|line| i64::from(line.qty)).sum();
    html! {
        h1 { "Cart" }
        @if let Some(problem) = problem { p.alert role="alert" { (problem) } }
        div.split {
            div.panel.lines {
                @for line in lines { (row(line)) }
            }
            aside.panel.summary {
                h2 { "Summary" }
                dl.sums {
                    div { dt { (plural(pieces, "piece", "pieces")) } dd { (money(total_cents(lines))) } }
                    div { dt { "Shipping" } dd { "Free" } }
                    div.total { dt { "Total" } dd { (money(total_cents(lines))) } }
                }
                a.button.wide href="/checkout" { "Go to checkout" }
                p.faint.small { "Prices include all taxes of the imagination." }
            }
        }
    }
}

fn row(line: &Line) -> Markup {
    let Line { product, qty } = line;
    html! {
        div.line {
            a.line-art href={ "/product/" (product.id) } { (art::product(&product.motif, product.id)) }
            div.line-text {
                a href={ "/product/" (product.id) } { strong { (product.name) } }
                p.faint { (money(product.price_cents)) " each" }
                @if product.qty < *qty { p.stock.gone { "Only " (product.qty) " left" } }
            }
            form.stepper method="post" action="/cart/set" {
                input type="hidden" name="product_id" value=(product.id);
                button name="qty" value=(qty - 1) aria-label="One less" { "−" }
                span { (qty) }
                button name="qty" value=(qty + 1) aria-label="One more" { "+" }
            }
            strong.line-sum { (money(i64::from(*qty) * product.price_cents)) }
            form method="post" action="/cart/set" {
                input type="hidden" name="product_id" value=(product.id);
                button.plain name="qty" value="0" aria-label={ "Remove " (product.name) } { "✕" }
            }
        }
    }
}

pub async fn add(State(shop): AppState, signed_in: SignedIn, Form(form): Form<LineForm>) -> Page {
    if shop.db.product(form.product_id).await?.is_some() {
        shop.db
            .add_to_cart(signed_in.0.id, form.product_id, form.qty.clamp(1, MOST))
            .await?;
    }
    Ok(Redirect::to("/cart").into_response())
}

pub async fn set(State(shop): AppState, signed_in: SignedIn, Form(form): Form<LineForm>) -> Page {
    shop.db
        .set_in_cart(signed_in.0.id, form.product_id, form.qty.clamp(0, MOST))
        .await?;
    Ok(Redirect::to("/cart").into_response())
}
