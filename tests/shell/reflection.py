"""What SQLAlchemy reflects of a database, as text: the same for Margay and for one plain server."""

import sys
import warnings

import sqlalchemy as sa

warnings.simplefilter("ignore", sa.exc.SAWarning)
engine = sa.create_engine(sys.argv[1].replace("postgres://", "postgresql+psycopg://", 1))
inspector = sa.inspect(engine)
for schema in inspector.get_schema_names():
    if schema == "information_schema":
        continue
    print("schema", schema)
    print(" enums", inspector.get_enums(schema=schema))
    print(" sequences", sorted(inspector.get_sequence_names(schema=schema)))
    for view in sorted(inspector.get_view_names(schema=schema)):
        print(" view", view, inspector.get_view_definition(view, schema=schema))
    for table in sorted(inspector.get_table_names(schema=schema)):
        print(" table", table, inspector.get_table_comment(table, schema=schema))
        for column in inspector.get_columns(table, schema=schema):
            print("  ", column["name"], repr(column["type"]), {k: v for k, v in column.items() if k not in ("name", "type")})
        print("   key", inspector.get_pk_constraint(table, schema=schema))
        for what in ("foreign_keys", "indexes", "unique_constraints", "check_constraints"):
            found = getattr(inspector, f"get_{what}")(table, schema=schema)
            print("  ", what, sorted(found, key=lambda f: f["name"]))
