"""SQLAlchemy Core over psycopg against Margay: reflection, bulk inserts with RETURNING, transactions."""

import os
import sys
import warnings

import sqlalchemy as sa

URL = os.environ["MARGAY_POSTGRES_URL"].replace("postgres://", "postgresql+psycopg://", 1)
passed = 0
# Who makes the ids of items, the reflected table does not say.
warnings.simplefilter("ignore", sa.exc.SAWarning)


def check(what, condition):
    global passed
    if not condition:
        sys.exit(f"SQLAlchemy: {what}")
    passed += 1


engine = sa.create_engine(URL, pool_size=3)
items = sa.Table("items", sa.MetaData(), autoload_with=engine)
check("reflection finds columns and key", len(items.columns) == 7 and {c.name for c in items.primary_key} == {"owner", "id"})
names = sa.Table("names", sa.MetaData(), sa.Column("name", sa.Text, primary_key=True), sa.Column("n", sa.Integer))

with engine.begin() as conn:
    rows = [{"id": i, "owner": 7000 + i, "label": f"sa {i}", "price": i} for i in range(300)]
    conn.execute(sa.insert(items), rows)
with engine.connect() as conn:
    mine = items.c.owner.between(7000, 7299)
    check("a bulk insert", conn.scalar(sa.select(sa.func.count()).select_from(items).where(mine)) == 300)
    check("a row by its key", conn.execute(sa.select(items.c.label).where(items.c.owner == 7123)).scalar_one() == "sa 123")
    got = conn.execute(sa.select(items.c.owner).where(mine).order_by(items.c.owner.desc()).limit(3).offset(1)).scalars().all()
    check("ordered with limit and offset", got == [7298, 7297, 7296])
    got = conn.execute(sa.select(items.c.label).where(items.c.owner.in_([7001, 7002, 7200])).order_by(items.c.owner)).scalars().all()
    check("keys in a list", got == ["sa 1", "sa 2", "sa 200"])
    check("a sum", conn.scalar(sa.select(sa.func.sum(items.c.price)).where(mine)) == 44850)
    conn.rollback()
    done = conn.execute(sa.update(items).where(items.c.owner == 7005).values(label="changed"))
    check("an update", done.rowcount == 1)
    conn.rollback()
    check("rolled back", conn.scalar(sa.select(items.c.label).where(items.c.owner == 7005)) == "sa 5")
    with conn.begin_nested():
        conn.execute(sa.delete(items).where(items.c.owner.between(7290, 7299)))
    conn.commit()
    check("a delete over nodes", conn.scalar(sa.select(sa.func.count()).select_from(items).where(mine)) == 290)

with engine.begin() as conn:
    returned = conn.execute(sa.insert(items).returning(items.c.id), [{"owner": 8000 + i, "label": "r"} for i in range(20)])
    check("generated keys of a bulk insert", len(set(returned.scalars())) == 20)
    conn.execute(sa.insert(names), [{"name": f"sa{i}", "n": i} for i in range(10)])
try:
    with engine.begin() as conn:
        conn.execute(sa.insert(names), [{"name": "sa_new", "n": 1}, {"name": "sa3", "n": 1}])
    check("a conflict", False)
except sa.exc.IntegrityError:
    pass
with engine.connect() as conn:
    check("undone as a whole", conn.scalar(sa.select(sa.func.count()).select_from(names).where(names.c.name == "sa_new")) == 0)
    conn.rollback()
    serial = conn.execution_options(isolation_level="REPEATABLE READ")
    check("repeatable read", serial.scalar(sa.select(sa.func.count()).select_from(names).where(names.c.name.like("sa%"))) == 10)
engine.dispose()
print(f"SQLAlchemy {sa.__version__}: {passed} checks")
