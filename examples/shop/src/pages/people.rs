//! Who someone is: choosing a user (without a password: a demo), profile and addresses.

use axum::extract::{Form, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Redirect};
use maud::html;
use serde::Deserialize;

use super::format::{count, day, initials, money};
use super::layout::pager;
use super::{AppState, COOKIE, Looking, Page, SignedIn};

const PER_PAGE: i64 = 24;
const LAST_PAGE: i64 = 10_000;
const LONGEST_FIELD: usize = 80;

#[derive(Debug, Deserialize)]
pub struct ChooseQuery {
    next: Option<String>,
    page: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub struct SignInForm {
    user_id: i64,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct AddressForm {
    label: String,
    recipient: String,
    street: String,
    city: String,
}

#[derive(Debug, Deserialize)]
pub struct RemoveForm {
    id: i64,
}

/// A page of this shop to go on to; anything else leads home.
fn local(next: Option<&str>) -> &str {
    let is_plain = |next: &&str| {
        let mut bytes = next.bytes();
        bytes.next() == Some(b'/')
            && !matches!(bytes.next(), Some(b'/' | b'\\'))
            && next.bytes().all(|byte| byte.is_ascii_graphic())
    };
    next.filter(is_plain).unwrap_or("/")
}

pub async fn choose(State(shop): AppState, looking: Looking, Query(query): Query<ChooseQuery>) -> Page {
    let page = query.page.unwrap_or(1).clamp(1, LAST_PAGE);
    let next = local(query.next.as_deref());
    // One more than shown tells whether there is a next page, without counting.
    let mut users = shop.db.users(PER_PAGE + 1, (page - 1) * PER_PAGE).await?;
    let pages = if users.len() as i64 > PER_PAGE {
        page + 1
    } else {
        page
    };
    users.truncate(PER_PAGE as usize);
    let body = html! {
        h1 { "Who are you today?" }
        p.faint { "This is a demonstration: choose anyone, no password asked." }
        div.people {
            @for user in &users {
                form method="post" action="/signin" {
                    input type="hidden" name="user_id" value=(user.id);
                    input type="hidden" name="next" value=(next);
                    button.who type="submit" {
                        span class={ "avatar tint-" (user.id % 6) } { (initials(&user.name)) }
                        span { strong { (user.name) } span.faint { (user.city) } }
                    }
                }
            }
        }
        (pager(page, pages, |page| format!("/signin?page={page}&next={}", super::layout::encoded(next))))
    };
    Ok(looking.page("Sign in", body).into_response())
}

pub async fn sign_in(State(shop): AppState, Form(form): Form<SignInForm>) -> Page {
    if shop.db.user(form.user_id).await?.is_none() {
        return Ok(Redirect::to("/signin").into_response());
    }
    let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Lax", form.user_id);
    Ok((
        [(header::SET_COOKIE, cookie)],
        Redirect::to(local(form.next.as_deref())),
    )
        .into_response())
}

pub async fn sign_out() -> impl IntoResponse {
    let cookie = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
    ([(header::SET_COOKIE, cookie)], Redirect::to("/"))
}

pub async fn profile(State(shop): AppState, signed_in: SignedIn) -> Page {
    let id = signed_in.0.id;
    let Some(user) = shop.db.user(id).await? else {
        return Ok(Redirect::to("/signin").into_response());
    };
    let addresses = shop.db.addresses(id).await?;
    let (orders, cents) = shop.db.order_sum(id).await?;
    let body = html! {
        section.panel.profile {
            span class={ "avatar big tint-" (user.id % 6) } { (initials(&user.name)) }
            div {
                h1 { (user.name) }
                p.faint { (user.email) " · " (user.city) " · here since " (day(user.joined_at)) }
            }
            dl.figures {
                div { dt { "Orders" } dd { (count(orders)) } }
                div { dt { "Spent" } dd { (money(cents)) } }
            }
            form method="post" action="/signout" { button.button.quiet type="submit" { "Sign out" } }
        }
        section {
            h2 { "Addresses" }
            div.addresses {
                @for address in &addresses {
                    div.panel.address {
                        strong { (address.label) }
                        p { (address.recipient) br; (address.street) br; (address.city) }
                        form method="post" action="/profile/address/remove" {
                            input type="hidden" name="id" value=(address.id);
                            button.plain type="submit" { "Remove" }
                        }
                    }
                }
                form.panel.address.new method="post" action="/profile/address" {
                    strong { "A new one" }
                    @for (name, text) in [("label", "Label, as in Home"), ("recipient", "Recipient"), ("street", "Street and number"), ("city", "City")] {
                        input name=(name) placeholder=(text) aria-label=(text) required maxlength=(LONGEST_FIELD);
                    }
                    button.button.small type="submit" { "Add address" }
                }
            }
        }
    };
    Ok(signed_in.page("Profile", body).into_response())
}

pub async fn add_address(State(shop): AppState, signed_in: SignedIn, Form(form): Form<AddressForm>) -> Page {
    let tidy = |text: &str| {
        text.trim()
            .chars()
            .filter(|c| !c.is_control())
            .take(LONGEST_FIELD)
            .collect::<String>()
    };
    let fields = [&form.label, &form.recipient, &form.street, &form.city].map(|field| tidy(field));
    if fields.iter().all(|field| !field.is_empty()) {
        let [label, recipient, street, city] = &fields;
        shop.db
            .add_address(signed_in.0.id, label, recipient, street, city)
            .await?;
    }
    Ok(Redirect::to("/profile").into_response())
}

pub async fn remove_address(
    State(shop): AppState,
    signed_in: SignedIn,
    Form(form): Form<RemoveForm>,
) -> Page {
    shop.db.remove_address(signed_in.0.id, form.id).await?;
    Ok(Redirect::to("/profile").into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_shop_are_gone_on_to() {
        assert_eq!(local(Some("/cart")), "/cart");
        for elsewhere in [
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "",
            "/a\nb",
        ] {
            assert_eq!(local(Some(elsewhere)), "/", "{elsewhere:?}");
        }
        assert_eq!(local(None), "/");
    }
}
