# psycopg (libpq) and asyncpg by TLS: verification, channel binding, cancel, a result of many records.
import asyncio
import os
import ssl
import threading

import asyncpg
import psycopg

PORT, CA = int(os.environ["TLS_PORT"]), os.environ["TLS_CA"]
LOGIN = dict(host="localhost", port=PORT, user="shop", password="secret")

with psycopg.connect(**LOGIN, dbname="shop", sslmode="verify-full", sslrootcert=CA, channel_binding="require") as connection:
    assert connection.pgconn.ssl_in_use
    rows = connection.execute("SELECT repeat('x', 1000) FROM generate_series(1, 20000)").fetchall()
    assert len(rows) == 20000 and all(row == ("x" * 1000,) for row in rows)
    text = "y" * 5_000_000
    assert connection.execute("SELECT length(%s), %s", (text, text)).fetchone() == (len(text), text)
    timer = threading.Timer(0.3, lambda: connection.cancel_safe() if hasattr(connection, "cancel_safe") else connection.cancel())
    timer.start()
    try:
        connection.execute("SELECT pg_sleep(60)")
        raise AssertionError("not cancelled")
    except psycopg.errors.QueryCanceled:
        pass
print(f"psycopg {psycopg.__version__}, libpq {psycopg.pq.version()}: verify-full, channel binding, cancel")

if psycopg.pq.version() >= 180000:
    # What libpq 18 asks for when told to: protocol 3.2, and grease that is negotiated down.
    for version, agreed in (("3.2", 30002), ("latest", 30002), ("3.0", 30000)):
        with psycopg.connect(**LOGIN, dbname="shop", sslmode="require", max_protocol_version=version) as connection:
            assert connection.execute("SELECT 42").fetchone() == (42,), version
            timer = threading.Timer(0.3, connection.cancel_safe)
            timer.start()
            try:
                connection.execute("SELECT pg_sleep(60)")
                raise AssertionError("not cancelled")
            except psycopg.errors.QueryCanceled:
                pass
    print("libpq 18: protocol 3.0, 3.2 and the latest, with their cancel keys")


async def main():
    context = ssl.create_default_context(cafile=CA)
    connection = await asyncpg.connect(**LOGIN, database="shop", ssl=context)
    assert await connection.fetchval("SELECT 42") == 42
    try:
        await asyncio.wait_for(connection.execute("SELECT pg_sleep(60)"), 0.3)
        raise AssertionError("not cancelled")
    except asyncio.TimeoutError:
        pass
    assert await connection.fetchval("SELECT 43") == 43
    await connection.close()
    # Left to itself asyncpg doesn't name the protocol, which PostgreSQL 17 asks for too.
    context.set_alpn_protocols(["postgresql"])
    connection = await asyncpg.connect(**LOGIN, database="shop", ssl=context, direct_tls=True)
    assert await connection.fetchval("SELECT 42") == 42
    await connection.close()
    print(f"asyncpg {asyncpg.__version__}: verified, cancel, direct")


asyncio.run(main())
