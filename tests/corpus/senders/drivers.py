"""psycopg, asyncpg and peewee: what they send of their own, and plain statements. Run by record.sh."""

import asyncio
import os
import sys

URL = f"postgresql://app@{os.environ['PGHOST']}:{os.environ['PGPORT']}/{os.environ['PGDATABASE']}"


def use_psycopg():
    import psycopg
    from psycopg.types import TypeInfo, enum, hstore  # noqa: F401
    from psycopg.types.composite import CompositeInfo

    with psycopg.connect(URL) as c:
        c.execute("CREATE TABLE p (id int PRIMARY KEY, v text, n numeric)")
        c.execute("CREATE TYPE pair AS (a int, b text)")
        TypeInfo.fetch(c, "text"), CompositeInfo.fetch(c, "pair"), enum.EnumInfo.fetch(c, "pair")
        c.cursor().executemany("INSERT INTO p VALUES (%s, %s, %s)", [(i, str(i), i) for i in range(9)])
        c.execute("SELECT * FROM p WHERE id = %s AND v = ANY(%s)", (1, ["1", "2"])).fetchall()
        c.execute("SELECT * FROM p WHERE id = %(id)s", {"id": 2}).fetchone()
        with c.cursor("named") as cur:
            cur.execute("SELECT * FROM p ORDER BY id")
            cur.fetchmany(3)
        with c.transaction():
            c.execute("UPDATE p SET n = n + 1 WHERE id < %s RETURNING id", (3,))
        with c.pipeline():
            c.execute("SELECT 1")
            c.execute("DELETE FROM p WHERE id = %s", (8,))


async def use_asyncpg():
    import asyncpg

    c = await asyncpg.connect(URL)
    await c.execute("CREATE TABLE a (id int PRIMARY KEY, v text[], j jsonb, p point); CREATE TYPE mood AS ENUM ('x', 'y')")
    await c.execute("CREATE TABLE m (m mood, r int4range)")
    await c.executemany("INSERT INTO a (id, v, j) VALUES ($1, $2, $3)", [(i, ["a"], "{}") for i in range(5)])
    await c.fetch("SELECT * FROM a WHERE id = ANY($1::int[]) ORDER BY id", [1, 2])
    await c.fetchrow("SELECT id, v, j FROM a WHERE id = $1", 1)
    await c.fetchval("SELECT count(*) FROM a")
    await c.fetch("SELECT m, r FROM m WHERE m = $1", "x")
    async with c.transaction(isolation="repeatable_read"):
        async for _ in c.cursor("SELECT id FROM a", prefetch=2):
            pass
    await c.copy_records_to_table("a", records=[(50, ["z"])], columns=["id", "v"])
    await c.reset()
    await c.close()


def use_peewee():
    import peewee as pw

    db = pw.PostgresqlDatabase(os.environ["PGDATABASE"], user="app", host=os.environ["PGHOST"], port=int(os.environ["PGPORT"]))

    class Person(pw.Model):
        name = pw.CharField()
        born = pw.DateField(null=True)

        class Meta:
            database = db

    class Pet(pw.Model):
        owner = pw.ForeignKeyField(Person, backref="pets")
        name = pw.CharField()

        class Meta:
            database = db

    db.create_tables([Person, Pet])
    ann = Person.create(name="ann")
    Pet.insert_many([{"owner": ann, "name": n} for n in "abc"]).execute()
    list(Pet.select(Pet, Person).join(Person).where(Person.name.startswith("a") & (Pet.name << ["a", "b"])).order_by(Pet.name.desc()).paginate(1, 2))
    list(Person.select(Person, pw.fn.COUNT(Pet.id).alias("n")).join(Pet, pw.JOIN.LEFT_OUTER).group_by(Person).having(pw.fn.COUNT(Pet.id) > 1))
    list(pw.prefetch(Person.select(), Pet.select()))
    Pet.update(name=Pet.name + "!").where(Pet.owner == ann).execute()
    Person.insert(id=1, name="x").on_conflict(conflict_target=[Person.id], preserve=[Person.name]).execute()
    db.get_columns("pet"), db.get_indexes("pet"), db.get_foreign_keys("pet"), db.get_primary_keys("pet"), db.get_views()
    Person.delete().where(Person.id == 77).execute()
    Person.get_or_none(Person.id == 3)
    Pet.select().where(Pet.id.between(1, 2)).exists()


if sys.argv[1] == "psycopg":
    use_psycopg()
elif sys.argv[1] == "asyncpg":
    asyncio.run(use_asyncpg())
else:
    use_peewee()
