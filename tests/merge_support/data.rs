//! A table of random rows with a column of each type that is merged, spread over buckets.

use rand::Rng;
use rand::rngs::StdRng;

use super::raw::Connection;

/// Column and type. Text is under collation "C", which compares by bytes.
pub const COLUMNS: &[(&str, &str)] = &[
    ("b", "boolean"),
    ("i2", "smallint"),
    ("i4", "integer"),
    ("i8", "bigint"),
    ("o", "oid"),
    ("n", "numeric"),
    ("f4", "real"),
    ("f8", "double precision"),
    ("d", "date"),
    ("tm", "time"),
    ("ts", "timestamp"),
    ("tz", "timestamptz"),
    ("u", "uuid"),
    ("by", "bytea"),
    ("c", "\"char\""),
    ("tx", "text COLLATE \"C\""),
    ("vc", "varchar COLLATE \"C\""),
    ("bp", "char(5) COLLATE \"C\""),
    ("nm", "name"),
];

pub fn create(connection: &mut Connection, random: &mut StdRng, table: &str, rows: usize, buckets: usize) {
    let columns: Vec<String> = COLUMNS.iter().map(|(name, of)| format!("{name} {of}")).collect();
    connection.run(&format!("DROP TABLE IF EXISTS {table}"));
    connection.run(&format!(
        "CREATE TABLE {table} (id bigint PRIMARY KEY, bucket int, {})",
        columns.join(", ")
    ));
    let rows: Vec<String> = (0..rows)
        .map(|id| {
            let values: Vec<String> = COLUMNS
                .iter()
                .map(|(name, of)| match random.random_ratio(1, 10) {
                    true => "NULL".to_owned(),
                    false => format!("'{}'::{of}", literal(random, name)),
                })
                .collect();
            format!(
                "({id}, {}, {})",
                random.random_range(0..buckets),
                values.join(", ")
            )
        })
        .collect();
    for chunk in rows.chunks(200) {
        connection.run(&format!("INSERT INTO {table} VALUES {}", chunk.join(", ")));
    }
}

/// Text that the type reads; few different values, so that groups and ties arise, and the odd ones.
fn literal(random: &mut StdRng, column: &str) -> String {
    let pick = |random: &mut StdRng, all: &[&str]| all[random.random_range(0..all.len())].to_owned();
    match column {
        "b" => pick(random, &["t", "f"]),
        "i2" => pick(random, &["-32768", "32767", "0", "-1", "7", "10", "9"]),
        "i4" => match random.random_range(0..3) {
            0 => pick(random, &["-2147483648", "2147483647", "0"]),
            _ => random.random_range(-1000..1000).to_string(),
        },
        "i8" => match random.random_range(0..3) {
            0 => pick(random, &["-9223372036854775808", "9223372036854775807", "0"]),
            1 => random.random_range(-9..9).to_string(),
            _ => random.random::<i64>().to_string(),
        },
        "o" => pick(random, &["0", "1", "2147483648", "4294967295", "999"]),
        "n" => match random.random_range(0..12) {
            0 => pick(random, &["NaN", "Infinity", "-Infinity"]),
            1..4 => pick(
                random,
                &[
                    "1", "1.0", "1.00", "-0.00", "0", "0.000", "10000", "1e4", "1e-20", "12e30",
                ],
            ),
            _ => decimal(random),
        },
        "f4" | "f8" => match random.random_range(0..3) {
            0 => pick(
                random,
                &["NaN", "Infinity", "-Infinity", "-0", "0", "1e-30", "1e30", "0.1"],
            ),
            _ => (f64::from(random.random_range(-4000..4000)) / 7.0).to_string(),
        },
        "d" => match random.random_range(0..3) {
            0 => pick(
                random,
                &[
                    "infinity",
                    "-infinity",
                    "4713-01-01 BC",
                    "5874897-12-31",
                    "0001-01-01",
                    "0001-12-31 BC",
                ],
            ),
            _ => calendar_day(random),
        },
        "tm" => match random.random_range(0..3) {
            0 => pick(random, &["00:00", "24:00", "12:34:56.789", "23:59:59.999999"]),
            _ => time_of_day(random),
        },
        "ts" => match random.random_range(0..3) {
            0 => pick(
                random,
                &[
                    "infinity",
                    "-infinity",
                    "4713-01-01 00:00:00 BC",
                    "294276-12-31 23:59:59.999999",
                    "0044-03-15 12:00 BC",
                ],
            ),
            _ => format!("{} {}", calendar_day(random), time_of_day(random)),
        },
        "tz" => match random.random_range(0..3) {
            0 => pick(
                random,
                &[
                    "infinity",
                    "-infinity",
                    "0044-03-15 12:00+00 BC",
                    "12026-02-01 00:00+00",
                    "1960-01-01 00:44:30+00",
                ],
            ),
            _ => {
                let hours = random.random_range(-12..13);
                format!("{} {}{hours:+03}", calendar_day(random), time_of_day(random))
            }
        },
        "u" => {
            let high = random.random_range(0..40u128) << 120;
            let hex = format!("{:032x}", high | random.random_range(0..3u128));
            format!(
                "{}-{}-{}-{}-{}",
                &hex[..8],
                &hex[8..12],
                &hex[12..16],
                &hex[16..20],
                &hex[20..]
            )
        }
        "by" => {
            let length = random.random_range(0..4);
            let bytes: String = (0..length)
                .map(|_| format!("{:02x}", random.random::<u8>() & 0xC1))
                .collect();
            format!("\\x{bytes}")
        }
        "c" => pick(random, &["", "a", "A", "z", "~", "0"]),
        _ => pick(
            random,
            &[
                "", "a", "A", "b", "ab", "a b", "ä", "Z", "z", "日本", "a  ", "~", "10", "9", "𝄞",
            ],
        ),
    }
}

/// Of all sizes and scales.
pub fn decimal(random: &mut StdRng) -> String {
    let whole = if random.random_ratio(1, 6) {
        random.random_range(0..60)
    } else {
        random.random_range(0..8)
    };
    let after = if random.random_ratio(1, 6) {
        random.random_range(0..50)
    } else {
        random.random_range(0..5)
    };
    let digits = |random: &mut StdRng, length: usize| -> String {
        (0..length)
            .map(|_| char::from(b'0' + random.random_range(0..10)))
            .collect()
    };
    let sign = if random.random() { "-" } else { "" };
    let whole = format!("0{}", digits(random, whole));
    match after {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{}", digits(random, after)),
    }
}

fn calendar_day(random: &mut StdRng) -> String {
    let year = match random.random_range(0..4) {
        0 => random.random_range(1..12_000),
        _ => random.random_range(1890..2100),
    };
    let era = if random.random_ratio(1, 20) && year < 4700 {
        " BC"
    } else {
        ""
    };
    // The era stands at the end of a whole timestamp; PostgreSQL reads it after the date too.
    format!(
        "{year:04}-{:02}-{:02}{era}",
        random.random_range(1..13),
        random.random_range(1..29)
    )
}

fn time_of_day(random: &mut StdRng) -> String {
    let (h, m, s) = (
        random.random_range(0..24),
        random.random_range(0..60),
        random.random_range(0..60),
    );
    match random.random_range(0..3) {
        0 => format!("{h:02}:{m:02}:{s:02}"),
        1 => format!("{h:02}:{m:02}:{s:02}.{}", random.random_range(1..10)),
        _ => format!("{h:02}:{m:02}:{s:02}.{:06}", random.random_range(0..1_000_000)),
    }
}
