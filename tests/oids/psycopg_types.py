"""Types of users' as psycopg registers them by the catalogs, in text and in binary: what it makes of them is
printed, and must be the same on Margay and on one plain server."""

import enum
import sys

import psycopg
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum


class Mood(enum.Enum):
    sad = 1
    ok = 2
    happy = 3
    great = 4


with psycopg.connect(sys.argv[1], autocommit=True) as conn:
    register_enum(EnumInfo.fetch(conn, "mood"), conn, Mood)
    register_composite(CompositeInfo.fetch(conn, "pair"), conn)
    register_composite(CompositeInfo.fetch(conn, "deep"), conn)
    pair = CompositeInfo.fetch(conn, "pair").python_type or __import__("collections").namedtuple("pair", "a m")
    for binary in (False, True):
        cursor = conn.cursor(binary=binary)
        for query in (
            "SELECT id, m, ms, p, ps, (d).p AS dp FROM users",
            "SELECT user_id, m, ms, p, ps, (d).p AS dp FROM orders ORDER BY user_id",
            "SELECT user_id, m, ms, p, ps, (d).p AS dp FROM orders WHERE user_id = 4",
        ):
            cursor.execute(query)
            print(query, cursor.fetchall())
            names = [conn.adapters.types.get(column.type_code) for column in cursor.description]
            print(" ", [info and info.name for info in names])
        for wanted in ("%s", "%t", "%b"):
            cursor.execute(f"SELECT count(*) FROM orders WHERE m = {wanted} AND user_id = 2", [Mood.ok])
            print(wanted, cursor.fetchall())
            cursor.execute(f"SELECT count(*) FROM orders WHERE m = ANY({wanted})", [[Mood.ok, Mood.sad]])
            print(wanted, cursor.fetchall())
