//! The rules file through the public API: what holds, what is refused and where, and that nothing panics.

use std::path::{Path, PathBuf};

use margay::model::{KeyType, NodeId, ShardId, TableName, Value};
use margay::topology::{
    self, Layout, Loaded, Overrides, Problem, Scheme, Secret, Sharding, Snapshot, Spread, Table,
};

fn env(name: &str) -> Option<String> {
    name.starts_with("MARGAY_").then(|| "secret".to_owned())
}

fn load_text(text: &str) -> Result<Loaded, Vec<Problem>> {
    topology::load_texts(
        vec![(PathBuf::from("rules.yaml"), text.to_owned())],
        &env,
        &Overrides::default(),
    )
}

fn problems(text: &str) -> Vec<String> {
    match load_text(text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(Problem::to_string).collect(),
    }
}

fn sharding<'s>(snapshot: &'s Snapshot, table: &str) -> &'s Sharding {
    match &snapshot.databases[0].tables[&TableName::new("public", table)].spread {
        Spread::Sharded(sharding) => sharding,
        other => panic!("{table} is not sharded: {other:?}"),
    }
}

fn table<'s>(snapshot: &'s Snapshot, name: &str) -> &'s Table {
    &snapshot.databases[0].tables[&TableName::new("public", name)]
}

