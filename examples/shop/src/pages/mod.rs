//! The pages: routes, who is looking, and what happens when something goes wrong. Every page is made
//! on the server; nothing is fetched from elsewhere.

mod art;
mod cart;
mod catalog;
mod checkout;
mod format;
mod home;
mod layout;
mod operator;
mod orders;
mod people;
mod views;

use std::future::Future;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::{Markup, html};
use tokio::net::TcpListener;

use crate::db::Db;
use crate::db::users::Visitor;

/// Names the user who is signed in: a demo without passwords.
const COOKIE: &str = "shop_user";

#[derive(Debug)]
pub struct Shop {
    db: Arc<Db>,
    operator: operator::Memory,
}

type AppState = State<Arc<Shop>>;

/// Serves until `stop` is done.
pub async fn serve(listener: TcpListener, db: Arc<Db>, stop: impl Future<Output = ()>) -> Result<()> {
    let shop = Arc::new(Shop {
        db,
        operator: operator::Memory::default(),
    });
    tokio::select! {
        served = async { axum::serve(listener, router(shop)).await } => served.context("the web server stopped"),
        () = stop => Ok(()),
    }
}

fn router(shop: Arc<Shop>) -> Router {
    Router::new()
        .route("/", get(home::home))
        .route("/category/{id}", get(catalog::category))
        .route("/search", get(catalog::search))
        .route("/product/{id}", get(catalog::product))
        .route("/cart", get(cart::cart))
        .route("/cart/add", post(cart::add))
        .route("/cart/set", post(cart::set))
        .route("/checkout", get(checkout::form).post(checkout::place))
        .route("/orders", get(orders::history))
        .route("/orders/{id}", get(orders::order))
        .route("/profile", get(people::profile))
        .route("/profile/address", post(people::add_address))
        .route("/profile/address/remove", post(people::remove_address))
        .route("/signin", get(people::choose).post(people::sign_in))
        .route("/signout", post(people::sign_out))
        .route("/views", get(views::months))
        .route("/operator", get(operator::page))
        .route("/operator/now", get(operator::fragment))
        .route("/style.css", get(style))
        .route("/favicon.svg", get(favicon))
        .fallback(missing)
        .with_state(shop)
}

async fn style() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
        include_str!("../style.css"),
    )
}

async fn favicon() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "image/svg+xml")], layout::LOGO)
}

async fn missing(looking: Looking) -> Response {
    looking.not_found("There is no such page.").into_response()
}

/// Who is looking, read from the cookie and the database; None: not signed in.
pub struct Looking(pub Option<Visitor>);

impl Looking {
    fn page(&self, title: &str, body: Markup) -> Markup {
        layout::page(title, self.0.as_ref(), "", body)
    }

    fn page_for(&self, title: &str, search: &str, body: Markup) -> Markup {
        layout::page(title, self.0.as_ref(), search, body)
    }

    fn not_found(&self, what: &str) -> (StatusCode, Markup) {
        let body = layout::notice("Nothing here", what, "/", "Back to the shop");
        (StatusCode::NOT_FOUND, self.page("Not found", body))
    }
}

impl FromRequestParts<Arc<Shop>> for Looking {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, shop: &Arc<Shop>) -> Result<Looking, Failure> {
        let cookies = parts.headers.get_all(header::COOKIE).iter();
        let id = cookies
            .filter_map(|value| value.to_str().ok())
            .find_map(user_in_cookie);
        match id {
            Some(id) => Ok(Looking(shop.db.visitor(id).await?)),
            None => Ok(Looking(None)),
        }
    }
}

fn user_in_cookie(header: &str) -> Option<i64> {
    header
        .split(';')
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('=')?.parse().ok())
}

/// Someone who is signed in; others are sent to sign in first.
pub struct SignedIn(pub Visitor);

impl FromRequestParts<Arc<Shop>> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shop: &Arc<Shop>) -> Result<SignedIn, Response> {
        let looking = Looking::from_request_parts(parts, shop)
            .await
            .map_err(IntoResponse::into_response)?;
        match looking.0 {
            Some(visitor) => Ok(SignedIn(visitor)),
            None => {
                // Only a page can be come back to, not a form that was sent.
                let back = if parts.method == axum::http::Method::GET {
                    parts.uri.path()
                } else {
                    "/"
                };
                let back: String = back.chars().filter(char::is_ascii).collect();
                Err(Redirect::to(&format!("/signin?next={back}")).into_response())
            }
        }
    }
}

impl SignedIn {
    fn page(&self, title: &str, body: Markup) -> Markup {
        layout::page(title, Some(&self.0), "", body)
    }
}

/// What went wrong behind a page, as a page.
#[derive(Debug)]
pub struct Failure(anyhow::Error);

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let why = format!("{:#}", self.0);
        eprintln!("page: {why}");
        let body = html! {
            section.notice {
                h1 { "The shop could not answer" }
                p { "Its database said:" }
                pre.error { (why) }
                a.button href="/" { "Back to the shop" }
            }
        };
        (
            StatusCode::SERVICE_UNAVAILABLE,
            layout::page("Sorry", None, "", body),
        )
            .into_response()
    }
}

type Page = Result<Response, Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_found_among_other_cookies() {
        assert_eq!(user_in_cookie("a=1; shop_user=42; b=2"), Some(42));
        assert_eq!(user_in_cookie("shop_user=x"), None);
        assert_eq!(user_in_cookie("my_shop_user=42"), None);
    }
}
