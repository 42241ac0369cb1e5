"""psycopg 3 against Margay: sharded tables, both protocols, transactions, pipelines, errors."""

import datetime
import decimal
import os
import sys

import psycopg
from psycopg import errors
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

URL = os.environ["MARGAY_POSTGRES_URL"]
passed = 0


def check(what, condition):
    global passed
    if not condition:
        sys.exit(f"psycopg: {what}")
    passed += 1


def rows(cursor):
    return sorted(cursor.fetchall())


with psycopg.connect(URL, autocommit=True) as conn:
    check("the server says its version", conn.info.server_version >= 130000)
    check("the encoding is UTF8", conn.info.encoding == "utf-8")
    made = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone.utc)
    for owner in range(20):
        conn.execute(
            "INSERT INTO items (id, owner, label, price, made, data, tags) VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (owner * 10, owner, f"thing {owner} ünï", decimal.Decimal("1.50") * owner, made, Jsonb({"o": owner}), ["x", str(owner)]),
        )
    one = conn.execute("SELECT label, price, made, data, tags FROM items WHERE owner = %s", (7,)).fetchone()
    check("a row by its key", one == ("thing 7 ünï", decimal.Decimal("10.50"), made, {"o": 7}, ["x", "7"]))
    one = conn.execute("SELECT label, price FROM items WHERE owner = %s", (7,), binary=True).fetchone()
    check("a row in binary", one == ("thing 7 ünï", decimal.Decimal("10.50")))
    got = conn.execute("SELECT owner FROM items ORDER BY made, owner DESC LIMIT %s OFFSET %s", (5, 2)).fetchall()
    check("ordered with limit over shards", [g[0] for g in got] == [17, 16, 15, 14, 13])
    got = conn.execute("SELECT count(*), sum(owner), avg(price), max(id) FROM items").fetchone()
    check("aggregates over shards", got == (20, 190, decimal.Decimal("14.25"), 190))
    got = conn.execute("SELECT count(*), avg(price) FROM items", binary=True).fetchone()
    check("aggregates over shards in binary", got == (20, decimal.Decimal("14.25")))
    got = rows(conn.execute("SELECT owner FROM items WHERE owner = ANY(%s)", ([1, 5, 9],)))
    check("a key in an array", got == [(1,), (5,), (9,)])

    cursor = conn.cursor(row_factory=dict_row)
    cursor.execute("SELECT owner AS who, label FROM items WHERE owner = 3")
    check("column names", cursor.fetchone() == {"who": 3, "label": "thing 3 ünï"})

    # More than five runs: psycopg prepares by itself.
    for owner in list(range(20)) * 3:
        got = conn.execute("SELECT owner FROM items WHERE owner = %s", (owner,), prepare=True).fetchone()
        check("a prepared statement finds each shard", got == (owner,))

    done = conn.execute("UPDATE items SET label = 'changed' WHERE id >= %s", (100,))
    check("an update over shards counts all rows", done.rowcount == 10)
    done = conn.execute("INSERT INTO items (owner, label) VALUES (100, 'a'), (101, 'b'), (102, 'c') RETURNING id")
    ids = [r[0] for r in done.fetchall()]
    check("generated ids are unique", len(set(ids)) == 3 and done.rowcount == 3)
    cursor = conn.cursor()
    cursor.executemany("INSERT INTO names (name, n) VALUES (%s, %s)", [(f"n{i}", i) for i in range(50)])
    check("executemany over shards", conn.execute("SELECT count(*), sum(n) FROM names").fetchone() == (50, 1225))
    done = conn.execute("DELETE FROM items WHERE owner >= 100")
    check("a delete over shards counts all rows", done.rowcount == 3)
    conn.execute("INSERT INTO kinds (id, kind) VALUES (1, 'k')")
    got = rows(conn.execute("SELECT i.owner, k.kind FROM items i JOIN kinds k ON k.id = i.owner"))
    check("a join with a broadcast table", got == [(1, "k")])
    blob = bytes(range(256)) * 100
    conn.execute("INSERT INTO notes (id, body) VALUES (%s, %s)", (1, blob))
    check("bytes survive", conn.execute("SELECT body FROM notes WHERE id = 1").fetchone() == (blob,))

    try:
        conn.execute("SELECT label FROM items GROUP BY label HAVING count(*) > 1")
        check("a refusal", False)
    except errors.FeatureNotSupported as e:
        check("a refusal has a code and a hint", "[MG1206]" in str(e) and e.diag.message_hint)
    try:
        conn.execute("SELECT nope FROM items WHERE owner = 1")
        check("an error", False)
    except errors.UndefinedColumn as e:
        check("an error has its position", e.diag.statement_position == "8")
    try:
        conn.execute("INSERT INTO items (id, owner) VALUES (10, 1)")
        check("a conflict", False)
    except errors.UniqueViolation as e:
        check("a physical name never reaches a client", e.diag.table_name in ("items", None) or "items_" not in e.diag.table_name)
    check("the connection is alive after errors", conn.execute("SELECT 1").fetchone() == (1,))

    conn.execute("SET TIME ZONE 'Asia/Shanghai'")
    check("a setting sticks", conn.execute("SHOW TimeZone").fetchone() == ("Asia/Shanghai",))
    got = conn.execute("SELECT made::text FROM items WHERE owner = 2").fetchone()
    check("a setting holds on every node", got == ("2026-03-01 20:00:00+08",))
    conn.execute("RESET TIME ZONE")

    with conn.pipeline():
        a = conn.execute("SELECT owner FROM items WHERE owner = 1")
        b = conn.execute("SELECT count(*) FROM items")
        c = conn.execute("SELECT owner FROM items WHERE owner = 2")
        check("a pipeline over nodes", (a.fetchone(), b.fetchone(), c.fetchone()) == ((1,), (20,), (2,)))

