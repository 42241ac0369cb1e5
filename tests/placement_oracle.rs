//! Placement against a real PostgreSQL server: its own hash partitioning, and where rows land in
//! tables that were partitioned by our clauses. The server is private to the test, in a folder of
//! its own, and ends with it.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use margay::model::{KeyType, ShardId, TableName, Value};
use margay::topology::placement::{ddl, postgres_hash};
use margay::topology::{self, Overrides, Scheme, Sharding, Spread, Table};
use tokio_postgres::{Client, NoTls};

/// One private server on a Unix socket.
struct Postgres {
    folder: tempfile::TempDir,
    server: Child,
}

impl Postgres {
    fn start() -> Self {
        let bin = binaries();
        let folder = tempfile::tempdir().expect("a folder");
        // PostgreSQL refuses to run as root.
        let user = rustix::process::getuid().is_root().then(|| (id("-u"), id("-g")));
        if let Some((uid, gid)) = user {
            chown(folder.path(), Some(uid), Some(gid)).expect("chown");
        }
        let command = |name: &str| {
            let mut command = Command::new(bin.join(name));
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command.current_dir(folder.path()).stdout(Stdio::null());
            command
        };
        let data = folder.path().join("data");
        let initdb = command("initdb")
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C",
                "-D",
            ])
            .arg(&data)
            .status()
            .expect("initdb");
        assert!(initdb.success());
        let server = command("postgres")
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args(["-c", "listen_addresses=", "-c", "fsync=off"])
            .stderr(Stdio::null())
            .spawn()
            .expect("postgres");
        Self { folder, server }
    }

    /// A connection, as soon as the server takes one.
    async fn connect(&mut self) -> Client {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let mut config = tokio_postgres::Config::new();
            config
                .host_path(self.folder.path())
                .user("postgres")
                .dbname("postgres");
            match config.connect(NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    return client;
                }
                Err(error) => {
                    let ended = self.server.try_wait().expect("the server's state");
                    assert!(ended.is_none() && Instant::now() < deadline, "{error}: {ended:?}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT: its children end with it.
        if let Some(pid) = rustix::process::Pid::from_raw(self.server.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let _ = self.server.wait();
    }
}

fn binaries() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .chain(
            std::env::var_os("PATH")
                .iter()
                .flat_map(std::env::split_paths)
                .collect::<Vec<_>>(),
        )
        .filter(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file())
        .collect();
    found.sort();
    found
        .pop()
        .expect("PostgreSQL's initdb and postgres, in /usr/lib/postgresql or on the PATH")
}

fn id(flag: &str) -> u32 {
    let user = ["postgres", "nobody"].into_iter().find_map(|user| {
        let out = Command::new("id").args([flag, user]).output().ok()?;
        out.status
            .success()
            .then(|| String::from_utf8_lossy(&out.stdout).trim().parse().ok())?
    });
    user.expect("an unprivileged user: postgres or nobody")
}

/// xorshift64*; its seed is printed by the tests.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = self.next() % 40;
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// A value of a type, edges included.
    fn value(&mut self, ty: KeyType) -> Value {
        let edge = self.next().is_multiple_of(8);
        let int = |random: &mut Self, bits: u32| {
            let edges = [0, 1, -1, i64::MIN >> (64 - bits), i64::MAX >> (64 - bits)];
            let any = random.next();
            if edge {
                edges[(any % 5) as usize]
            } else {
                (any as i64) >> (64 - bits)
            }
        };
        match ty {
            KeyType::Bool => Value::Bool(self.next().is_multiple_of(2)),
            KeyType::Int2 => Value::Int(int(self, 16)),
            KeyType::Int4 => Value::Int(int(self, 32)),
            KeyType::Int8 => Value::Int(int(self, 64)),
            KeyType::Text | KeyType::Bpchar => {
                // No zero character in text; é and 漢 for bytes above 127.
                let pool = ['a', 'Z', '0', '\'', '\\', '"', 'é', '漢', ' ', '%'];
                let len = self.next() % 30;
                let text: String = (0..len).map(|_| pool[(self.next() % 10) as usize]).collect();
                let text = if ty == KeyType::Bpchar {
                    text.trim_end_matches(' ')
                } else {
                    &text
                };
                Value::Text(text.as_bytes().into())
            }
            KeyType::Uuid => {
                let mut bytes = [0; 16];
                bytes.iter_mut().for_each(|b| *b = self.next() as u8);
                Value::Uuid(bytes)
            }
            KeyType::Bytea => Value::Bytea(self.bytes().into()),
            // Year 1 to about 9000.
            KeyType::Date => Value::Date((self.next() % 3_200_000) as i32 - 730_000),
            KeyType::Timestamp | KeyType::Timestamptz => {
                Value::Timestamp((self.next() % 250_000_000_000_000_000) as i64 - 60_000_000_000_000_000)
            }
        }
    }
}

