"""asyncpg against Margay: it prepares everything, speaks binary and introspects types."""

import asyncio
import datetime
import decimal
import os
import sys

import asyncpg

URL = os.environ["MARGAY_POSTGRES_URL"]
passed = 0


def check(what, condition):
    global passed
    if not condition:
        sys.exit(f"asyncpg: {what}")
    passed += 1


async def main():
    conn = await asyncpg.connect(URL)
    made = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone.utc)
    await conn.executemany(
        "INSERT INTO items (id, owner, label, price, made, tags) VALUES ($1, $2, $3, $4, $5, $6)",
        [(owner * 10, owner, f"a {owner}", decimal.Decimal(owner), made, ["t"]) for owner in range(1000, 1040)],
    )
    for owner in (1000, 1017, 1039):
        row = await conn.fetchrow("SELECT owner, label, price, made, tags FROM items WHERE owner = $1", owner)
        check("a row by its key", tuple(row) == (owner, f"a {owner}", decimal.Decimal(owner), made, ["t"]))
    check("a count over shards", await conn.fetchval("SELECT count(*) FROM items WHERE owner >= 1000") == 40)
    got = await conn.fetch("SELECT owner FROM items WHERE owner BETWEEN $1 AND $2 ORDER BY owner DESC LIMIT $3", 1005, 1030, 4)
    check("ordered over shards", [r["owner"] for r in got] == [1030, 1029, 1028, 1027])
    check("an average", await conn.fetchval("SELECT avg(price) FROM items WHERE owner >= 1000") == decimal.Decimal("1019.5"))
    check("a key in an array", len(await conn.fetch("SELECT 1 FROM items WHERE owner = ANY($1)", [1001, 1002, 1003])) == 3)
    statement = await conn.prepare("SELECT label FROM items WHERE owner = $1")
    check("types of parameters", [t.name for t in statement.get_parameters()] == ["int4"])
    check("types of columns", [(a.name, a.type.name) for a in statement.get_attributes()] == [("label", "text")])
    for owner in range(1000, 1040):
        check("a prepared statement finds each shard", await statement.fetchval(owner) == f"a {owner}")
    async with conn.transaction():
        for owner in range(1000, 1010):
            await conn.execute("UPDATE items SET price = price - 1 WHERE owner = $1", owner)
        check("own writes", await conn.fetchval("SELECT sum(price) FROM items WHERE owner >= 1000") == 40780 - 10)
    check("committed", await conn.fetchval("SELECT sum(price) FROM items WHERE owner >= 1000") == 40780 - 10)
    try:
        async with conn.transaction():
            await conn.execute("DELETE FROM items WHERE owner = 1000")
            await conn.execute("DELETE FROM items WHERE owner = 1001")
            await conn.fetchval("SELECT 1/0")
    except asyncpg.DivisionByZeroError:
        pass
    check("rolled back", await conn.fetchval("SELECT count(*) FROM items WHERE owner >= 1000") == 40)
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        check("repeatable read", await conn.fetchval("SELECT count(*) FROM items WHERE owner >= 1000") == 40)
    try:
        await conn.fetch("SELECT DISTINCT ON (label) label FROM items")
        check("a refusal", False)
    except asyncpg.FeatureNotSupportedError as e:
        check("a refusal is named", "[MG" in str(e) and e.hint)
    async with conn.transaction():
        seen = [r["owner"] async for r in conn.cursor("SELECT owner FROM items WHERE owner = 1005", prefetch=1)]
    check("a cursor on one shard", seen == [1005])
    try:
        await asyncio.wait_for(conn.execute("SELECT pg_sleep(30)"), timeout=0.5)
        check("a time-out", False)
    except asyncio.TimeoutError:
        pass
    check("alive after a cancel", await conn.fetchval("SELECT 1") == 1)
    await conn.close()

    pool = await asyncpg.create_pool(URL, min_size=4, max_size=8)
    async def work(i):
        async with pool.acquire() as c:
            return await c.fetchval("SELECT owner FROM items WHERE owner = $1", 1000 + i % 40)
    got = await asyncio.gather(*(work(i) for i in range(200)))
    check("a pool of connections", got == [1000 + i % 40 for i in range(200)])
    await pool.close()
    print(f"asyncpg {asyncpg.__version__}: {passed} checks")


asyncio.run(main())
