//! What the shop is filled with, made up in memory: the same seed number and the same present give
//! the same rows. Must not touch a database.

use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::names::{CITIES, FAMILY, GIVEN, KINDS, METHODS, STREETS, STYLES};
use crate::db::checkout::{Line, total_cents};
use crate::db::ids::PastIds;

const USERS: usize = 500;
const PRODUCTS: usize = 1_000;
const ORDERS: usize = 3_000;
const VIEWS: usize = 24_000;
/// How far back orders reach.
const ORDER_DAYS: i64 = 180;
/// The first instant that page views may have: time shards begin there.
const VIEWS_FROM: &str = "2026-01-01T00:00:00Z";
const DAY_S: i64 = 86_400;

pub struct Plan {
    pub products: Vec<Product>,
    pub users: Vec<User>,
    pub addresses: Vec<Address>,
    pub orders: Vec<Order>,
    pub views: Vec<View>,
}

pub struct Product {
    pub id: i64,
    pub category_id: i64,
    pub name: String,
    pub description: &'static str,
    pub price_cents: i64,
    pub list_price_cents: i64,
    pub rating_tenths: i32,
    pub review_count: i32,
    pub created_at: Timestamp,
    pub initial_qty: i32,
    pub qty: i32,
}

pub struct User {
    pub id: i64,
    pub name: String,
    pub email: String,
    pub city: &'static str,
    pub joined_at: Timestamp,
}

pub struct Address {
    pub id: i64,
    pub user_id: i64,
    pub label: &'static str,
    pub recipient: String,
    pub street: String,
    pub city: &'static str,
}

pub struct Order {
    pub id: i64,
    pub user_id: i64,
    pub placed_at: Timestamp,
    pub status: &'static str,
    pub ship_to: String,
    pub method: &'static str,
    pub payment_id: i64,
    pub lines: Vec<(i64, Line)>,
    pub total_cents: i64,
}

pub struct View {
    pub viewed_at: Timestamp,
    pub id: i64,
    pub user_id: Option<i64>,
    pub product_id: i64,
}

pub fn plan(scale: usize, seed: u64, now: Timestamp) -> Plan {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut ids = PastIds::default();
    let mut products = products(PRODUCTS * scale, &mut rng, now);
    let users = users(USERS * scale, &mut rng, now);
    let addresses = addresses(&users, &mut rng, &mut ids);
    let favourites = shuffled(products.len(), &mut rng);
    let orders = orders(
        ORDERS * scale,
        &users,
        &addresses,
        &products,
        &favourites,
        &mut rng,
        &mut ids,
        now,
    );
    stock(&mut products, &orders, &mut rng);
    let views = views(VIEWS * scale, users.len(), &favourites, &mut rng, &mut ids, now);
    Plan {
        products,
        users,
        addresses,
        orders,
        views,
    }
}

fn pick<T: Copy>(from: &[T], rng: &mut StdRng) -> T {
    from[rng.random_range(0..from.len())]
}

fn before(now: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_microsecond(now.as_microsecond() - seconds * 1_000_000).unwrap_or(now)
}

fn products(count: usize, rng: &mut StdRng, now: Timestamp) -> Vec<Product> {
    (0..count)
        .map(|at| {
            let kind = &KINDS[at % KINDS.len()];
            let turn = at / KINDS.len();
            // Styles run out before names repeat: 48 styles, then the next material, then the next noun.
            let style = STYLES[turn % STYLES.len()];
            let material = kind.materials[(turn + turn / STYLES.len()) % kind.materials.len()];
            let noun = kind.nouns[(turn + turn / (STYLES.len() * 4)) % kind.nouns.len()];
            let edition = turn / (STYLES.len() * 4 * 3);
            let mut name = format!("{style} {material} {noun}");
            if edition > 0 {
                name.push_str(&format!(" No. {}", edition + 1));
            }
            let (from, to) = kind.price;
            let price_cents = rng.random_range(from..to) * 100 + pick(&[0, 50, 90, 95, 99], rng);
            let reduced = rng.random_bool(0.3);
            let off = pick(&[10, 15, 20, 25, 30, 40], rng);
            Product {
                id: at as i64 + 1,
                category_id: (at % KINDS.len()) as i64 + 1,
                name,
                description: kind.text,
                price_cents,
                list_price_cents: if reduced {
                    price_cents * 100 / (100 - off)
                } else {
                    price_cents
                },
                rating_tenths: rng.random_range(36..=50),
                review_count: rng.random_range(3..900),
                created_at: before(now, rng.random_range(200..900) * DAY_S),
                initial_qty: 0,
                qty: 0,
            }
        })
        .collect()
}