/// A file with two nodes and one domain on both; `tables` is the inside of `tables: {…}`.
fn with_tables(tables: &str) -> String {
    format!(
        "version: 1
users: [{{name: shop, password: {{env: MARGAY_SHOP_PASSWORD}}}}]
nodes:
  n0: {{primary: \"postgres://app@10.0.0.1/shop\"}}
  n1: {{primary: \"postgres://app@10.0.0.2/shop\"}}
databases:
  shop:
    engine: postgres
    domains:
      trade:
        nodes: [n0, n1]
        tables:
          {tables}
"
    )
}

/// Line and column of the inside of `tables` above.
const TABLES: (u32, u32) = (13, 11);

/// The one problem of a table's rule: its column on the table's line, and its text.
fn one_problem(tables: &str) -> (u32, String) {
    let found = load_text(&with_tables(tables)).expect_err("a problem");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].line, TABLES.0, "{}", found[0]);
    (
        found[0].column - TABLES.1,
        format!("{}; {}", found[0].message, found[0].fix),
    )
}

// What holds.

const EXAMPLE: &str = r#"
version: 1
listen:
  postgres: 127.0.0.1:6432
  mysql:    127.0.0.1:6033
  http:     127.0.0.1:9630
users:                        # who may connect, and as whom they reach the servers
  - {name: shop, password: {env: MARGAY_SHOP_PASSWORD}}   # or {file: …}, {plain: …}, {scram: "SCRAM-SHA-256$…"}
nodes:                        # one node = one copy of some data: a primary and its replicas
  n_user:    {primary: "postgres://app@10.0.0.1/shop", replicas: ["postgres://app@10.0.0.2/shop"]}
  n_catalog: {primary: "postgres://app@10.0.0.3/shop"}
  n_trade0:  {primary: "postgres://app@10.0.0.5/shop", replicas: ["postgres://app@10.0.0.6/shop"]}
  n_trade1:  {primary: "postgres://app@10.0.0.7/shop", replicas: ["postgres://app@10.0.0.8/shop"]}
databases:
  shop:                       # the logical database that clients connect to
    engine: postgres          # postgres | mysql
    default_domain: user      # where tables live that no rule names
    reads: {from: replicas, max_lag: 1s, consistency: session, balance: least_connections}
    domains:
      user:    {nodes: [n_user],    tables: {users: {}, addresses: {}}}
      catalog: {nodes: [n_catalog], tables: {products: {}, categories: {broadcast: true}}}
      trade:
        nodes: [n_trade0, n_trade1]
        tables:
          orders:      {shard: {by: hash, key: user_id, count: 16}, generate: {id: snowflake}}
          order_items: {shard: {like: orders}}                         # same key, same places: joins stay on one shard
          page_views:  {shard: {by: time, key: viewed_at, every: month, zone: UTC, from: 2026-01, ahead: 2}}
          accounts:    {shard: {by: range, key: id, bounds: [1000000, 2000000]}}   # three shards: below, between, from
          branches:    {shard: {by: list, key: region, values: {n_trade0: [north, east], n_trade1: [south]}}}
          regions:     {broadcast: true}
          coupons:     {shard: {by: hash, key: code}}                  # no count: one shard per node
"#;

#[test]
fn the_whole_example_of_the_design_means_what_it_says() {
    let loaded = load_text(EXAMPLE).unwrap_or_else(|p| panic!("{p:#?}"));
    let s = &loaded.snapshot;
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let names: Vec<&str> = s.rule_nodes().map(|n| &*n.name).collect();
    assert_eq!(names, ["n_user", "n_catalog", "n_trade0", "n_trade1"]);
    assert_eq!(s.nodes[0].servers.len(), 2);
    let shop = s.database("shop").unwrap();
    assert_eq!(
        (shop.anywhere, &*shop.domain(shop.default_domain).name),
        (NodeId(0), "user")
    );
    assert_eq!((shop.shell, shop.nodes().len()), (Some(NodeId(64)), 4));
    let shell = &s.nodes[64];
    assert_eq!(&*shell.name, "shop.shell");
    assert_eq!(shell.servers.len(), 2);
    assert!(
        shell
            .servers
            .iter()
            .all(|server| &*server.database == "margay_shell_shop")
    );
    assert!(matches!(&s.user("shop").unwrap().secret, Secret::Password(p) if &**p == "secret"));

    let orders = sharding(s, "orders");
    assert_eq!((orders.layout, orders.place.len()), (Layout::Partitioned, 16));
    assert_eq!(orders.place[..3], [NodeId(2), NodeId(3), NodeId(2)]);
    assert_eq!(
        topology::physical_name(table(s, "orders"), ShardId(3)),
        "orders_03"
    );
    let key = [KeyType::Int8];
    assert_eq!(
        topology::partition_by(orders, &key).unwrap(),
        "PARTITION BY HASH (user_id)"
    );
    assert_eq!(
        topology::shard_bounds(orders, ShardId(3), &key).unwrap(),
        "FOR VALUES WITH (MODULUS 16, REMAINDER 3)"
    );
    let items = sharding(s, "order_items");
    assert_eq!(
        (items.group, &items.place, &items.key),
        (orders.group, &orders.place, &orders.key)
    );
    assert_eq!(table(s, "orders").generate.len(), 1);

    let views = sharding(s, "page_views");
    let Scheme::Time(time) = &views.scheme else {
        panic!("by time")
    };
    assert!(!time.create_outside && time.retire.is_none() && time.ahead == 2);
    assert_eq!(
        topology::physical_name(table(s, "page_views"), ShardId(0)),
        "page_views_2026_01"
    );
    let key = [KeyType::Timestamptz];
    assert_eq!(
        topology::shard_bounds(views, ShardId(0), &key).unwrap(),
        "FOR VALUES FROM ('2026-01-01 00:00:00+00') TO ('2026-02-01 00:00:00+00')"
    );
    assert_eq!(
        topology::partition_by(views, &key).unwrap(),
        "PARTITION BY RANGE (viewed_at)"
    );
    assert_eq!(
        (views.node_of(ShardId(0)), views.node_of(ShardId(-1))),
        (NodeId(2), NodeId(3))
    );

    let accounts = sharding(s, "accounts");
    let key = [KeyType::Int8];
    let bounds: Vec<String> = (0..3)
        .filter_map(|i| topology::shard_bounds(accounts, ShardId(i), &key))
        .collect();
    assert_eq!(
        bounds,
        [
            "FOR VALUES FROM (MINVALUE) TO (1000000)",
            "FOR VALUES FROM (1000000) TO (2000000)",
            "FOR VALUES FROM (2000000) TO (MAXVALUE)"
        ]
    );
    assert_eq!(
        accounts.shard_of(&[Value::Int(1_000_000)], &key),
        Some(ShardId(1))
    );

    let branches = sharding(s, "branches");
    let key = [KeyType::Text];
    assert_eq!(
        topology::shard_bounds(branches, ShardId(0), &key).unwrap(),
        "FOR VALUES IN ('east', 'north')"
    );
    let north = branches.shard_of(&[Value::Text((*b"north").into())], &key);
    assert_eq!(north.map(|s| branches.node_of(s)), Some(NodeId(2)));
    assert_eq!(branches.shard_of(&[Value::Text((*b"west").into())], &key), None);

    let coupons = sharding(s, "coupons");
    assert_eq!((coupons.layout, coupons.place.len()), (Layout::PerNode, 2));
    assert_eq!(
        topology::physical_name(table(s, "coupons"), ShardId(1)),
        "coupons"
    );
    assert!(matches!(table(s, "regions").spread, Spread::Broadcast));
    assert!(matches!(table(s, "users").spread, Spread::Whole(NodeId(0))));

    let text = topology::check_text(&loaded);
    for line in [
        "n_catalog",
        "orders       hash(user_id) by postgres over 16 shards, partitioned",
        "broadcast to",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

#[test]
fn each_step_in_rules_holds_and_satisfies_the_schema() {
    let schema = topology::schema::json_schema();
    let mut steps = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")).unwrap() {
        let path = entry.unwrap().path();
        let loaded = topology::load(&path, &env).unwrap_or_else(|p| panic!("{p:#?}"));
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        let value: serde_json::Value =
            serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert!(json_schema::valid(&value, &schema, &schema), "{}", path.display());
        // The check can fail.
        let mut wrong = value.clone();
        wrong["databases"]["shop"]["engine"] = "oracle".into();
        assert!(
            !json_schema::valid(&wrong, &schema, &schema),
            "{}",
            path.display()
        );
        steps += 1;
    }
    assert_eq!(steps, 5);
}

#[test]
fn every_key_of_the_schema_is_in_the_reference() {
    fn keys(value: &serde_json::Value, into: &mut std::collections::BTreeSet<String>) {
        match value {
            serde_json::Value::Object(map) => {
                if let Some(serde_json::Value::Object(properties)) = map.get("properties") {
                    into.extend(properties.keys().cloned());
                }
                for word in [map.get("const"), map.get("enum")].into_iter().flatten() {
                    match word {
                        serde_json::Value::String(word) => drop(into.insert(word.clone())),
                        serde_json::Value::Array(words) => {
                            into.extend(words.iter().filter_map(|w| w.as_str()).map(str::to_owned));
                        }
                        _ => {}
                    }
                }
                map.values().for_each(|v| keys(v, into));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|v| keys(v, into)),
            _ => {}
        }
    }
    let mut all = std::collections::BTreeSet::new();
    keys(&topology::schema::json_schema(), &mut all);
    assert!(all.len() > 60, "{all:?}");
    let docs = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rules.md")).unwrap();
    let missing: Vec<&String> = all
        .iter()
        .filter(|k| {
            ![format!("`{k}`"), format!("`{k}:"), format!(".{k}`")]
                .iter()
                .any(|form| docs.contains(form))
        })
        .collect();
    assert!(missing.is_empty(), "docs/rules.md doesn't mention {missing:?}");
}

#[test]
fn a_folder_merges_into_one_and_names_both_places_of_a_double() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "a.yaml",
        "version: 1\nusers: [{name: a, trust: true}]\nnodes:\n  n0: {primary: 'postgres://u@h/a'}\n",
    );
    write(
        "b.yml",
        "version: 1\nusers: [{name: b, trust: true}]\nnodes:\n  n1: {primary: 'postgres://u@h/b'}\n",
    );
    write(
        "c.yaml",
        "version: 1\ndatabases:\n  shop:\n    engine: postgres\n    default_domain: x\n    domains:\n      x: {nodes: [n0], tables: {t: {}}}\n",
    );
    write("d.yaml", "databases: {shop: {domains: {y: {nodes: [n1]}}}}\n");
    write("notes.txt", "not: [rules");
    let loaded = topology::load(folder.path(), &env).unwrap_or_else(|p| panic!("{p:#?}"));
    assert_eq!(
        (
            loaded.source.files.len(),
            loaded.snapshot.users.len(),
            loaded.snapshot.rule_nodes().count()
        ),
        (4, 2, 2)
    );
    assert_eq!(loaded.snapshot.databases[0].domains.len(), 2);

    write("e.yaml", "nodes:\n  n1: {primary: 'postgres://u@h/c'}\n");
    let found = topology::load(folder.path(), &env).expect_err("n1 twice");
    let b = folder.path().join("b.yml");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].line, found[0].column), (2, 3));
    assert!(found[0].file.ends_with("e.yaml"));
    assert!(
        found[0].message.contains(&format!("{}:4:3", b.display())),
        "{}",
        found[0]
    );
}

