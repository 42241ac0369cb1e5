#!/usr/bin/env bash
# How many instructions a proxy executes per query in user mode: by valgrind's callgrind, as the difference of a
# long and a short run of one pgbench client, so that start and login don't count. Unlike times, no load of the
# machine changes it. Margay and, where it is installed, PgBouncer:
#
#   margay sandbox benches/proxies/rules.yaml -- scripts/instructions.sh [MARGAY] [QUERIES]
#
# KEEP=folder keeps callgrind's files, for callgrind_annotate.
set -euo pipefail
margay=${1:-target/release/margay}
queries=${2:-1000}
: "${MARGAY_NODE_N_ONE_URL:?run it within the sandbox}"
folder=${KEEP:-$(mktemp -d)}
mkdir -p "$folder"
chmod 777 "$folder"
[ -n "${KEEP:-}" ] || trap 'rm -rf "$folder"' EXIT
pgbench="$MARGAY_PG_BIN/pgbench"
"$pgbench" -i -q "$MARGAY_NODE_N_ONE_URL" 2>/dev/null

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
port=$(free_port)
cat >"$folder/rules.yaml" <<RULES
version: 1
listen: {postgres: 127.0.0.1:$port}
users: [{name: bench, password: {plain: bench}}]
nodes: {one: {primary: "$MARGAY_NODE_N_ONE_URL"}}
databases: {bench: {engine: postgres, domains: {bank: {nodes: [one], tables: {pgbench_accounts: {}}}}}}
RULES
server=${MARGAY_NODE_N_ONE_URL#postgres://}
cat >"$folder/pgbouncer.ini" <<INI
[databases]
bench = host=127.0.0.1 port=$(sed 's/.*:\([0-9]*\)\/.*/\1/' <<<"$server") dbname=${server##*/} user=${server%%:*} password=$(sed 's/^[^:]*:\([^@]*\)@.*/\1/' <<<"$server")
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = any
pool_mode = transaction
ignore_startup_parameters = extra_float_digits
INI

# Instructions of a run's thread that serves the client. $1: mode, $2: queries, then the proxy.
run() {
  local mode=$1 count=$2 out="$folder/$1.$2"
  shift 2
  # One thread for clients. PgBouncer refuses to be root.
  local as=()
  [[ $1 == *pgbouncer* && $EUID == 0 ]] && as=(setpriv --reuid nobody --clear-groups)
  rm -f "$out"*
  MARGAY_CORES=1 "${as[@]}" valgrind --tool=callgrind --separate-threads=yes --callgrind-out-file="$out" \
    "$@" >"$folder/log" 2>&1 &
  local proxy=$!
  until (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    kill -0 $proxy 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
    sleep 0.1
  done
  # The catalog is read by now.
  sleep 2
  "$pgbench" -S -n -M "$mode" -t "$count" "postgres://bench:bench@127.0.0.1:$port/bench" >/dev/null 2>&1
  kill -INT $proxy
  wait $proxy || true
  # PgBouncer has one thread, and its names are stripped.
  grep -lE 'postgres::inlet|pgbouncer' "$out"-* | xargs sed -n 's/^totals: //p' | sort -n | tail -1
}

for mode in simple extended prepared; do
  for proxy in pgbouncer margay; do
    case $proxy in
    margay) command=("$margay" serve "$folder/rules.yaml") ;;
    pgbouncer)
      # Before 1.21 it keeps no prepared statements apart.
      [ "$mode" != prepared ] && command -v pgbouncer >/dev/null || continue
      command=("$(command -v pgbouncer)" -q "$folder/pgbouncer.ini")
      ;;
    esac
    short=$(run "$mode" "$queries" "${command[@]}")
    long=$(run "$mode" $((3 * queries)) "${command[@]}")
    echo "$mode $proxy $(((long - short) / (2 * queries)))"
  done
done