const TYPES: [KeyType; 11] = [
    KeyType::Bool,
    KeyType::Int2,
    KeyType::Int4,
    KeyType::Int8,
    KeyType::Text,
    KeyType::Bpchar,
    KeyType::Uuid,
    KeyType::Bytea,
    KeyType::Date,
    KeyType::Timestamp,
    KeyType::Timestamptz,
];

/// A type with room for every value of `Random::value`.
fn sql_type(ty: KeyType) -> &'static str {
    if ty == KeyType::Bpchar {
        "character(40)"
    } else {
        ty.sql()
    }
}

/// Checks `keys` of some column types: the server says yes for the shard that we say.
async fn agree(client: &Client, name: &str, types: &[KeyType], keys: &[Vec<Value>]) {
    let columns: Vec<String> = types
        .iter()
        .enumerate()
        .map(|(i, t)| format!("k{i} {}", sql_type(*t)))
        .collect();
    let names: Vec<String> = (0..types.len()).map(|i| format!("k{i}")).collect();
    let (columns, names) = (columns.join(", "), names.join(", "));
    client
        .batch_execute(&format!(
            "CREATE TABLE {name} ({columns}) PARTITION BY HASH ({names})"
        ))
        .await
        .unwrap();
    for modulus in [1, 2, 3, 16, 1021, 65_536] {
        let rows: Vec<String> = keys
            .iter()
            .map(|key| {
                let shard = postgres_hash::shard(key, modulus);
                let values = key
                    .iter()
                    .zip(types)
                    .map(|(v, t)| format!("CAST({} AS {})", ddl::literal(v, *t), sql_type(*t)));
                format!("({shard}, {})", values.collect::<Vec<_>>().join(", "))
            })
            .collect();
        let sql = format!(
            "SELECT r, ({names})::text FROM (VALUES {}) AS v(r, {names})
             WHERE NOT satisfies_hash_partition('{name}'::regclass, {modulus}, r, {names})",
            rows.join(", ")
        );
        let wrong = client
            .query(&sql, &[])
            .await
            .unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let first = wrong
            .first()
            .map(|row| (row.get::<_, i32>(0), row.get::<_, String>(1)));
        assert!(
            first.is_none(),
            "{name} mod {modulus}: {} of {} differ, as {first:?}",
            wrong.len(),
            keys.len()
        );
    }
}

fn table(rule: &str) -> Table {
    let text = format!(
        "version: 1
users: [{{name: u, trust: true}}]
nodes: {{n0: {{primary: 'postgres://u@h/a'}}, n1: {{primary: 'postgres://u@h/b'}}}}
databases: {{d: {{engine: postgres, domains: {{x: {{nodes: [n0, n1], tables: {{t: {{shard: {rule}}}}}}}}}}}}}
"
    );
    let loaded = topology::load_texts(
        vec![("rules.yaml".into(), text)],
        &|_| None,
        &Overrides::default(),
    );
    let snapshot = loaded
        .unwrap_or_else(|problems| panic!("{rule}: {problems:#?}"))
        .snapshot;
    (*snapshot.databases[0].tables[&TableName::new("public", "t")]).clone()
}

fn sharding(table: &Table) -> &Sharding {
    match &table.spread {
        Spread::Sharded(sharding) => sharding,
        other => panic!("{other:?}"),
    }
}