#[test]
fn secrets_come_from_env_file_and_text() {
    let folder = tempfile::tempdir().unwrap();
    let verifier = "SCRAM-SHA-256$4096:c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let text = format!(
        "version: 1
users:
  - {{name: e, password: {{env: MARGAY_E}}, databases: [shop]}}
  - {{name: f, password: {{file: f.secret}}, admin: true}}
  - {{name: p, password: {{plain: pass}}}}
  - {{name: s, password: {{scram: {verifier}}}}}
  - {{name: t, trust: true}}
nodes:
  n0:
    primary: {{url: 'postgres://app@10.0.0.1/shop', password: {{file: f.secret}}, weight: 3}}
    replicas: ['postgres://app:in-url@10.0.0.2/shop']
databases: {{shop: {{engine: postgres, domains: {{d: {{nodes: [n0]}}}}}}}}
"
    );
    std::fs::write(folder.path().join("f.secret"), "from file\n").unwrap();
    let rules = folder.path().join("rules.yaml");
    std::fs::write(&rules, text).unwrap();
    let s = topology::load(&rules, &env)
        .unwrap_or_else(|p| panic!("{p:#?}"))
        .snapshot;
    let secret = |name: &str| match &s.user(name).unwrap().secret {
        Secret::Password(p) => format!("password {p}"),
        Secret::Scram(v) => format!("scram {v}"),
        Secret::Trust => "trust".to_owned(),
    };
    assert_eq!(
        [secret("e"), secret("f"), secret("p"), secret("t")],
        ["password secret", "password from file", "password pass", "trust"]
    );
    assert_eq!(secret("s"), format!("scram {verifier}"));
    assert!(s.user("f").unwrap().admin && s.user("e").unwrap().databases.is_some());
    let servers = &s.nodes[0].servers;
    assert_eq!(
        (servers[0].password.as_deref(), servers[0].weight),
        (Some("from file"), 3)
    );
    assert_eq!(
        (servers[1].password.as_deref(), servers[1].weight),
        (Some("in-url"), 1)
    );
    assert!(!format!("{s:?}").contains("from file"), "a secret is printed");
}

#[test]
fn overrides_replace_addresses_and_excuse_missing_secrets() {
    let text = "version: 1
listen: {postgres: '10.9.9.9:6432'}
users: [{name: shop, password: {env: NOT_SET}}]
nodes: {n0: {primary: {url: 'postgres://app@10.0.0.1/shop', password: {env: NOT_SET}}}}
databases: {shop: {engine: postgres, domains: {d: {nodes: [n0]}}}}
";
    let found = problems(text);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found.iter().all(|p| p.contains("NOT_SET is not set")),
        "{found:#?}"
    );

    let json = r#"{"nodes": {"n0": [{"host": "127.0.0.1", "port": 4000, "user": "postgres", "password": null,
        "database": "shop", "weight": 1}]}, "listen": {"postgres": "127.0.0.1:0"}, "default_password": "sandbox"}"#;
    let overrides: Overrides = serde_json::from_str(json).unwrap();
    assert_eq!(
        serde_json::from_str::<Overrides>(&serde_json::to_string(&overrides).unwrap()).unwrap(),
        overrides
    );
    let texts = vec![(PathBuf::from("rules.yaml"), text.to_owned())];
    let s = topology::load_texts(texts, &env, &overrides)
        .unwrap_or_else(|p| panic!("{p:#?}"))
        .snapshot;
    assert_eq!((s.nodes[0].servers[0].port, s.nodes[0].servers.len()), (4000, 1));
    assert_eq!(s.listen.postgres.unwrap().port(), 0);
    assert!(matches!(&s.user("shop").unwrap().secret, Secret::Password(p) if &**p == "sandbox"));
}

