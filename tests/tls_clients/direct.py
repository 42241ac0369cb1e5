# Direct negotiation by libpq, where it is new enough (17).
import os
import psycopg

if psycopg.pq.version() < 170000:
    print(f"SKIP: libpq {psycopg.pq.version()} has no sslnegotiation=direct")
else:
    with psycopg.connect(
        host="localhost", port=os.environ["TLS_PORT"], dbname="shop", user="shop", password="secret",
        sslmode="verify-full", sslrootcert=os.environ["TLS_CA"], sslnegotiation="direct", channel_binding="require",
    ) as connection:
        assert connection.execute("SELECT 42").fetchone() == (42,)
    print(f"libpq {psycopg.pq.version()}: direct negotiation, verify-full, channel binding")
