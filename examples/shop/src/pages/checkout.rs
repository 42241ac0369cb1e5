//! Checkout: where to, paid how, and then one transaction.

use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use maud::html;
use serde::Deserialize;

use super::cart::{self, total_cents};
use super::format::money;
use super::{AppState, Page, SignedIn, art};
use crate::db::checkout::Checkout;

const METHODS: [(&str, &str); 3] = [
    ("Card", "Any card, none charged"),
    ("Wallet", "One tap, no money moves"),
    ("Bank transfer", "Arrives before you send it"),
];

#[derive(Debug, Deserialize)]
pub struct OrderForm {
    address_id: i64,
    method: String,
}

pub async fn form(State(shop): AppState, signed_in: SignedIn) -> Page {
    let lines = cart::lines(&shop, signed_in.0.id).await?;
    if lines.is_empty() {
        return Ok(Redirect::to("/cart").into_response());
    }
    let addresses = shop.db.addresses(signed_in.0.id).await?;
    let body = html! {
        h1 { "Checkout" }
        form.split method="post" action="/checkout" {
            div {
                fieldset.panel {
                    legend { "Send it to" }
                    @if addresses.is_empty() { p { "No address yet: " a href="/profile" { "add one" } "." } }
                    @for (at, address) in addresses.iter().enumerate() {
                        label.choice {
                            input type="radio" name="address_id" value=(address.id) checked[at == 0] required;
                            span { strong { (address.label) } br; (address.line()) }
                        }
                    }
                }
                fieldset.panel {
                    legend { "Pay by" }
                    @for (at, (method, note)) in METHODS.iter().enumerate() {
                        label.choice {
                            input type="radio" name="method" value=(method) checked[at == 0] required;
                            span { strong { (method) } br; span.faint { (note) } }
                        }
                    }
                }
            }
            aside.panel.summary {
                h2 { "Your order" }
                @for line in &lines {
                    div.mini {
                        (art::product(&line.product.motif, line.product.id))
                        span { (line.qty) " × " (line.product.name) }
                        span { (money(i64::from(line.qty) * line.product.price_cents)) }
                    }
                }
                dl.sums { div.total { dt { "Total" } dd { (money(total_cents(&lines))) } } }
                button.button.wide type="submit" disabled[addresses.is_empty()] { "Place the order" }
                p.faint.small { "Cart, stock, order and payment change in one transaction, or not at all." }
            }
        }
    };
    Ok(signed_in.page("Checkout", body).into_response())
}

pub async fn place(State(shop): AppState, signed_in: SignedIn, Form(form): Form<OrderForm>) -> Page {
    let user = signed_in.0.id;
    let addresses = shop.db.addresses(user).await?;
    let address = addresses.iter().find(|address| address.id == form.address_id);
    let method = METHODS
        .iter()
        .map(|(method, _)| *method)
        .find(|method| *method == form.method);
    let (Some(address), Some(method)) = (address, method) else {
        return Ok(Redirect::to("/checkout").into_response());
    };
    match shop.db.checkout(user, &address.line(), method).await? {
        Checkout::Placed { order_id, .. } => {
            Ok(Redirect::to(&format!("/orders/{order_id}?thanks=1")).into_response())
        }
        Checkout::EmptyCart => Ok(Redirect::to("/cart").into_response()),
        Checkout::OutOfStock { name, .. } => {
            let problem = format!(
                "There is not enough of “{name}” left. Nothing was ordered; change the cart and try again."
            );
            let body = cart::show(&cart::lines(&shop, user).await?, Some(&problem));
            Ok((StatusCode::CONFLICT, signed_in.page("Cart", body)).into_response())
        }
    }
}