fn users(count: usize, rng: &mut StdRng, now: Timestamp) -> Vec<User> {
    (0..count)
        .map(|at| {
            let given = GIVEN[at % GIVEN.len()];
            let family = FAMILY[(at * 7 + 3 + at / GIVEN.len()) % FAMILY.len()];
            User {
                id: at as i64 + 1,
                name: format!("{given} {family}"),
                email: format!("{}.{}@example.com", given.to_lowercase(), at + 1),
                city: pick(&CITIES, rng),
                joined_at: before(now, rng.random_range(190..1_400) * DAY_S),
            }
        })
        .collect()
}

fn addresses(users: &[User], rng: &mut StdRng, ids: &mut PastIds) -> Vec<Address> {
    let mut addresses = Vec::new();
    for user in users {
        let labels: &[&'static str] = if rng.random_bool(0.4) {
            &["Home", "Work"]
        } else {
            &["Home"]
        };
        for label in labels {
            addresses.push(Address {
                id: ids.next(user.joined_at),
                user_id: user.id,
                label,
                recipient: user.name.clone(),
                street: format!("{} {}", rng.random_range(1..180), pick(&STREETS, rng)),
                city: user.city,
            });
        }
    }
    addresses
}

fn shuffled(count: usize, rng: &mut StdRng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for at in (1..count).rev() {
        order.swap(at, rng.random_range(0..=at));
    }
    order
}

/// A few products get most of the attention, as in any shop.
fn popular(favourites: &[usize], rng: &mut StdRng) -> usize {
    let at = (rng.random::<f64>().powf(2.2) * favourites.len() as f64) as usize;
    favourites[at.min(favourites.len() - 1)]
}

#[allow(clippy::too_many_arguments)]
fn orders(
    count: usize,
    users: &[User],
    addresses: &[Address],
    products: &[Product],
    favourites: &[usize],
    rng: &mut StdRng,
    ids: &mut PastIds,
    now: Timestamp,
) -> Vec<Order> {
    let mut orders = Vec::with_capacity(count);
    for _ in 0..count {
        let user = &users[rng.random_range(0..users.len())];
        let age_s = (rng.random::<f64>().powf(1.3) * (ORDER_DAYS * DAY_S) as f64) as i64 + 60;
        let placed_at = before(now, age_s);
        let id = ids.next(placed_at);
        let mut lines: Vec<(i64, Line)> = Vec::new();
        for _ in 0..rng.random_range(1..=4) {
            let product = &products[popular(favourites, rng)];
            if lines.iter().any(|(_, line)| line.product_id == product.id) {
                continue;
            }
            let qty = if rng.random_bool(0.25) { 2 } else { 1 };
            let name = product.name.clone();
            let line = Line {
                product_id: product.id,
                name,
                qty,
                price_cents: product.price_cents,
            };
            lines.push((ids.next(placed_at), line));
        }
        let home = addresses.partition_point(|address| address.user_id < user.id);
        let address = &addresses[home];
        let only_lines: Vec<Line> = lines.iter().map(|(_, line)| line.clone()).collect();
        orders.push(Order {
            id,
            user_id: user.id,
            placed_at,
            status: match age_s / DAY_S {
                0 => "paid",
                1..=4 => "shipped",
                _ => "delivered",
            },
            ship_to: format!("{}, {}, {}", address.recipient, address.street, address.city),
            method: pick(&METHODS, rng),
            payment_id: ids.next(placed_at),
            lines,
            total_cents: total_cents(&only_lines),
        });
    }
    orders
}

