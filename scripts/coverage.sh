#!/usr/bin/env bash
# How many queries and writes the planner reads: of what drivers send (tests/corpus), and of PostgreSQL's own
# regression files, which are fetched from its source package into target/corpus. Without a network that part is
# passed over, and said.
set -euo pipefail
cd "$(dirname "$0")/.."

version=${POSTGRES_VERSION:-15.18}
folder=$(realpath -m "${CARGO_TARGET_DIR:-target}/corpus")
files=$folder/postgresql-$version/src/test/regress/sql
if [ ! -d "$files" ]; then
    mkdir -p "$folder"
    url=https://ftp.postgresql.org/pub/source/v$version/postgresql-$version.tar.gz
    if curl -fsSL "$url" -o "$folder/source.tar.gz"; then
        tar -xzf "$folder/source.tar.gz" -C "$folder" "postgresql-$version/src/test/regress/sql"
        rm "$folder/source.tar.gz"
    elif (cd "$folder" && apt-get source --download-only postgresql-15 >/dev/null 2>&1); then
        tar -xf "$folder"/postgresql-15_*.orig.tar.* -C "$folder" --wildcards '*/src/test/regress/sql'
        files=$(ls -d "$folder"/postgresql-*/src/test/regress/sql | tail -1)
    else
        echo "coverage: PostgreSQL's regression files can't be had here (no $url, no apt source): passed over" >&2
    fi
fi
if [ -d "$files" ]; then export MARGAY_CORPUS=$files; fi
exec cargo test --locked --test coverage -- --nocapture