with psycopg.connect(URL) as conn:
    with conn.transaction():
        for owner in range(8):
            conn.execute("UPDATE items SET price = price + 1 WHERE owner = %s", (owner,))
        inside = conn.execute("SELECT sum(price) FROM items").fetchone()[0]
    after = conn.execute("SELECT sum(price) FROM items").fetchone()[0]
    check("a transaction over nodes sees its own writes", inside == after == decimal.Decimal("293.00"))
    try:
        with conn.transaction():
            conn.execute("UPDATE items SET price = 0 WHERE owner = 1")
            conn.execute("UPDATE items SET price = 0 WHERE owner = 2")
            with conn.transaction():
                conn.execute("UPDATE items SET price = 5 WHERE owner = 3")
                conn.execute("SELECT 1/0")
    except errors.DivisionByZero:
        pass
    check("a rollback undoes all nodes", conn.execute("SELECT sum(price) FROM items").fetchone()[0] == after)
    with conn.transaction():
        try:
            with conn.transaction():
                conn.execute("UPDATE items SET price = 0 WHERE owner = 4")
                conn.execute("SELECT 1/0")
        except errors.DivisionByZero:
            pass
        conn.execute("UPDATE items SET price = price + 1 WHERE owner = 5")
    check("a savepoint undoes its part", conn.execute("SELECT sum(price) FROM items").fetchone()[0] == after + 1)

with psycopg.connect(URL) as conn:
    conn.execute("INSERT INTO notes (id, body) SELECT g, 'x' FROM generate_series(100, 199) g")
    with conn.cursor(name="named") as cursor:
        cursor.itersize = 30
        cursor.execute("SELECT id FROM notes WHERE id >= %s ORDER BY id", (100,))
        check("a cursor on the server knows its columns", cursor.description[0].name == "id")
        check("a cursor on the server", [r[0] for r in cursor] == list(range(100, 200)))
    with conn.cursor(name="one shard") as cursor:
        cursor.execute("SELECT owner FROM items WHERE owner = 5")
        check("a cursor on a shard", cursor.fetchall() == [(5,)])
    with conn.cursor(name="all") as cursor:
        cursor.itersize = 7
        cursor.execute("SELECT owner FROM items ORDER BY owner")
        owners = [r[0] for r in cursor]
        expected = [r[0] for r in conn.execute("SELECT owner FROM items ORDER BY owner").fetchall()]
        check("a cursor over nodes", owners == expected and len(owners) > 7)
    conn.rollback()

admin = URL.rsplit("/", 1)[0] + "/margay"
with psycopg.connect(admin, autocommit=True) as conn:
    check("the console answers the extended protocol", {row[0] for row in conn.execute("SHOW NODES")} == {"a", "b", "shop.shell"})

try:
    psycopg.connect(URL.replace("shop:", "shop:wrong", 1))
    check("a wrong password", False)
except psycopg.OperationalError as e:
    check("a wrong password is refused", "password" in str(e))
try:
    psycopg.connect(URL.rsplit("/", 1)[0] + "/nowhere")
    check("an unknown database", False)
except psycopg.OperationalError as e:
    check("an unknown database is refused", "nowhere" in str(e))

print(f"psycopg {psycopg.__version__}: {passed} checks")
