"""psycopg2 against Margay: parameters written into the text, COPY, named cursors, transactions, errors."""

import io
import os

import psycopg2
import psycopg2.extras
from psycopg2 import errors, extensions

url = os.environ["MARGAY_POSTGRES_URL"]
passed = 0


def check(what, got, expected):
    global passed
    assert got == expected, f"psycopg2: {what}: {got!r}, not {expected!r}"
    passed += 1


def main():
    conn = psycopg2.connect(url)
    cur = conn.cursor()
    psycopg2.extras.execute_values(
        cur,
        "INSERT INTO items (id, owner, label, data) VALUES %s",
        [(i, 10000 + i, f"it's {i} \\", psycopg2.extras.Json({"i": i})) for i in range(50)],
    )
    check("rows of execute_values", cur.rowcount, 50)
    cur.execute("SELECT label, data FROM items WHERE owner = %s", (10007,))
    check("a row by its key", cur.fetchone(), ("it's 7 \\", {"i": 7}))
    cur.execute("SELECT count(*), min(owner), max(owner) FROM items WHERE owner BETWEEN 10000 AND 10049")
    check("aggregates over nodes", cur.fetchone(), (50, 10000, 10049))
    cur.execute("SELECT owner FROM items WHERE owner = ANY(%s) ORDER BY owner DESC", ([10001, 10030, 10044],))
    check("keys in an array", cur.fetchall(), [(10044,), (10030,), (10001,)])
    cur.execute("SELECT owner FROM items WHERE owner IN %s ORDER BY 1", ((10001, 10030),))
    check("keys in a tuple", cur.fetchall(), [(10001,), (10030,)])
    conn.rollback()
    cur.execute("SELECT count(*) FROM items WHERE owner BETWEEN 10000 AND 10049")
    check("rolled back on all nodes", cur.fetchone(), (0,))
    conn.rollback()

    with conn, conn.cursor() as writing:
        rows = io.StringIO("".join(f"{i}\t{10000 + i}\tcopied {i}\n" for i in range(200)))
        writing.copy_expert("COPY items (id, owner, label) FROM STDIN", rows)
        check("rows copied in", writing.rowcount, 200)
    out = io.StringIO()
    with conn, conn.cursor() as reading:
        reading.copy_expert("COPY (SELECT owner, label FROM items WHERE owner BETWEEN 10000 AND 10199) TO STDOUT", out)
    check("rows copied out", len(out.getvalue().splitlines()), 200)

    with conn, conn.cursor("named") as named:
        named.itersize = 30
        named.execute("SELECT owner FROM items WHERE owner BETWEEN 10000 AND 10199 ORDER BY owner")
        check("a named cursor", [owner for (owner,) in named], list(range(10000, 10200)))

    with conn, conn.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as dicts:
        dicts.execute("SELECT id, tags, price FROM items WHERE owner = 10003")
        check("a row as a dictionary", dict(dicts.fetchone()), {"id": 3, "tags": None, "price": None})

    cur = conn.cursor()
    cur.execute("SAVEPOINT here")
    try:
        cur.execute("INSERT INTO items (id, owner) VALUES (3, 10003)")
        raise AssertionError("a duplicate key")
    except errors.UniqueViolation as error:
        check("the table of an error", error.diag.table_name, "items")
    cur.execute("ROLLBACK TO here")
    check("in a transaction", conn.get_transaction_status(), extensions.TRANSACTION_STATUS_INTRANS)
    conn.commit()

    conn.set_session(isolation_level="REPEATABLE READ", readonly=True)
    cur.execute("SELECT count(*) FROM items WHERE owner BETWEEN 10000 AND 10199")
    check("repeatable read, read only", cur.fetchone(), (200,))
    try:
        cur.execute("DELETE FROM items WHERE owner = 10000")
        raise AssertionError("a write in a read-only transaction")
    except errors.ReadOnlySqlTransaction:
        passed_read_only = True
    check("read only", passed_read_only, True)
    conn.rollback()
    conn.set_session(isolation_level="DEFAULT", readonly="DEFAULT", autocommit=True)
    cur.execute("SET TIME ZONE 'Asia/Tokyo'")
    cur.execute("UPDATE items SET made = '2026-01-01 00:00:00' WHERE owner = 10001 RETURNING made::text")
    check("the session's time zone", cur.fetchone(), ("2026-01-01 00:00:00+09",))
    conn.set_client_encoding("LATIN1")
    cur.execute("SELECT U&'\\00e9'")
    check("another encoding", cur.fetchone(), ("é",))
    check("affected rows", (cur.execute("DELETE FROM items WHERE owner BETWEEN 10000 AND 10199"), cur.rowcount)[1], 200)
    conn.close()
    print(f"psycopg2: {passed} checks")


main()
