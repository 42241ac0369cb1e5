//! What all pages share: head, bar on top, foot, and the small parts that recur.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::art;
use super::format::{count, initials, money};
use crate::db::catalog::Product;
use crate::db::users::Visitor;

pub const NAME: &str = "Treetop";

/// A margay's face between two leaves.
pub const LOGO: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40"><rect width="40" height="40" rx="11" fill="#1f5d46"/><path d="M9 9l8 5h6l8-5 1 12c0 7-5 11-12 11S8 28 8 21z" fill="#f2b04a"/><path d="M17 14l3 5 3-5zM9.500 18l4 1.500M30.500 18l-4 1.500M10 23l3.500-.3M30 23l-3.500-.3" stroke="#7a4a12" stroke-width="1.600" fill="#7a4a12"/><ellipse cx="15.500" cy="21.500" rx="2.300" ry="2.700" fill="#2a2118"/><ellipse cx="24.500" cy="21.500" rx="2.300" ry="2.700" fill="#2a2118"/><circle cx="16.200" cy="20.700" r=".8" fill="#fff"/><circle cx="25.200" cy="20.700" r=".8" fill="#fff"/><path d="M18.300 26h3.400L20 28z" fill="#7a4a12"/></svg>"##;

const CART: &str = r#"<svg viewBox="0 0 24 24" class="icon" aria-hidden="true"><path d="M3 4h2.500l2.300 11h10l2.200-8H6.400" fill="none" stroke="currentColor" stroke-width="1.900" stroke-linecap="round" stroke-linejoin="round"/><circle cx="9.500" cy="19.500" r="1.600" fill="currentColor"/><circle cx="16.500" cy="19.500" r="1.600" fill="currentColor"/></svg>"#;
const LENS: &str = r#"<svg viewBox="0 0 24 24" class="icon" aria-hidden="true"><circle cx="10.500" cy="10.500" r="6.500" fill="none" stroke="currentColor" stroke-width="2"/><path d="M15.500 15.500L21 21" stroke="currentColor" stroke-width="2" stroke-linecap="round"/></svg>"#;

pub fn page(title: &str, visitor: Option<&Visitor>, search: &str, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · " (NAME) }
                link rel="icon" href="/favicon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/style.css";
            }
            body {
                (bar(visitor, search))
                main.wrap { (body) }
                (foot())
            }
        }
    }
}

fn bar(visitor: Option<&Visitor>, search: &str) -> Markup {
    html! {
        header.bar {
            div.wrap.bar-row {
                a.brand href="/" { (PreEscaped(LOGO)) span { (NAME) } }
                form.search action="/search" role="search" {
                    input type="search" name="q" value=(search) placeholder="Search 1,000 good things" aria-label="Search";
                    button type="submit" aria-label="Search" { (PreEscaped(LENS)) }
                }
                nav.actions {
                    @if let Some(visitor) = visitor {
                        a.link href="/orders" { "Orders" }
                        a.person href="/profile" title=(visitor.name) {
                            span.avatar { (initials(&visitor.name)) }
                            span.person-name { (visitor.name) }
                        }
                    } @else {
                        a.link href="/signin" { "Sign in" }
                    }
                    a.cart href="/cart" aria-label="Cart" {
                        (PreEscaped(CART))
                        @if let Some(many) = visitor.map(|visitor| visitor.in_cart).filter(|many| *many > 0) {
                            span.badge { (count(many)) }
                        }
                    }
                }
            }
        }
    }
}

fn foot() -> Markup {
    html! {
        footer.foot {
            div.wrap.foot-row {
                span { (NAME) " is a demonstration shop. Nothing is sold, nobody is billed." }
                nav {
                    a href="/views" { "Page views" }
                    a href="/operator" { "Operator" }
                    a href="/signin" { "Change user" }
                }
            }
        }
    }
}

pub fn notice(title: &str, text: &str, href: &str, link: &str) -> Markup {
    html! {
        section.notice {
            h1 { (title) }
            p { (text) }
            a.button href=(href) { (link) }
        }
    }
}

pub fn card(product: &Product) -> Markup {
    html! {
        a.card href={ "/product/" (product.id) } {
            div.card-art {
                (art::product(&product.motif, product.id))
                @if product.list_price_cents > product.price_cents {
                    span.tag.tag-sale { "−" (off(product)) "%" }
                }
                @if product.qty == 0 { span.tag.tag-gone { "Sold out" } }
                @else if product.qty <= 5 { span.tag.tag-few { "Only " (product.qty) " left" } }
            }
            div.card-text {
                h3 { (product.name) }
                (stars(product))
                (price(product))
            }
        }
    }
}

pub fn grid(products: &[Product]) -> Markup {
    html! { div.grid { @for product in products { (card(product)) } } }
}

fn off(product: &Product) -> i64 {
    let list = product.list_price_cents.max(1);
    ((list - product.price_cents) * 100 + list / 2) / list
}

pub fn price(product: &Product) -> Markup {
    html! {
        p.price {
            strong { (money(product.price_cents)) }
            @if product.list_price_cents > product.price_cents { s { (money(product.list_price_cents)) } }
        }
    }
}

pub fn stars(product: &Product) -> Markup {
    let percent = product.rating_tenths * 2;
    html! {
        p.rating {
            span.stars style={ "--full:" (percent) "%" } aria-hidden="true" { "★★★★★" }
            span { (product.rating_tenths / 10) "." (product.rating_tenths % 10) }
            span.faint { "(" (product.review_count) ")" }
        }
    }
}

/// Links to the pages of a list; `href` makes the address of a page, counted from 1.
pub fn pager(page: i64, pages: i64, href: impl Fn(i64) -> String) -> Markup {
    if pages <= 1 {
        return html! {};
    }
    let (from, to) = ((page - 2).max(1), (page + 2).min(pages));
    html! {
        nav.pager aria-label="Pages" {
            @if page > 1 { a href=(href(page - 1)) rel="prev" { "‹ Back" } }
            @if from > 1 { a href=(href(1)) { "1" } }
            @if from > 2 { span.faint { "…" } }
            @for one in from..=to {
                @if one == page { span.here aria-current="page" { (one) } }
                @else { a href=(href(one)) { (one) } }
            }
            @if to < pages - 1 { span.faint { "…" } }
            @if to < pages { a href=(href(pages)) { (pages) } }
            @if page < pages { a href=(href(page + 1)) rel="next" { "Next ›" } }
        }
    }
}

/// How many pages hold `total` entries.
pub fn pages(total: i64, per_page: i64) -> i64 {
    (total + per_page - 1) / per_page
}

/// Text as a part of an address.
pub fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partly_filled_page_counts() {
        assert_eq!(pages(0, 10), 0);
        assert_eq!(pages(10, 10), 1);
        assert_eq!(pages(11, 10), 2);
    }

    #[test]
    fn text_is_encoded_for_an_address() {
        assert_eq!(encoded("a b&c=ü"), "a%20b%26c%3D%C3%BC");
    }
}