#[test]
fn layout_follows_function_count_and_engine() {
    let layout = |rule: &str| {
        let loaded = load_text(&with_tables(&format!(
            "t: {{shard: {{by: hash, key: k, {rule}}}}}"
        )));
        sharding(&loaded.unwrap_or_else(|p| panic!("{p:#?}")).snapshot, "t").layout
    };
    assert_eq!(layout("count: 16"), Layout::Partitioned);
    assert_eq!(layout("count: 2"), Layout::Partitioned);
    assert_eq!(layout("function: postgres"), Layout::PerNode);
    assert_eq!(layout("function: crc32, count: 2"), Layout::PerNode);
    assert_eq!(layout("function: murmur3, count: 16"), Layout::Separate);
    assert_eq!(layout("function: ring, count: 8"), Layout::Separate);
    assert_eq!(layout("count: 16, layout: separate"), Layout::Separate);
}

#[test]
fn places_are_lists_or_maps_with_ranges() {
    let place = |rule: &str| {
        let loaded = load_text(&with_tables(&format!(
            "t: {{shard: {{by: hash, key: k, count: 4, place: {rule}}}}}"
        )));
        let s = loaded.unwrap_or_else(|p| panic!("{p:#?}")).snapshot;
        sharding(&s, "t").place.iter().map(|n| n.0).collect::<Vec<_>>()
    };
    assert_eq!(place("[n0, n0, n1, n0]"), [0, 0, 1, 0]);
    assert_eq!(place("{n1: [0-1, 3], n0: [2]}"), [1, 1, 0, 1]);
}

// What is refused, and where.

#[test]
fn all_problems_are_reported_at_once_at_their_places() {
    let text = "version: 1
listne: {postgres: 127.0.0.1:6432}
users:
  - {name: shop, pasword: {env: X}}
  - {name: shop, password: {env: NOT_SET}}
nodes:
  n0: {primary: 'postgres://app@10.0.0.1/shop', replcias: []}
  n1: {primary: 'mysql://app@10.0.0.2/shop'}
databases:
  shop:
    engine: postgres
    reads: {from: replicas, consistency: sesion}
    domains:
      trade:
        nodes: [n0, n2]
        tables:
          a: {shard: {by: hash, key: k, count: 0}}
          b: {shard: {like: zzz}}
          c: {}
";
    let found = load_text(text).expect_err("problems");
    let places: Vec<(u32, u32)> = found.iter().map(|p| (p.line, p.column)).collect();
    let expected = [
        (2, 1),
        (4, 18),
        (5, 12),
        (5, 34),
        (7, 49),
        (12, 42),
        (15, 21),
        (17, 48),
        (18, 29),
        (19, 11),
    ];
    assert_eq!(places, expected, "{found:#?}");
    let text = found
        .iter()
        .map(Problem::to_string)
        .collect::<Vec<_>>()
        .join("\n");
    for part in [
        "rules.yaml:2:1: unknown key `listne`; did you mean `listen`?",
        "unknown key `pasword`; did you mean `password`?",
        "the user `shop` is here twice: first at rules.yaml:4:12",
        "the environment variable NOT_SET is not set; set it, as `export NOT_SET=…`",
        "unknown key `replcias`; did you mean `replicas`?",
        "`sesion` is no value of `consistency`; did you mean `session`? Allowed are: session, eventual",
        "there is no node `n2`; did you mean `n0`?",
        "`count` is 0; write a number from 1 to 65536",
        "there is no table `zzz`",
        "nothing says how it is spread; write `shard: …`, `broadcast: true`, or `node: …`",
    ] {
        assert!(text.contains(part), "{part}\nis missing in\n{text}");
    }
}

#[test]
fn a_syntax_error_has_its_place() {
    let found = load_text("version: 1\nnodes: {n0: [}\n").expect_err("no YAML");
    assert_eq!((found.len(), found[0].line), (1, 2), "{found:#?}");
}

#[test]
fn a_key_twice_in_one_file_names_both_places() {
    let found = problems(&with_tables("a: {broadcast: true}").replace("users:", "version: 1\nusers:"));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].starts_with("rules.yaml:2:1: `version` is here twice: first at rules.yaml:1:1"),
        "{found:?}"
    );
}

#[test]
fn a_missing_or_unknown_version_is_an_error_that_hides_nothing() {
    let good = with_tables("a: {broadcast: true}");
    for (version, message) in [
        ("", "`version` is missing"),
        ("version: 2", "version 2 is not known"),
        ("version: one", "not a number"),
    ] {
        let text = good
            .replace("version: 1", version)
            .replace("broadcast: true", "node: n9");
        let found = problems(&text);
        assert!(found.iter().any(|p| p.contains(message)), "{found:#?}");
        assert!(
            found.iter().any(|p| p.contains("`n9` is no node of the domain")),
            "{found:#?}"
        );
        assert_eq!(found.len(), 2, "{found:#?}");
    }
}

#[test]
fn a_wrong_word_hides_nothing_of_what_stands_around_it() {
    let text = "version: 1\nlisten: {postgres: 127.0.0.1:6432}\nusers: [{name: app, password: {plain: x}}]\n\
        nodes:\n  a: {primary: postgres://app@10.0.0.1/shop}\n\
        databases:\n  shop:\n    engine: oracle\n    default_domain: nope\n    reads: {from: moon}\n\
        \u{20}   domains: {d: {nodes: [a, zz], tables: {u: {node: q}}}}\n";
    let found = problems(text);
    for message in [
        "`oracle` is no value of `engine`",
        "there is no domain `nope`",
        "`moon` is no value of `from`",
        "there is no node `zz`",
        "`q` is no node of the domain",
    ] {
        assert!(found.iter().any(|p| p.contains(message)), "{message}: {found:#?}");
    }
    assert_eq!(found.len(), 5, "{found:#?}");
    // What an engine would mean for its nodes isn't told of one that isn't known.
    let found = problems(
        &text
            .replace("oracle", "mysq")
            .replace("nope", "d")
            .replace("moon", "primary"),
    );
    assert!(!found.iter().any(|p| p.contains("is of engine")), "{found:#?}");
}

