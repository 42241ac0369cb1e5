//! docs/errors.md and the codes of `model::fault` say the same.

use std::collections::BTreeMap;

use margay::model::{Blame, Code};

#[test]
fn every_code_is_explained_with_what_it_really_sends() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md"))
        .expect("docs/errors.md");
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| MG")) {
        let cells: Vec<String> = line
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect();
        assert_eq!(cells.len(), 7, "{line}");
        assert!(cells[5].len() > 10 && cells[6].len() > 5, "{line}");
        assert!(rows.insert(cells[0].clone(), cells).is_none(), "twice: {line}");
    }
    for code in Code::ALL {
        let row = rows
            .remove(code.name)
            .unwrap_or_else(|| panic!("{} is not in docs/errors.md", code.name));
        let blame = match code.blame {
            Blame::Client => "client",
            Blame::Operator => "operator",
            Blame::Server => "server",
            Blame::Margay => "Margay",
        };
        let real = [
            code.sqlstate.to_owned(),
            code.mysql_errno.to_string(),
            blame.to_owned(),
            if code.retry { "yes" } else { "no" }.to_owned(),
        ];
        assert_eq!(row[1..5], real, "{}", code.name);
    }
    assert!(rows.is_empty(), "codes that don't exist: {:?}", rows.keys());
}
