#!/usr/bin/env bash
# Records tests/corpus/*.sql: starts a private PostgreSQL that logs every statement, lets each sender that can be
# had here work on a database of its own, and writes down what the server got.
#
#   tests/corpus/senders/record.sh FOLDER
#
# FOLDER must hold (make them with the ordinary package managers):
#   venv/   Python with django sqlalchemy psycopg[binary] asyncpg peewee
#   node/   node_modules with pg sequelize typeorm reflect-metadata knex drizzle-orm
#   go/     a module with gorm.io/gorm gorm.io/driver/postgres
#   shop    the shop's program
# A sender that is missing is said and passed over.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(realpath "$1")
bin=${MARGAY_PG_BIN:-$(ls -d /usr/lib/postgresql/*/bin | tail -1)}
data=$(mktemp -d)
export PGHOST=127.0.0.1 PGPORT=${PGPORT:-54999} PGUSER=app

as_server() {
    if [ "$(id -u)" = 0 ]; then setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; else "$@"; fi
}
if [ "$(id -u)" = 0 ]; then chown 65534:65534 "$data"; fi
cd "$data"
as_server "$bin/initdb" -D "$data/server" -U app --auth=trust -E UTF8 --locale=C.UTF-8 >/dev/null
as_server "$bin/pg_ctl" -s -w -D "$data/server" -l "$data/start.log" start -o "-p $PGPORT -k $data -c listen_addresses=127.0.0.1 \
    -c log_statement=all -c log_destination=jsonlog -c logging_collector=on -c log_directory=$data/log -c log_filename=all -c fsync=off"
trap 'as_server "$bin/pg_ctl" -s -m fast -D "$data/server" stop; rm -rf "$data"' EXIT

sender() {
    local name=$1 how=$2
    shift 2
    createdb "$name"
    if ! PGDATABASE=$name "$@" >"$data/$name.out" 2>&1; then
        printf 'record: %s failed or is missing: %s\n' "$name" "$(tail -1 "$data/$name.out")" >&2
    fi
    python3 "$here/log_to_sql.py" "$data/log/all.json" "$name" "$how" >"$data/$name.sql"
    if [ "$(grep -c ';$' "$data/$name.sql")" -gt 3 ]; then cp "$data/$name.sql" "$here/../$name.sql"; fi
}

python=$folder/venv/bin/python
version() { "$python" -c "import importlib.metadata as m; print(m.version('$1'))" 2>/dev/null || echo '?'; }
node_version() { node -p "require('$folder/node/node_modules/$1/package.json').version" 2>/dev/null || echo '?'; }
sender django "Django $(version django), its ORM and migrations: django_orm.py" "$python" "$here/django_orm.py"
sender sqlalchemy "SQLAlchemy $(version sqlalchemy), its ORM and reflection over psycopg: sqlalchemy_orm.py" "$python" "$here/sqlalchemy_orm.py"
for driver in psycopg asyncpg peewee; do
    sender "$driver" "$driver $(version "$driver"): drivers.py" "$python" "$here/drivers.py" "$driver"
done
export NODE_PATH=$folder/node/node_modules
for orm in sequelize typeorm knex; do
    sender "$orm" "$orm $(node_version "$orm"): node_orms.js" node "$here/node_orms.js" "$orm"
done
sender drizzle "drizzle-orm $(node_version drizzle-orm): node_orms.js" node "$here/node_orms.js" drizzle

gorm() {
    cp "$here/gorm.go.txt" "$folder/go/main.go"
    (cd "$folder/go" && go run .)
}
sender gorm "GORM over pgx: gorm.go.txt" gorm

psql_commands() {
    psql -q -c "CREATE TABLE t (id int PRIMARY KEY, v text DEFAULT 'x', w int GENERATED ALWAYS AS (id * 2) STORED); CREATE VIEW vw AS SELECT * FROM t;
        CREATE TABLE pt (k int, FOREIGN KEY (k) REFERENCES t) PARTITION BY RANGE (k); CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (1) TO (5);
        CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TYPE mood AS ENUM ('a'); CREATE SEQUENCE sq; CREATE INDEX ON t (v)"
    psql -q <<'PSQL'
\d
\d+
\d t
\d+ t
\d+ vw
\d+ pt
\d pt1
\d sq
\d t_pkey
\dt+
\di+
\dv+
\ds
\dm
\df+
\da
\dT+
\do
\dn+
\du+
\dp
\db+
\dC
\dD
\dx
\dE
\des
\dew
\det
\dF
\dg
\dl
\dL
\dO
\dy
\dRp
\dRs
\dX
\dA
\dAc
\drds
\dconfig
\l+
\sf f
\sv vw
\z
PSQL
}
sender psql "psql's backslash commands" psql_commands

dump() {
    psql_commands
    pg_dump "$PGDATABASE"
    pg_dump --inserts --data-only "$PGDATABASE"
}
sender pg_dump "pg_dump of schema and data (and psql's commands, which make it)" dump

shop() { "$folder/shop" --url "postgres://app@$PGHOST:$PGPORT/$PGDATABASE" check --seconds 5; }
sender shop "the shop of examples/shop: seed, load and its books" shop