#[test]
fn an_alias_bomb_is_an_error() {
    let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..9 {
        let item = format!("*a{}", i - 1);
        text += &format!("a{i}: &a{i} [{}]\n", vec![item; 10].join(","));
    }
    let found = problems(&text);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("can't be read as YAML"), "{found:?}");
}

#[test]
fn wrong_rules_of_a_table_are_refused_where_they_stand() {
    // `@` stands before the place that the message must name.
    for (rule, text) in [
        ("@t: {}", "nothing says how it is spread"),
        (
            "t: {node: @n9}",
            "`n9` is no node of the domain `trade`; did you mean `n0`?",
        ),
        (
            "t: {@node: n0, broadcast: true}",
            "`node` does not go together with `broadcast`",
        ),
        (
            "t: {shard: {by: @hsh, key: k}}",
            "`hsh` is no value of `by`; write one of: hash, time, range, list",
        ),
        ("t: {shard: @{key: k}}", "`like` or `by` is missing in `shard`"),
        ("t: {shard: @{key: k, count: 4}}", "`by` is missing in `shard`"),
        (
            "t: {shard: {by: hash, key: k, count: @1}}",
            "1 shards for 2 nodes",
        ),
        ("t: {shard: {by: hash, key: k, count: @65537}}", "from 1 to 65536"),
        (
            "t: {shard: {by: hash, key: k, count: @5000, function: ring}}",
            "from 1 to 4096",
        ),
        (
            "t: {shard: {by: hash, key: k, function: @sha1}}",
            "write one of: postgres, modulo, crc32, murmur3, ring",
        ),
        (
            "t: {shard: {by: hash, key: @[a, b], function: modulo}}",
            "one integer column",
        ),
        ("t: {shard: {by: hash, key: [a, @A]}}", "in the key twice"),
        (
            "t: {shard: {by: hash, key: {column: k, type: @json}}}",
            "a key can't be of type `json`",
        ),
        (
            "t: {shard: {by: hash, key: k, count: 4, layout: @partitioned, function: crc32}}",
            "can't partition by `function: crc32`",
        ),
        (
            "t: {shard: {by: hash, key: k, count: 4, place: @[n0, n1]}}",
            "names 2 nodes for 4 shards",
        ),
        (
            "t: {shard: {by: hash, key: k, count: 4, place: {n0: [0-2], n1: [@2, 3]}}}",
            "shard 2 is placed twice: on `n0` and on `n1`",
        ),
        (
            "t: {shard: {by: hash, key: k, count: 4, place: @{n0: [0-1], n1: [3]}}}",
            "no node for shard 2",
        ),
        (
            "t: {shard: {by: hash, key: k, count: 4, place: {n0: [0-3], n1: [@4]}}}",
            "`4` names no shard: there are 4",
        ),
        (
            "t: {shard: {by: range, key: k, bounds: [1, 3, @2]}}",
            "2 does not come after 3",
        ),
        (
            "t: {shard: {by: range, key: k, bounds: [1, @1]}}",
            "1 does not come after 1",
        ),
        (
            "t: {shard: {by: range, key: k, bounds: [1, @x]}}",
            "`x` is of another type than 1",
        ),
        ("t: {shard: {by: range, key: k, bounds: @[]}}", "0 bounds"),
        (
            "t: {shard: {by: range, key: {column: k, type: int}, bounds: [@3000000000]}}",
            "3000000000 is no value of type integer",
        ),
        (
            "t: {shard: {by: range, key: k, bounds: [@2026-01-01]}}",
            "say the key's type",
        ),
        (
            "t: {shard: {by: range, key: @[a, b], bounds: [1]}}",
            "takes a key of one column",
        ),
        (
            "t: {shard: {by: list, key: k, values: {n0: [a, b], n1: [@b]}}}",
            "`b` is listed twice: first for `n0` in line 13",
        ),
        (
            "t: {shard: {by: list, key: k, values: {n0: [a], @n2: [b]}}}",
            "`n2` is no node of the domain",
        ),
        (
            "t: {shard: {by: list, key: {column: k, type: text}, values: {n0: [@1], n1: [b]}}}",
            "write it in quotes: \"1\"",
        ),
        (
            "t: {shard: {by: time, key: k, every: month, from: @2026-01-15}}",
            "a month starts at 2026-01-01",
        ),
        (
            "t: {shard: {by: time, key: k, every: month, from: @soon}}",
            "write the start of a month, as `2026-01`",
        ),
        (
            "t: {shard: {by: time, key: k, every: @fortnight, from: 2026}}",
            "write one of: hour, day, week, month, year",
        ),
        (
            "t: {shard: {by: time, key: k, every: day, from: 2026, zone: @Mars/Olympus}}",
            "time zone `Mars/Olympus` is not known",
        ),
        (
            "t: {shard: {by: time, key: @{column: k, type: date}, every: hour, from: 2026}}",
            "can't be cut into hours",
        ),
        (
            "t: {shard: {by: time, key: k, every: day, from: 2026, @count: 4}}",
            "`count` does not go together with",
        ),
        (
            "t: {shard: {by: time, key: k, every: day, from: 2026, retire: @{after: 3}}}",
            "`action` is missing in `retire`",
        ),
        (
            "t: {generate: {id: @uuid}, broadcast: true}",
            "`uuid` is no value of `id`; write one of: snowflake",
        ),
        ("t: {shard: {like: @t}}", "`t` is like itself"),
    ] {
        let (at, message) = one_problem(&rule.replace('@', ""));
        assert!(message.contains(text), "{rule}: {message}");
        assert_eq!(Some(at as usize), rule.find('@'), "{rule}: {message}");
    }
}

