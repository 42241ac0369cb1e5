//! The home page: what there is, what sells, what is reduced.

use axum::extract::State;
use axum::response::IntoResponse;
use maud::html;

use super::layout::{NAME, grid};
use super::{AppState, Looking, Page, art};
use crate::db::catalog::Sort;

const SHOWN: i64 = 8;

pub async fn home(State(shop): AppState, looking: Looking) -> Page {
    let categories = shop.db.categories().await?;
    if categories.is_empty() {
        let body = super::layout::notice(
            "The shelves are empty",
            "Fill the shop with: shop seed",
            "/operator",
            "See the tables",
        );
        return Ok(looking.page("Welcome", body).into_response());
    }
    let popular = shop.db.featured(Sort::Popular, SHOWN).await?;
    let best = shop.db.featured(Sort::Rating, SHOWN).await?;
    let body = html! {
        section.hero {
            div.hero-text {
                p.eyebrow { "Things worth climbing for" }
                h1 { "Good things for home, desk and the way there." }
                p.lead { "Twenty small workshops, a thousand finds. Made well, drawn by code, shipped from wherever they lie." }
                div.hero-links {
                    a.button href="#popular" { "See what sells" }
                    a.button.quiet href="/search?q=&sort=cheapest" { "All products" }
                }
            }
            div.hero-art aria-hidden="true" {
                @for (at, product) in popular.iter().take(4).enumerate() {
                    a class={ "hero-tile hero-" (at) } href={ "/product/" (product.id) } tabindex="-1" {
                        (art::product(&product.motif, product.id))
                    }
                }
            }
        }
        section {
            h2 { "Browse" }
            div.tiles {
                @for category in &categories {
                    a.tile href={ "/category/" (category.id) } {
                        (art::motif(&category.motif, category.id))
                        span { (category.name) }
                    }
                }
            }
        }
        section #popular {
            h2 { "Popular right now" }
            (grid(&popular))
        }
        section {
            h2 { "Best rated" }
            (grid(&best))
        }
    };
    Ok(looking.page(&format!("Welcome to {NAME}"), body).into_response())
}
