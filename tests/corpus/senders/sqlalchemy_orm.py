"""SQLAlchemy's ORM over psycopg: what it sends, with reflection. Run by record.sh."""

import datetime
import os

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql as pg

e = sa.create_engine(f"postgresql+psycopg://app@{os.environ['PGHOST']}:{os.environ['PGPORT']}/{os.environ['PGDATABASE']}")


class Base(orm.DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "user_account"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(30))
    tags: orm.Mapped[list[str]] = orm.mapped_column(pg.ARRAY(sa.Text), default=list)
    data: orm.Mapped[dict] = orm.mapped_column(pg.JSONB, default=dict)
    addresses: orm.Mapped[list["Address"]] = orm.relationship(back_populates="user", cascade="all, delete-orphan")


class Address(Base):
    __tablename__ = "address"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    email: orm.Mapped[str] = orm.mapped_column(unique=True)
    at: orm.Mapped[datetime.datetime] = orm.mapped_column(server_default=sa.func.now())
    user_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("user_account.id"))
    user: orm.Mapped[User] = orm.relationship(back_populates="addresses")


Base.metadata.create_all(e)
sa.MetaData().reflect(e)
i = sa.inspect(e)
i.get_table_names(), i.get_view_names(), i.get_schema_names(), i.get_enums()
for t in i.get_table_names():
    i.get_columns(t), i.get_indexes(t), i.get_foreign_keys(t), i.get_pk_constraint(t), i.get_unique_constraints(t)
    i.get_check_constraints(t), i.get_table_comment(t)
S = orm.Session
with S(e) as s:
    s.add_all([User(name=f"u{n}", tags=["a", str(n)], data={"n": n}, addresses=[Address(email=f"{n}@x"), Address(email=f"{n}@y")]) for n in range(5)])
    s.commit()
    u = s.get(User, 1)
    u.name = "changed"
    s.flush()
    sel = sa.select
    for q in [
        sel(User).where(User.name.in_(["u1", "u2"])).order_by(User.id.desc()).limit(2).offset(1),
        sel(User).options(orm.selectinload(User.addresses)),
        sel(User).options(orm.joinedload(User.addresses)).limit(2),
        sel(User).options(orm.subqueryload(User.addresses)),
        sel(User).join(User.addresses).where(Address.email.like("%@x")).distinct(),
        sel(User.name, sa.func.count(Address.id).label("n")).outerjoin(Address).group_by(User.name).having(sa.func.count() > 1).order_by(sa.text("n DESC")),
        sel(User).where(User.tags.any("a")), sel(User).where(User.tags.contains(["a"])), sel(User).where(User.data["n"].as_integer() == 2),
        sel(User).where(User.data.contains({"n": 1})), sel(User.tags[1]), sel(User).where(User.addresses.any(Address.email == "1@x")),
        sel(User).with_for_update(skip_locked=True, key_share=True), sel(User).where(sa.between(User.id, 1, 3)),
        sel(sa.func.row_number().over(partition_by=Address.user_id, order_by=Address.id), Address.email),
        sel(User).where(sa.tuple_(User.id, User.name).in_([(1, "a"), (2, "u2")])), sel(sa.cast(User.id, sa.Text), sa.case((User.id > 2, "big"), else_="small")),
        sel(User.name).union_all(sel(Address.email)), sel(User.name).intersect(sel(Address.email)), sel(sa.exists().where(User.id == 1)),
        sel(sa.literal_column("1")), sel(sa.func.coalesce(sa.func.max(User.id), 0)), sel(User).where(User.name.ilike("U%"), User.id.is_distinct_from(3)),
        sel(Address).where(Address.at > sa.func.now() - sa.text("interval '1 day'")), sel(sa.func.jsonb_build_object("id", User.id)),
        sel(User.id).where(User.id == sa.any_(sa.literal([1, 2], pg.ARRAY(sa.Integer)))), sel(sa.extract("year", Address.at)),
        sel(sa.func.string_agg(User.name, pg.aggregate_order_by(sa.literal(","), User.id.desc()))),
    ]:
        try:
            s.execute(q).unique().all()
        except sa.exc.InvalidRequestError:
            s.execute(q).all()
    cte = sel(User.id, User.name).where(User.id < 4).cte("c")
    s.execute(sel(cte.c.name, Address.email).join(Address, Address.user_id == cte.c.id)).all()
    r = sel(User.id).where(User.id == 1).cte("r", recursive=True)
    s.execute(sel(r.union_all(sel(r.c.id + 1).where(r.c.id < 4)))).all()
    lat = sel(Address.email).where(Address.user_id == User.id).limit(1).lateral("l")
    s.execute(sel(User.name, lat.c.email).join(lat, sa.true(), isouter=True)).all()
    s.execute(pg.insert(Address).values(email="0@x", user_id=1).on_conflict_do_update(index_elements=["email"], set_={"user_id": 2}))
    s.execute(pg.insert(Address).values(email="0@x", user_id=1).on_conflict_do_nothing().returning(Address.id))
    s.execute(sa.insert(User).returning(User.id), [{"name": "many"}, {"name": "more"}])
    s.execute(sa.update(User).where(User.id == 2).values(name=User.name + "!").returning(User.id, User.name))
    s.execute(sa.update(Address).where(Address.user_id == User.id, User.name == "u3").values(email=Address.email + "z"))
    s.execute(sa.delete(Address).where(Address.user_id == sel(sa.func.max(User.id)).scalar_subquery()))
    with s.begin_nested():
        s.delete(s.get(User, 1))
    s.commit()