#[test]
fn like_needs_a_sharded_table_on_the_same_nodes() {
    let found = problems(&with_tables(
        "a: {shard: {like: b}}
          b: {shard: {like: c}}
          c: {shard: {like: a}}
          d: {shard: {like: a}}
          e: {broadcast: true}
          f: {shard: {like: e}}
          g: {shard: {by: hash, key: {column: k, type: bigint}}}
          h: {shard: {like: g, key: {column: j, type: text}}}
          i: {shard: {like: g, key: [j, k]}}",
    ));
    assert_eq!(found.len(), 6, "{found:#?}");
    assert_eq!(
        found.iter().filter(|p| p.contains("is like itself")).count(),
        3,
        "{found:#?}"
    );
    for part in [
        "`e` is not sharded",
        "`j` is of type text, but `k` of `g` of type bigint",
        "a key of 2 columns, but `g` has 1",
    ] {
        assert!(found.iter().any(|p| p.contains(part)), "{part}: {found:#?}");
    }

    let two = "version: 1
users: [{name: a, trust: true}]
nodes: {n0: {primary: 'postgres://u@h/a'}, n1: {primary: 'postgres://u@h/b'}}
databases:
  shop:
    engine: postgres
    default_domain: x
    domains:
      x: {nodes: [n0], tables: {a: {shard: {by: hash, key: k, count: 4}}}}
      y: {nodes: [n1], tables: {b: {shard: {like: a}}, a: {}}}
";
    let found = problems(two);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found[0].starts_with("rules.yaml:10:51: ") || found[1].starts_with("rules.yaml:10:56: "),
        "{found:#?}"
    );
    assert!(
        found
            .iter()
            .any(|p| p.contains("`a` is in a domain with other nodes")),
        "{found:#?}"
    );
    assert!(
        found
            .iter()
            .any(|p| p.contains("the table `a` is here twice: first at rules.yaml:9:33")),
        "{found:#?}"
    );
}

#[test]
fn like_takes_the_placement_and_may_rename_the_key() {
    let loaded = load_text(&with_tables(
        "a: {shard: {by: hash, key: {column: id, type: bigint}, count: 4, place: [n1, n1, n0, n0]}}
          b: {shard: {like: c, key: owner}}
          c: {shard: {like: a}}",
    ))
    .unwrap_or_else(|p| panic!("{p:#?}"));
    let (a, b) = (sharding(&loaded.snapshot, "a"), sharding(&loaded.snapshot, "b"));
    assert_eq!((a.group, &a.place, &a.scheme), (b.group, &b.place, &b.scheme));
    assert_eq!((&*b.key[0].column, b.key[0].ty), ("owner", Some(KeyType::Int8)));
}