/// What was delivered is what was sold and what is left: most have plenty, some few, some none.
fn stock(products: &mut [Product], orders: &[Order], rng: &mut StdRng) {
    for product in products.iter_mut() {
        product.qty = match rng.random_range(0..100) {
            0..=1 => 0,
            2..=7 => rng.random_range(1..=5),
            _ => rng.random_range(60..600),
        };
        product.initial_qty = product.qty;
    }
    for (_, line) in orders.iter().flat_map(|order| &order.lines) {
        products[line.product_id as usize - 1].initial_qty += line.qty;
    }
}

/// Views grow over the months.
fn views(
    count: usize,
    users: usize,
    favourites: &[usize],
    rng: &mut StdRng,
    ids: &mut PastIds,
    now: Timestamp,
) -> Vec<View> {
    let from: Timestamp = VIEWS_FROM.parse().expect("the constant is a timestamp");
    let span_us = (now.as_microsecond() - from.as_microsecond()).max(1);
    let mut views: Vec<View> = (0..count)
        .map(|_| {
            let since_us = (rng.random::<f64>().powf(0.75) * span_us as f64) as i64;
            let viewed_at = Timestamp::from_microsecond(from.as_microsecond() + since_us).unwrap_or(now);
            View {
                viewed_at,
                id: ids.next(viewed_at),
                user_id: rng.random_bool(0.7).then(|| rng.random_range(1..=users as i64)),
                product_id: popular(favourites, rng) as i64 + 1,
            }
        })
        .collect();
    views.sort_unstable_by_key(|view| (view.viewed_at, view.id));
    views
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    fn now() -> Timestamp {
        "2026-11-20T12:00:00Z".parse().expect("a timestamp")
    }

    #[test]
    fn the_same_seed_gives_the_same_rows() {
        let (one, two) = (plan(1, 7, now()), plan(1, 7, now()));
        assert!(
            one.orders
                .iter()
                .zip(&two.orders)
                .all(|(a, b)| a.id == b.id && a.lines == b.lines)
        );
        assert!(
            one.views
                .iter()
                .zip(&two.views)
                .all(|(a, b)| a.id == b.id && a.viewed_at == b.viewed_at)
        );
        let other = plan(1, 8, now());
        assert!(
            one.orders
                .iter()
                .zip(&other.orders)
                .any(|(a, b)| a.lines != b.lines)
        );
    }

    #[test]
    fn every_id_is_unique_and_every_name_too() {
        let plan = plan(2, 1, now());
        let mut ids = HashSet::new();
        for order in &plan.orders {
            assert!(ids.insert(order.id) && ids.insert(order.payment_id));
            assert!(order.lines.iter().all(|(id, _)| ids.insert(*id)));
        }
        assert!(plan.views.iter().all(|view| ids.insert(view.id)));
        assert!(plan.addresses.iter().all(|address| ids.insert(address.id)));
        let names: HashSet<&str> = plan
            .products
            .iter()
            .map(|product| product.name.as_str())
            .collect();
        assert_eq!(names.len(), plan.products.len());
    }

    #[test]
    fn stock_missing_is_what_past_orders_sold() {
        let plan = plan(1, 1, now());
        let mut sold: HashMap<i64, i32> = HashMap::new();
        for (_, line) in plan.orders.iter().flat_map(|order| &order.lines) {
            *sold.entry(line.product_id).or_default() += line.qty;
        }
        for product in &plan.products {
            assert_eq!(
                product.initial_qty - product.qty,
                sold.get(&product.id).copied().unwrap_or(0)
            );
        }
    }

    #[test]
    fn nothing_lies_in_the_future_and_no_view_before_the_first_time_shard() {
        let plan = plan(1, 1, now());
        let first: Timestamp = VIEWS_FROM.parse().expect("a timestamp");
        assert!(
            plan.views
                .iter()
                .all(|view| view.viewed_at >= first && view.viewed_at <= now())
        );
        assert!(
            plan.orders
                .iter()
                .all(|order| order.placed_at < now() && !order.lines.is_empty())
        );
    }

    #[test]
    fn an_order_is_sent_to_an_address_of_its_buyer() {
        let plan = plan(1, 1, now());
        for order in &plan.orders {
            let name = &plan.users[order.user_id as usize - 1].name;
            assert!(order.ship_to.starts_with(name.as_str()));
        }
    }
}
