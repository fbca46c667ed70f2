#!/usr/bin/env bash
# Times the pages of the dashboard over a ledger of 400 nights of 2,000 tables, in a throw-away cluster.
set -euo pipefail

usage() {
  cat <<'HELP'
usage: utils/benchmark-pages.sh

ROUNDS (default 7) is how often each page is asked for. PG_BIN_DIR is which PostgreSQL to use, NIGHTFERRY a nightferry that is
built already. The folder BENCH_DIR (default /tmp) needs room for the ledger, 500 MB.
HELP
}

case ${1:-} in
  '') ;;
  --help | -h) usage; exit ;;
  *) usage >&2; exit 2 ;;
esac

# shellcheck source=utils/benchmark-ground.sh
source "$(dirname "${BASH_SOURCE[0]}")/benchmark-ground.sh"

begin_benchmark pages
command -v curl >/dev/null || install_packages curl
warehouse_port=$(free_port)
start_cluster "$work/warehouse" "$warehouse_port" shared_buffers=256MB
on_warehouse() { query -p "$warehouse_port" -U postgres -d dw "$@"; }
query -p "$warehouse_port" -U postgres -d postgres -c 'create database dw'
url="postgres://postgres:$PGPASSWORD@127.0.0.1:$warehouse_port"
export SOURCE_DATABASE_URL=$url/postgres TARGET_DATABASE_URL=$url/dw QUEUE_FILE=$work/queue.sqlite
# Makes the ledger.
"$NIGHTFERRY" adopt >"$work/adopt.log" || { cat "$work/adopt.log" >&2; exit 1; }
on_warehouse -f "$repository/tests/it/fixtures/big_ledger.sql" >/dev/null
on_warehouse -c 'vacuum analyze'
echo "$(on_warehouse -c 'select count(*) from nightferry.runs') nights, $(on_warehouse -c 'select count(*) from nightferry.tables') tables written in them"

export PORT WEB_TOKEN=$CLUSTER_PASSWORD-of-the-benchmark
PORT=$(free_port)
"$NIGHTFERRY" web >"$work/web.log" 2>&1 &
running=$!
until_it_listens "$PORT" "$running" || { cat "$work/web.log" >&2; exit 1; }

night=$(on_warehouse -c "select max(run_id) from nightferry.runs where status = 'succeeded'")
for page in /nights "/nights/$night" /tables '/tables?sort=month&q=9&page=5' '/table?schema=public&name=table_700' /indexes /metrics; do
  for ((round = 0; round < ${ROUNDS:-7}; round++)); do
    # From a file descriptor: a token has no place among the arguments.
    curl -s -o /dev/null -w '%{http_code} %{size_download} %{time_total}\n' -K <(printf 'header = "Authorization: Bearer %s"\n' "$WEB_TOKEN") "127.0.0.1:$PORT$page"
  done | sort -k3n | awk -v page="$page" '
    { code = $1; size = $2; time[NR] = $3 * 1000 }
    END { printf "%-40s %s  median %3.0f ms, slowest %3.0f ms, %4.0f kB\n", page, code, time[int((NR + 1) / 2)], time[NR], size / 1000 }'
done