#[test]
fn wrong_rules_outside_of_tables_are_refused() {
    let good = "version: 1
listen: {postgres: '127.0.0.1:6432', http: '127.0.0.1:9630'}
users: [{name: a, trust: true}]
nodes: {n0: {primary: 'postgres://u@h/a'}}
databases: {shop: {engine: postgres, domains: {d: {nodes: [n0]}}}}
pool: {idle_timeout: 10m}
limits: {login_timeout: 5s}
";
    assert!(problems(good).is_empty(), "{:#?}", problems(good));
    for (from, to, text) in [
        (
            "d: {nodes: [n0]}}}}",
            "d: {nodes: [n0]}}}, more: {engine: postgres, domains: {d: {nodes: [n0]}}}}",
            "they would share its tables",
        ),
        ("'127.0.0.1:9630'", "'127.0.0.1:6432'", "share the address"),
        ("'127.0.0.1:9630'", "'0.0.0.0:6432'", "share the address"),
        (
            "'127.0.0.1:9630'",
            "'localhost:9630'",
            "write an IP address and a port, as `127.0.0.1:9630`",
        ),
        ("trust: true", "admin: true", "the user `a` has no password"),
        (
            "trust: true",
            "trust: true, password: {plain: x}",
            "has a password and `trust: true`",
        ),
        ("trust: true", "password: {plain: ''}", "is empty"),
        ("trust: true", "password: secret", "write a map, as"),
        ("trust: true", "password: {scram: x}", "no SCRAM verifier"),
        ("trust: true", "password: {file: /nonexistent}", "can't be read"),
        (
            "trust: true",
            "password: {vault: x}",
            "write one of the keys: env, file, plain, scram",
        ),
        (
            "trust: true",
            "password: {env: MARGAY_A, file: x}",
            "`file` does not go together with `env`",
        ),
        (
            "trust: true",
            "trust: true, databases: [shp]",
            "there is no database `shp`; did you mean `shop`?",
        ),
        ("[{name: a, trust: true}]", "[]", "there are no users"),
        (
            "{n0: {primary: 'postgres://u@h/a'}}",
            "{n0: {replicas: []}}",
            "`primary` is missing in `n0`",
        ),
        ("postgres://u@h/a", "postgres://u@h", "the URL names no database"),
        (
            "postgres://u@h/a",
            "mysql://u@h/a",
            "the database `shop` is of engine postgres, the node `n0` of mysql",
        ),
        (
            "'postgres://u@h/a'}",
            "'postgres://u@h/a', replicas: ['mysql://u@h/b']}",
            "servers of both engines",
        ),
        (
            "'postgres://u@h/a'}",
            "'postgres://u@h/a', replicas: ['postgres://u@h:5432/a']}",
            "is here twice: first at",
        ),
        ("[n0]", "[]", "the domain `d` has no nodes"),
        ("[n0]", "[n0, n0]", "the node `n0` is in the domain twice"),
        (
            "engine: postgres",
            "engine: oracle",
            "write one of: postgres, mysql",
        ),
        (
            "engine: postgres",
            "engine: postgres, shell: n7",
            "there is no node `n7`",
        ),
        (
            "engine: postgres",
            "engine: postgres, default_domain: e",
            "there is no domain `e`",
        ),
        (
            "engine: postgres",
            "engine: postgres, reads: {max_lag: 5}",
            "write a number with its unit, as 100ms, 5s, 1m",
        ),
        (
            "engine: postgres",
            "engine: postgres, reads: {max_lag: 5 s}",
            "`5 s` is no span of time",
        ),
        ("{shop: {engine", "{margay: {engine", "the admin console's name"),
        ("10m", "0s", "`0s` is no span of time"),
        (
            "idle_timeout: 10m",
            "max_connections: 0",
            "`max_connections` is 0; write a number from 1 to 100000",
        ),
        (
            "idle_timeout: 10m",
            "max_connections: many",
            "`max_connections` is text; write a whole number",
        ),
        (
            "[n0]",
            "[n0], tables: {a.b.c: {}}",
            "`a.b.c` is no name of a table",
        ),
        ("[n0]", "[n0], tables: {t: }", "`t` is nothing; write a map"),
        (
            "[n0]",
            "[n0], tables: {A: {}, a: {}}",
            "the table `a` is here twice",
        ),
        (
            "[n0]",
            "[n0], tables: {o: {shard: {by: hash, key: k, count: 4}}, o_01: {}}",
            "would share the name `o_01`",
        ),
        ("[n0]}", "[n0]}, e: {nodes: [n0]}", "`default_domain` is missing"),
        (
            "'127.0.0.1:6432'",
            "{address: localhost}",
            "write an IP address and a port",
        ),
        (
            "'127.0.0.1:6432'",
            "{address: '127.0.0.1:9630'}",
            "share the address",
        ),
        (
            "'127.0.0.1:6432'",
            "{address: '127.0.0.1:1', tls: {certificate: Cargo.toml, key: Cargo.toml}}",
            "there is no certificate in it",
        ),
        (
            "trust: true",
            "certificate: true",
            "no client is asked for a certificate",
        ),
        (
            "trust: true",
            "trust: true, servers: {user: ''}",
            "a role's name has 1 to 63 bytes",
        ),
        (
            "postgres://u@h/a",
            "postgres://u@h/a?sslmode=maybe",
            "`maybe` is no value of the URL's parameter `sslmode`",
        ),
        (
            "postgres://u@h/a",
            "postgres://u@h/a?sslmode=verify-full",
            "no CA is named",
        ),
        (
            "postgres://u@h/a",
            "postgres://u@h/a?sslmode=verify-full&sslrootcert=nowhere.crt",
            "nowhere.crt can't be read",
        ),
        (
            "postgres://u@h/a",
            "postgres://u@h/a?sslcert=Cargo.toml",
            "go together",
        ),
        (
            "postgres://u@h/a",
            "postgres://u@h/a?channel_binding=require",
            "channel binding is required and TLS is not",
        ),
        (
            "'postgres://u@h/a'}",
            "'postgres://u@h/a', tls: {mode: disable, ca: Cargo.toml}}",
            "TLS is disabled and has files",
        ),
        (
            "'postgres://u@h/a'}",
            "{url: 'postgres://u@h/a?sslmode=require', tls: {mode: require}}}",
            "said twice",
        ),
        (
            "'postgres://u@h/a'}",
            "'postgres://u@h/a', tls: {ca: Cargo.toml}}",
            "there is no certificate in it",
        ),
    ] {
        assert!(good.contains(from), "{from}");
        let found = problems(&good.replace(from, to));
        assert_eq!(found.len(), 1, "{to}: {found:#?}");
        assert!(found[0].contains(text), "{to}: {found:#?}");
        let places: Vec<&str> = found[0].split(':').collect();
        assert!(
            places[0] == "rules.yaml" && places[1].parse::<u32>().is_ok_and(|l| l > 1),
            "{found:?}"
        );
    }
}

#[test]
fn what_follows_from_a_broken_part_is_not_reported_on_top() {
    let text = with_tables("a: {shard: {by: hash, key: k}}").replace("n0: {primary:", "n0: {primaries:");
    let found = problems(&text);
    assert!(found.iter().all(|p| p.starts_with("rules.yaml:4:")), "{found:#?}");
}

#[test]
fn a_mysql_database_never_has_partitioned_tables() {
    let text = "version: 1
users: [{name: a, trust: true}]
nodes: {n0: {primary: 'mysql://u@h/a'}, n1: {primary: 'mysql://u@h:3307/a'}}
databases:
  shop:
    engine: mysql
    domains:
      d:
        nodes: [n0, n1]
        tables:
          h: {shard: {by: hash, key: k, count: 8}}
          p: {shard: {by: hash, key: k}}
          t: {shard: {by: time, key: k, every: day, from: 2026-01-01}}
";
    let s = load_text(text).unwrap_or_else(|p| panic!("{p:#?}")).snapshot;
    let of = |name: &str| match &s.databases[0].tables[&TableName::new("shop", name)].spread {
        Spread::Sharded(sharding) => (
            sharding.layout,
            format!("{:?}", sharding.scheme).contains("Crc32"),
        ),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        [of("h"), of("p"), of("t")],
        [
            (Layout::Separate, true),
            (Layout::PerNode, true),
            (Layout::Separate, false)
        ]
    );
    assert_eq!(s.listen.mysql.unwrap().port(), 6033);
}

/// JSON Schema as far as ours goes, written apart from the loader's own checks. A keyword it doesn't
/// know is a failure, so that it can't pass by looking away.
mod json_schema {
    use serde_json::Value;