/// Creates a table by our clauses, with the shards that `keys` need, and compares where rows land.
async fn lands(client: &Client, rule: &str, types: &[KeyType], keys: &[Vec<Value>]) {
    let table = table(rule);
    let sharding = sharding(&table);
    let columns: Vec<String> = sharding
        .key
        .iter()
        .zip(types)
        .map(|(k, t)| format!("{} {}", ddl::quote_ident(&k.column), sql_type(*t)))
        .collect();
    let by = topology::partition_by(sharding, types).expect("a clause");
    client
        .batch_execute(&format!(
            "DROP TABLE IF EXISTS t; CREATE TABLE t ({}, n int) {by}",
            columns.join(", ")
        ))
        .await
        .unwrap();
    let mut made = std::collections::HashSet::new();
    for (n, key) in keys.iter().enumerate() {
        let shard = sharding
            .shard_of(key, types)
            .unwrap_or_else(|| panic!("{rule}: no shard for {key:?}"));
        let name = topology::physical_name(&table, shard);
        if made.insert(shard) {
            let bounds = topology::shard_bounds(sharding, shard, types).expect("bounds");
            let create = format!("CREATE TABLE {name} PARTITION OF t {bounds}");
            client
                .batch_execute(&create)
                .await
                .unwrap_or_else(|e| panic!("{e:?}: {create}"));
        }
        let values: Vec<String> = key.iter().zip(types).map(|(v, t)| ddl::literal(v, *t)).collect();
        let insert = format!(
            "INSERT INTO t VALUES ({}, {n}) RETURNING tableoid::regclass::text",
            values.join(", ")
        );
        let row = client
            .query_one(&insert, &[])
            .await
            .unwrap_or_else(|e| panic!("{e:?}: {insert}"));
        assert_eq!(row.get::<_, String>(0), name, "{rule}: {key:?}");
    }
}

#[tokio::test]
async fn placement_agrees_with_the_server() {
    let mut postgres = Postgres::start();
    let client = postgres.connect().await;
    // The server's zone must not matter.
    client
        .batch_execute("SET TimeZone = 'Asia/Shanghai'; SET DateStyle = 'ISO, DMY'")
        .await
        .unwrap();
    let seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64
        | 1;
    println!("seed {seed}");
    let mut random = Random(seed);

    for ty in TYPES {
        let keys: Vec<Vec<Value>> = (0..300).map(|_| vec![random.value(ty)]).collect();
        agree(&client, &format!("one_{ty:?}").to_lowercase(), &[ty], &keys).await;
    }
    for i in 0..20 {
        let types: Vec<KeyType> = (0..2 + random.next() % 3)
            .map(|_| TYPES[(random.next() % 11) as usize])
            .collect();
        let keys: Vec<Vec<Value>> = (0..50)
            .map(|_| types.iter().map(|t| random.value(*t)).collect())
            .collect();
        agree(&client, &format!("several_{i}"), &types, &keys).await;
    }
    documented_formula(&client).await;

    let mut some = |ty: KeyType, count: usize| -> Vec<Vec<Value>> {
        (0..count).map(|_| vec![random.value(ty)]).collect()
    };
    lands(
        &client,
        "{by: hash, key: '\"User\"', count: 16}",
        &[KeyType::Int8],
        &some(KeyType::Int8, 100),
    )
    .await;
    lands(
        &client,
        "{by: range, key: {column: k, type: bigint}, bounds: [-5, 0, 1000000]}",
        &[KeyType::Int8],
        &some(KeyType::Int8, 100),
    )
    .await;
    lands(
        &client,
        "{by: range, key: {column: k, type: text}, bounds: [M, 'a''\\', é]}",
        &[KeyType::Text],
        &some(KeyType::Text, 200),
    )
    .await;
    lands(
        &client,
        "{by: range, key: {column: k, type: date}, bounds: [1000-01-01, 2026-02-28]}",
        &[KeyType::Date],
        &some(KeyType::Date, 100),
    )
    .await;
    lands(
        &client,
        "{by: range, key: {column: k, type: timestamptz}, bounds: ['2026-01-01T00:00:00+08:00']}",
        &[KeyType::Timestamptz],
        &some(KeyType::Timestamptz, 100),
    )
    .await;
    lands(
        &client,
        "{by: range, key: {column: k, type: bytea}, bounds: ['\\x80']}",
        &[KeyType::Bytea],
        &some(KeyType::Bytea, 100),
    )
    .await;
    let listed: Vec<Vec<Value>> = ["it's", "a\\b", "é"]
        .iter()
        .map(|t| vec![Value::Text(t.as_bytes().into())])
        .collect();
    lands(
        &client,
        "{by: list, key: {column: k, type: text}, values: {n0: ['it''s', 'a\\b'], n1: [é]}}",
        &[KeyType::Text],
        &listed,
    )
    .await;

    for every in ["hour", "day", "week", "month", "year"] {
        for zone in ["UTC", "America/New_York", "Australia/Lord_Howe"] {
            for ty in [KeyType::Date, KeyType::Timestamp, KeyType::Timestamptz] {
                if every == "hour" && ty == KeyType::Date {
                    continue;
                }
                let from = if every == "week" { "2026-W01" } else { "2026-01-01" };
                let rule = format!(
                    "{{by: time, key: {{column: k, type: {}}}, every: {every}, zone: {zone}, from: {from}}}",
                    ty.sql()
                );
                // Around the changes of clocks in 2026, and anywhere.
                let mut keys = some(ty, 6);
                if ty != KeyType::Date {
                    let changes = [
                        "2026-03-08T07:00:00Z",
                        "2026-11-01T06:00:00Z",
                        "2026-04-04T15:00:00Z",
                        "2026-10-03T15:30:00Z",
                    ];
                    for change in changes {
                        let us =
                            change.parse::<jiff::Timestamp>().unwrap().as_microsecond() - 946_684_800_000_000;
                        for step in [
                            -3_600_000_000,
                            -1_800_000_000,
                            -1,
                            0,
                            1,
                            1_800_000_000,
                            3_600_000_000,
                        ] {
                            keys.push(vec![Value::Timestamp(us + step)]);
                        }
                    }
                }
                lands(&client, &rule, &[ty], &keys).await;
            }
        }
    }
    consecutive_periods_leave_no_gap(&client).await;
}

