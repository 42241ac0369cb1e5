//! OFFSET and LIMIT over the merged rows.

#[derive(Debug)]
pub struct Limit {
    skip: u64,
    left: Option<u64>,
}

impl Limit {
    pub fn new(limit: Option<u64>, offset: u64) -> Limit {
        Limit {
            skip: offset,
            left: limit,
        }
    }

    /// No further row will be let through.
    pub fn is_reached(&self) -> bool {
        self.left == Some(0)
    }

    /// Whether the next row belongs to the answer; counts it.
    pub fn lets_through(&mut self) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        match &mut self.left {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_comes_before_limit() {
        let mut limit = Limit::new(Some(2), 1);
        let passed: Vec<bool> = (0..5).map(|_| limit.lets_through()).collect();
        assert_eq!(passed, [false, true, true, false, false]);
        assert!(limit.is_reached());
        assert!(Limit::new(Some(0), 9).is_reached() && !Limit::new(None, 0).is_reached());
    }
}