    pub fn valid(value: &Value, schema: &Value, root: &Value) -> bool {
        let Some(schema) = schema.as_object() else {
            return schema == &Value::Bool(true);
        };
        schema.iter().all(|(keyword, rule)| match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" | "format" => true,
            "$ref" => {
                let target = rule
                    .as_str()
                    .and_then(|r| root.pointer(r.strip_prefix('#')?))
                    .expect("a reference");
                valid(value, target, root)
            }
            "type" => match rule {
                Value::Array(types) => types.iter().any(|t| is(value, t)),
                one => is(value, one),
            },
            "const" => value == rule,
            "enum" => list(rule).contains(value),
            "anyOf" => list(rule).iter().any(|s| valid(value, s, root)),
            "oneOf" => list(rule).iter().filter(|s| valid(value, s, root)).count() == 1,
            "items" => value
                .as_array()
                .is_none_or(|items| items.iter().all(|i| valid(i, rule, root))),
            "required" => value.as_object().is_none_or(|map| {
                list(rule)
                    .iter()
                    .all(|name| map.contains_key(name.as_str().expect("a name")))
            }),
            "properties" => value.as_object().is_none_or(|map| {
                map.iter()
                    .all(|(name, v)| rule.get(name).is_none_or(|s| valid(v, s, root)))
            }),
            "additionalProperties" => value.as_object().is_none_or(|map| {
                let known = |name: &str| schema.get("properties").is_some_and(|p| p.get(name).is_some());
                map.iter()
                    .filter(|(name, _)| !known(name))
                    .all(|(_, v)| valid(v, rule, root))
            }),
            "minimum" => value
                .as_i64()
                .is_none_or(|v| v >= rule.as_i64().expect("a number")),
            "maximum" => value
                .as_i64()
                .is_none_or(|v| v <= rule.as_i64().expect("a number")),
            "pattern" => value.as_str().is_none_or(|text| {
                assert_eq!(rule, "^[0-9]+(ms|s|m|h|d)$");
                let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
                unit.len() < text.len() && ["ms", "s", "m", "h", "d"].contains(&unit)
            }),
            other => panic!("the keyword {other} is not known here"),
        })
    }

    fn list(rule: &Value) -> &Vec<Value> {
        rule.as_array().expect("a list")
    }

    fn is(value: &Value, name: &Value) -> bool {
        match name.as_str().expect("a type's name") {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            other => panic!("the type {other} is not known here"),
        }
    }
}

mod random {
    use super::*;
    use proptest::prelude::*;

    /// Words that rules are made of, so that random texts get past the parser.
    const WORDS: &[&str] = &[
        "version",
        "1",
        "nodes",
        "users",
        "databases",
        "n0",
        "primary",
        "replicas",
        "engine",
        "postgres",
        "mysql",
        "domains",
        "tables",
        "shard",
        "by",
        "hash",
        "time",
        "range",
        "list",
        "like",
        "key",
        "count",
        "bounds",
        "values",
        "place",
        "0-3",
        "from",
        "2026-01",
        "every",
        "month",
        "postgres://u@h/d",
        "url",
        "password",
        "env",
        "~",
        "-1",
        "99999999999999999999",
        "1.5",
        "''",
        "\"\"",
        "&a",
        "*a",
        "<<",
        "é",
        "!!binary",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "- ",
        "\n",
        "\n  ",
        "\n    ",
        "\n      ",
        ": ",
        "{}",
        "[]",
        "#",
        "|",
        ">",
        "?",
        "---",
        "...",
        "\t",
        "%",
    ];

    fn edited() -> impl Strategy<Value = String> {
        // The example with a stretch of it replaced: most texts then have a few problems, not one.
        (
            0..EXAMPLE.len(),
            0..60usize,
            proptest::collection::vec(proptest::sample::select(WORDS), 0..4),
        )
            .prop_map(|(at, len, words)| {
                let bytes = EXAMPLE.as_bytes();
                let end = (at + len).min(bytes.len());
                let mut text = String::from_utf8_lossy(&bytes[..at]).into_owned();
                text.push_str(&words.concat());
                text.push_str(&String::from_utf8_lossy(&bytes[end..]));
                text
            })
    }

    fn check(text: &str) -> Result<(), TestCaseError> {
        if let Err(problems) = load_text(text) {
            prop_assert!(!problems.is_empty());
            for p in problems {
                prop_assert!(p.line >= 1 && p.column >= 1 && !p.message.is_empty(), "{p:?}");
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn no_text_panics(text in "(?s).{0,200}") {
            check(&text)?;
        }

        #[test]
        fn no_words_of_rules_panic(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..60)) {
            check(&words.concat())?;
            check(&words.join(" "))?;
        }

        #[test]
        fn no_edit_of_the_example_panics(text in edited()) {
            check(&text)?;
        }
    }
}

#[test]
fn functions_are_named_without_schema_and_their_tables_well() {
    let good = with_tables("a: {broadcast: true}");
    let functions = |text: &str| {
        good.replace(
            "    domains:",
            &format!("    functions: {{{text}}}\n    domains:"),
        )
    };
    assert!(problems(&functions("f: {reads: [a, x.b], writes: [c], runs: node}, g: {}")).is_empty());
    for (text, message) in [
        ("s.f: {}", "`s.f` is no name of a function"),
        ("f: {reads: [a.b.c]}", "`a.b.c` is no name of a table"),
        ("f: {runs: here}", "here"),
        ("f: {read: [a]}", "`read`"),
    ] {
        let found = problems(&functions(text));
        assert!(
            found.len() == 1 && found[0].contains(message),
            "{text}: {found:#?}"
        );
    }
}