/// The formula that docs/rules.md prints gives our shard.
async fn documented_formula(client: &Client) {
    let docs = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rules.md")).unwrap();
    let sql = docs
        .split("```sql\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("a formula");
    let row = client
        .query_one(
            &format!("SELECT ({})::int", sql.trim().trim_end_matches(';')),
            &[],
        )
        .await
        .unwrap();
    assert_eq!(
        row.get::<_, i32>(0) as u32,
        postgres_hash::shard(&[Value::Int(42)], 16)
    );
}

/// All hours of a year's changes of clocks can be attached side by side, the skipped one left out.
async fn consecutive_periods_leave_no_gap(client: &Client) {
    let table = table(
        "{by: time, key: {column: k, type: timestamptz}, every: hour, zone: America/New_York, from: 2026-03-08T00}",
    );
    let sharding = sharding(&table);
    let Scheme::Time(time) = &sharding.scheme else {
        panic!("by time")
    };
    let types = [KeyType::Timestamptz];
    client
        .batch_execute("DROP TABLE t; CREATE TABLE t (k timestamptz) PARTITION BY RANGE (k)")
        .await
        .unwrap();
    let mut made = 0;
    for shard in (0..26).map(ShardId) {
        if let Some(bounds) = topology::shard_bounds(sharding, shard, &types) {
            let name = topology::physical_name(&table, shard);
            client
                .batch_execute(&format!("CREATE TABLE {name} PARTITION OF t {bounds}"))
                .await
                .unwrap();
            made += 1;
        }
    }
    assert_eq!(made, 25, "one of 26 hours is skipped");
    let (Some(Value::Timestamp(first)), Some(Value::Timestamp(end))) = (
        time.start(ShardId(0), types[0]),
        time.start(ShardId(26), types[0]),
    ) else {
        panic!("starts")
    };
    let insert = format!(
        "INSERT INTO t SELECT generate_series({}, {} - interval '1 second', interval '10 minutes')",
        ddl::literal(&Value::Timestamp(first), types[0]) + "::timestamptz",
        ddl::literal(&Value::Timestamp(end), types[0]) + "::timestamptz",
    );
    assert_eq!(client.execute(&insert, &[]).await.unwrap(), 25 * 6);
}
