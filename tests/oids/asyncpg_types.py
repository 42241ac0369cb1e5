"""Types of users' in binary format, which holds OIDs: what asyncpg makes of them is printed, and must be the same
on Margay and on one plain server. The driver asks the catalogs for each type once per connection."""

import asyncio
import sys

import asyncpg


async def main(url):
    conn = await asyncpg.connect(url)
    for n in range(8):
        await conn.execute(
            "INSERT INTO orders (user_id, id, m, ms, p, ps, d, r) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            n, 1, "ok", ["sad", None, "happy"], (n, "sad"), [(1, "ok"), None, (n, None)],
            ((n, "happy"), ["ok"], [1, 2]), asyncpg.Range((0, "sad"), (n + 1, "ok")),
        )
    await conn.executemany(
        "INSERT INTO coupons VALUES ($1, $2, $3)",
        [(f"c{n}", "happy", [(n, "sad")]) for n in range(5)],
    )
    await conn.execute(
        "INSERT INTO users (id, m, ms, p, ps, d, n, ns) VALUES (1, $1, $2, $3, $4, $5, $6, $7)",
        "sad", ["ok", "ok"], (7, "sad"), [(8, "ok")], ((9, "ok"), [], [3]), 5, [6, 7],
    )
    queries = [
        "SELECT * FROM users",
        "SELECT u FROM users u",
        "SELECT array_agg(u) FROM users u",
        "SELECT ROW(1, m, p, ROW(ms)) FROM users",
        "SELECT * FROM orders WHERE user_id = 3",
        "SELECT * FROM orders ORDER BY user_id",
        "SELECT o FROM orders o ORDER BY user_id",
        "SELECT o, o.p FROM orders o WHERE user_id = 5",
        "SELECT code, m, ps FROM coupons ORDER BY code COLLATE \"C\"",
        "SELECT c FROM coupons c WHERE code = 'c3'",
        "SELECT pg_typeof(m), pg_typeof(ps) FROM users",
        "SELECT 'sad'::mood, ARRAY['ok']::mood[], (1, 'ok')::pair",
    ]
    for query in queries:
        try:
            print(query, [tuple(r) for r in await conn.fetch(query)])
            statement = await conn.prepare(query)
            print(" ", [(a.name, a.type.name, a.type.kind) for a in statement.get_attributes()])
            print(" ", [tuple(r) for r in await statement.fetch()] == [tuple(r) for r in await conn.fetch(query)])
        except asyncpg.PostgresError as error:
            print(query, getattr(error, "sqlstate", None), error)
    statement = await conn.prepare("SELECT id, p FROM orders WHERE m = $1 AND ms = $2 AND user_id = ANY($3) ORDER BY user_id")
    print([(p.name, p.kind) for p in statement.get_parameters()])
    print([tuple(r) for r in await statement.fetch("ok", ["sad", None, "happy"], [1, 2, 6])])
    print(await conn.fetch("SELECT user_id FROM orders WHERE p = $1::pair AND user_id = $2", (4, "sad"), 4))
    async with conn.transaction():
        found = []
        async for row in conn.cursor("SELECT user_id, ps, d FROM orders ORDER BY user_id", prefetch=2):
            found.append(tuple(row))
        print(found)
        found = []
        async for row in conn.cursor("SELECT user_id, ps, d FROM orders WHERE user_id = 2", prefetch=1):
            found.append(tuple(row))
        print(found)
    await conn.execute("ALTER TYPE mood ADD VALUE 'great'")
    await conn.reload_schema_state()
    await conn.execute("UPDATE orders SET ms = $1 WHERE user_id = 2", ["great"])
    print(await conn.fetchval("SELECT ms FROM orders WHERE user_id = 2"))
    await conn.close()


asyncio.run(main(sys.argv[1]))
