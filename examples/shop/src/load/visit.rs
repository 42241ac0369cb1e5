//! What one visitor of the load does: a random step of browsing and buying, against the same functions
//! that the pages use.

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::db::Db;
use crate::db::catalog::Sort;
use crate::db::checkout::Checkout;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Home,
    Category,
    Search,
    Product,
    AddToCart,
    ChangeCart,
    Checkout,
    History,
    Order,
}

impl Step {
    pub const ALL: [Step; 9] = [
        Step::Home,
        Step::Category,
        Step::Search,
        Step::Product,
        Step::AddToCart,
        Step::ChangeCart,
        Step::Checkout,
        Step::History,
        Step::Order,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Step::Home => "home",
            Step::Category => "category",
            Step::Search => "search",
            Step::Product => "product",
            Step::AddToCart => "add to cart",
            Step::ChangeCart => "change cart",
            Step::Checkout => "checkout",
            Step::History => "order history",
            Step::Order => "order",
        }
    }

    /// How often it is taken, of the sum of all.
    fn weight(self) -> u32 {
        match self {
            Step::Home => 8,
            Step::Category => 14,
            Step::Search => 10,
            Step::Product => 26,
            Step::AddToCart => 18,
            Step::ChangeCart => 4,
            Step::Checkout => 10,
            Step::History => 7,
            Step::Order => 3,
        }
    }

    pub fn random(rng: &mut StdRng) -> Step {
        let all: u32 = Step::ALL.iter().map(|step| step.weight()).sum();
        let mut left = rng.random_range(0..all);
        for step in Step::ALL {
            if left < step.weight() {
                return step;
            }
            left -= step.weight();
        }
        Step::Home
    }
}

/// How a step ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Ordered,
    OutOfStock,
}

/// Words that visitors look for; most find something.
const WORDS: [&str; 12] = [
    "lamp",
    "oak",
    "linen",
    "mug",
    "wool",
    "walnut ch",
    "fjord",
    "teapot",
    "ember brass",
    "notebook",
    "camera",
    "zeppelin",
];

pub struct Visitor<'a> {
    db: &'a Db,
    users: &'a [i64],
    products: &'a [i64],
    rng: StdRng,
}

impl<'a> Visitor<'a> {
    /// `users` and `products` must not be empty.
    pub fn new(db: &'a Db, users: &'a [i64], products: &'a [i64]) -> Visitor<'a> {
        Visitor {
            db,
            users,
            products,
            rng: StdRng::from_os_rng(),
        }
    }

    pub fn choose(&mut self) -> Step {
        Step::random(&mut self.rng)
    }

    fn user(&mut self) -> i64 {
        self.users[self.rng.random_range(0..self.users.len())]
    }

    fn product(&mut self) -> i64 {
        // Some products are wanted more than others, so that stocks do run out.
        let at = (self.rng.random::<f64>().powi(2) * self.products.len() as f64) as usize;
        self.products[at.min(self.products.len() - 1)]
    }

    pub async fn take(&mut self, step: Step) -> Result<Outcome> {
        let (db, user) = (self.db, self.user());
        match step {
            Step::Home => {
                db.categories().await?;
                db.featured(Sort::Popular, 8).await?;
            }
            Step::Category => {
                let sort = Sort::ALL[self.rng.random_range(0..Sort::ALL.len())];
                db.in_category(self.rng.random_range(1..=20), sort, 24, 0).await?;
            }
            Step::Search => {
                let word = WORDS[self.rng.random_range(0..WORDS.len())];
                db.search(word, Sort::Popular, 24, 24 * self.rng.random_range(0..2))
                    .await?;
            }
            Step::Product => {
                let product = self.product();
                db.product(product).await?;
                db.record_view(Some(user), product).await?;
            }
            Step::AddToCart => {
                let product = self.product();
                db.add_to_cart(user, product, self.rng.random_range(1..=2))
                    .await?;
                db.visitor(user).await?;
            }
            Step::ChangeCart => {
                if let Some(line) = db.cart(user).await?.first() {
                    db.set_in_cart(user, line.product_id, self.rng.random_range(0..3))
                        .await?;
                }
            }
            Step::Checkout => return self.checkout(user).await,
            Step::History => {
                let (count, _) = db.order_sum(user).await?;
                let orders = db.orders(
                    user,
                    10,
                    if count > 10 {
                        self.rng.random_range(0..2) * 10
                    } else {
                        0
                    },
                );
                let orders = orders.await?;
                if let (Some(newest), Some(oldest)) = (orders.first(), orders.last()) {
                    db.items_between(user, oldest.id, newest.id).await?;
                }
            }
            Step::Order => {
                if let Some(order) = db.orders(user, 1, 0).await?.first() {
                    db.order(user, order.id).await?;
                }
            }
        }
        Ok(Outcome::Done)
    }

    async fn checkout(&mut self, user: i64) -> Result<Outcome> {
        if self.db.cart(user).await?.is_empty() {
            let product = self.product();
            self.db.add_to_cart(user, product, 1).await?;
        }
        let addresses = self.db.addresses(user).await?;
        let ship_to = addresses
            .first()
            .map_or_else(|| "to be collected".to_owned(), |first| first.line());
        match self.db.checkout(user, &ship_to, "Card").await? {
            Checkout::Placed { .. } => Ok(Outcome::Ordered),
            // Another visitor in the same person's name was faster.
            Checkout::EmptyCart => Ok(Outcome::Done),
            Checkout::OutOfStock { product_id, .. } => {
                self.db.set_in_cart(user, product_id, 0).await?;
                Ok(Outcome::OutOfStock)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_taken_about_as_often_as_its_weight_says() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut taken = [0_u32; Step::ALL.len()];
        for _ in 0..100_000 {
            let step = Step::random(&mut rng);
            let at = Step::ALL
                .iter()
                .position(|one| *one == step)
                .expect("ALL holds every step");
            taken[at] += 1;
        }
        for (step, count) in Step::ALL.iter().zip(taken) {
            assert!(
                count.abs_diff(step.weight() * 1_000) < 1_000,
                "{}: {count}",
                step.name()
            );
        }
    }
}
