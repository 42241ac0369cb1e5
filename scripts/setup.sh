#!/usr/bin/env bash
# Installs what `make demo` and `make test` need and this machine lacks. Safe to run again: it only
# looks, if everything is there.
#
#   scripts/setup.sh demo    servers, clients, compiler
#   scripts/setup.sh test    the same and the drivers of Python, Java and Node that tests use
#   scripts/setup.sh bench   the same as demo, and the proxies that `make bench` compares with
#
# Debian and Ubuntu: with apt-get, as root or through sudo. Elsewhere it says what to install.
set -euo pipefail
cd "$(dirname "$0")/.."

purpose=${1:-test}
venv=${CARGO_TARGET_DIR:-target}/venv
# Maven takes a folder by the place of its file.
drivers=$(realpath -m "${CARGO_TARGET_DIR:-target}/drivers")
# Where Debian's post-installation looks before it makes and starts a cluster of its own.
cluster_conf=/etc/postgresql-common/createcluster.d/margay-setup.conf

say() { printf 'setup: %s\n' "$*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }

# The same places in the same order as `margay sandbox` (src/sandbox/binaries.rs).
server_folders() {
    if [ -n "${MARGAY_PG_BIN:-}" ]; then
        printf '%s\n' "$MARGAY_PG_BIN"
        return
    fi
    if has pg_config; then pg_config --bindir; fi
    printf '%s\n' /usr/lib/postgresql/*/bin
    printf '%s\n' "$PATH" | tr ':' '\n'
}

has_server() {
    local folder
    while IFS= read -r folder; do
        if [ -x "$folder/postgres" ] && [ -x "$folder/initdb" ] && [ -x "$folder/pg_ctl" ]; then
            return 0
        fi
    done < <(server_folders)
    return 1
}

has_venv_module() { has python3 && python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

missing() {
    has_server || echo server
    if ! has psql || ! has pgbench; then echo client; fi
    has cc || echo compiler
    if [ "$purpose" = test ] && ! has_venv_module; then echo python; fi
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

package_of() {
    case $1 in
        server) echo postgresql ;;
        # pgbench is in the server's package.
        client) echo postgresql postgresql-client ;;
        compiler) echo gcc libc6-dev ;;
        python) echo python3 python3-venv ;;
    esac
}

# Only our own servers are wanted, not one that listens on 5432 from now on.
hold_back_cluster() {
    as_root mkdir -p "$(dirname "$cluster_conf")"
    echo 'create_main_cluster = false' | as_root tee "$cluster_conf" >/dev/null
    trap release_cluster EXIT
}

release_cluster() {
    as_root rm -f "$cluster_conf"
    as_root rmdir "$(dirname "$cluster_conf")" 2>/dev/null || true
}

install_with_apt() {
    local packages=() thing
    for thing in "$@"; do
        read -ra more <<<"$(package_of "$thing")"
        packages+=("${more[@]}")
    done
    say "installing ${packages[*]}"
    as_root apt-get update -qq
    case " ${packages[*]} " in *" postgresql "*) hold_back_cluster ;; esac
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" \
        >/dev/null
}

refuse() {
    cat >&2 <<END
setup: this machine lacks: $*
setup: there is no apt-get that I may use here (it takes root, or sudo). Please install, then try again:
  server    PostgreSQL 13 or newer with postgres, initdb and pg_ctl
            (Fedora: postgresql-server postgresql-contrib; Arch: postgresql; Alpine: postgresql)
  client    psql and pgbench (Fedora: postgresql postgresql-contrib; Arch: postgresql)
  compiler  a C compiler and linker named cc (gcc or clang)
  python    python3 with the modules venv and ensurepip
setup: a server in an unusual place is found through MARGAY_PG_BIN=<its folder of programs>.
END
    exit 1
}

install_missing() {
    local lacking
    mapfile -t lacking < <(missing)
    if [ ${#lacking[@]} = 0 ]; then return; fi
    if has apt-get && { [ "$(id -u)" = 0 ] || has sudo; }; then
        install_with_apt "${lacking[@]}"
        mapfile -t lacking < <(missing)
        if [ ${#lacking[@]} = 0 ]; then return; fi
    fi
    if [ "${lacking[*]}" = python ]; then return; fi
    refuse "${lacking[@]}"
}

check_rust() {
    if ! has cargo; then
        say "there is no cargo: install a Rust toolchain (https://rustup.rs), then try again"
        exit 1
    fi
}

has_drivers() { [ -x "$venv/bin/python" ] && "$venv/bin/python" -c 'import psycopg, asyncpg, sqlalchemy, psycopg2, django' >/dev/null 2>&1; }

# Tests with Python's drivers are skipped, and say so, where this does not work out.
make_venv() {
    if has_drivers; then return; fi
    if ! has_venv_module; then
        say "SKIP tests with psycopg and asyncpg: python3 with venv is not here"
        return
    fi
    say "making $venv with drivers of Python"
    if ! { python3 -m venv "$venv" && "$venv/bin/python" -m pip install -q -r scripts/python-drivers.txt; }; then
        say "SKIP tests with psycopg and asyncpg: their installation failed"
    fi
}

# The same for drivers of other languages, where the machine has what fetches them.
fetch_java_drivers() {
    if compgen -G "$drivers/java/postgresql-*.jar" >/dev/null; then return; fi
    if ! has java || ! has mvn; then
        say "SKIP tests with pgjdbc: java and mvn are not here"
        return
    fi
    say "fetching pgjdbc"
    if ! mvn -q -B -f tests/clients/java/pom.xml \
        org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
        "-DoutputDirectory=$drivers/java" >/dev/null; then
        say "SKIP tests with pgjdbc: it could not be fetched"
    fi
}

fetch_node_drivers() {
    if [ -d "$drivers/node/node_modules/pg" ] && [ -d "$drivers/node/node_modules/sequelize" ]; then return; fi
    if ! has node || ! has npm; then
        say "SKIP tests with node-postgres and Sequelize: node and npm are not here"
        return
    fi
    say "fetching node-postgres and Sequelize"
    if ! npm install --silent --no-audit --no-fund --prefix "$drivers/node" pg@8 sequelize@6 >/dev/null; then
        say "SKIP tests with node-postgres: it could not be fetched"
    fi
}

build_go_client() {
    if [ -x "$drivers/go/pgx_client" ] && [ ! tests/clients/go/main.go -nt "$drivers/go/pgx_client" ]; then return; fi
    if ! has go; then
        say "SKIP tests with pgx: go is not here"
        return
    fi
    say "building the client with pgx"
    mkdir -p "$drivers"
    if ! (cd tests/clients/go && go build -o "$drivers/go/pgx_client" .) >/dev/null; then
        say "SKIP tests with pgx: it could not be built"
    fi
}

# Other proxies are looked at where they are there; the bench leaves out what is missing.
install_peers() {
    local peer lacking=()
    for peer in haproxy pgbouncer; do
        if ! PATH="$PATH:/usr/sbin" has "$peer"; then lacking+=("$peer"); fi
    done
    if [ ${#lacking[@]} = 0 ]; then return; fi
    if ! has apt-get || ! { [ "$(id -u)" = 0 ] || has sudo; }; then
        say "SKIP ${lacking[*]}: not here, and there is no apt-get that I may use"
        return
    fi
    say "installing ${lacking[*]}"
    # Debian's way to install a server without starting it.
    local refuse_start=/usr/sbin/policy-rc.d made=
    if [ ! -e "$refuse_start" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$refuse_start" >/dev/null
        as_root chmod +x "$refuse_start"
        made=yes
    fi
    if ! { as_root apt-get update -qq &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${lacking[@]}" \
            >/dev/null; }; then
        say "SKIP ${lacking[*]}: the installation failed"
    fi
    if [ -n "$made" ]; then as_root rm -f "$refuse_start"; fi
}

case $purpose in demo | test | bench) ;; *) say "usage: scripts/setup.sh demo|test|bench"; exit 2 ;; esac
check_rust
install_missing
if [ "$purpose" = bench ]; then install_peers; fi
if [ "$purpose" = test ]; then
    make_venv
    fetch_java_drivers
    fetch_node_drivers
    build_go_client
fi
