//! Positions in the write-ahead log. https://www.postgresql.org/docs/current/datatype-pg-lsn.html

/// `16/B374D848` as a number.
pub fn parse(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let high = u32::from_str_radix(high, 16).ok()?;
    let low = u32::from_str_radix(low, 16).ok()?;
    Some((u64::from(high) << 32) | u64::from(low))
}

/// Length of the header of a page of the log, and of the first page of a segment (access/xlog_internal.h).
const SHORT_HEADER: u64 = 24;
const LONG_HEADER: u64 = 40;

/// The end of the last record where the primary says it would insert the next one.
///
/// When the last record ends exactly at the end of a page, the next one is inserted after the
/// coming page's header, while a replica reports that it replayed up to the page's end. Without
/// this an idle primary would seem to be ahead of a replica that has everything.
pub fn end_of_log(insert: u64, block: u64, segment: u64) -> u64 {
    if segment > 0 && insert % segment == LONG_HEADER {
        insert - LONG_HEADER
    } else if block > 0 && insert % block == SHORT_HEADER {
        insert - SHORT_HEADER
    } else {
        insert
    }
}

/// The timeline in the name of a segment file: its first eight hexadecimal digits.
pub fn timeline(file: &str) -> Option<u32> {
    u32::from_str_radix(file.get(..8)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lsn_is_two_hexadecimal_halves() {
        assert_eq!(parse("16/B374D848"), Some(0x16_B374_D848));
        assert_eq!(parse("0/0"), Some(0));
        assert_eq!(parse("0"), None);
        assert_eq!(parse("1/2/3"), None);
    }

    #[test]
    fn page_header_before_the_next_record_does_not_count() {
        const BLOCK: u64 = 8192;
        const SEGMENT: u64 = 16 << 20;
        assert_eq!(end_of_log(5 * BLOCK + 24, BLOCK, SEGMENT), 5 * BLOCK);
        assert_eq!(end_of_log(3 * SEGMENT + 40, BLOCK, SEGMENT), 3 * SEGMENT);
        // A record may well end 16 bytes after a short header.
        assert_eq!(end_of_log(5 * BLOCK + 40, BLOCK, SEGMENT), 5 * BLOCK + 40);
        assert_eq!(end_of_log(5 * BLOCK + 100, BLOCK, SEGMENT), 5 * BLOCK + 100);
    }

    #[test]
    fn timeline_stands_first_in_a_segment_name() {
        assert_eq!(timeline("0000000300000001000000A4"), Some(3));
        assert_eq!(timeline("x"), None);
    }
}
