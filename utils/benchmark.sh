#!/usr/bin/env bash
# Times the full stage against what PostgreSQL's own tools need for the same: pg_dump -Fd -Z 0 plus pg_restore, both
# with 2 jobs. Two throw-away clusters with the same settings; the two take turns, each into a fresh database.
set -euo pipefail

usage() {
  cat <<'HELP'
usage: utils/benchmark.sh [DATASET.sql [SCALE]]

  DATASET.sql   what to copy (default: utils/dataset.sql); psql runs it with -v scale=SCALE
  SCALE         1 unless said otherwise

ROUNDS (default 3) is how often each is timed, JOBS (default 2) how many jobs each has, PG_BIN_DIR which PostgreSQL to
use, NIGHTFERRY a nightferry that is built already. FK (default true) is RESTORE_FK_CONSTRAINTS. Both do the same work: no
enrichment, unless ENRICHMENT_DIR says which.
The folder BENCH_DIR (default /tmp) needs room for five times the data: source, dump and two copies with their WAL.
HELP
}

case ${1:-} in
  --help | -h) usage; exit ;;
  -*) usage >&2; exit 2 ;;
esac

# shellcheck source=utils/benchmark-ground.sh
source "$(dirname "${BASH_SOURCE[0]}")/benchmark-ground.sh"

dataset=$(realpath "${1:-$repository/utils/dataset.sql}")
scale=${2:-1}
rounds=${ROUNDS:-3}
jobs=${JOBS:-2}
[[ -r $dataset ]] || { usage >&2; exit 2; }

begin_benchmark benchmark
mkdir "$work/no-enrichment"
enrichment=$(realpath "${ENRICHMENT_DIR:-$work/no-enrichment}")
export PGUSER=postgres

settings=(shared_buffers=256MB max_wal_size=4GB maintenance_work_mem=128MB autovacuum=off)
source_port=$(free_port)
start_cluster "$work/source" "$source_port" "${settings[@]}"
warehouse_port=$(free_port)
start_cluster "$work/warehouse" "$warehouse_port" "${settings[@]}"

query -p "$source_port" -d postgres -c 'create database app'
echo "loading $dataset at scale $scale"
query -p "$source_port" -d app -v scale="$scale" -f "$dataset" >/dev/null
# What both read is then clean and, as far as it fits, in memory.
query -p "$source_port" -d app -c 'vacuum analyze' -c checkpoint
query -p "$source_port" -d app -c "select 'tables: ' || pg_size_pretty(sum(pg_table_size(oid))) || ', with indexes: ' || pg_size_pretty(sum(pg_total_relation_size(oid)))
  from pg_class where relkind = 'r' and relnamespace::regnamespace::text not in ('pg_catalog', 'information_schema')"
echo "$("$PG_BIN_DIR/postgres" --version), $(nproc) processors, $jobs jobs each, foreign keys: ${FK:-true}"

fresh() {
  query -p "$warehouse_port" -d postgres -c 'drop database if exists dw' -c 'create database dw' -c checkpoint
}

# Each leaves its seconds in the variable took.
tools() {
  fresh
  local start
  start=$(now)
  "$PG_BIN_DIR/pg_dump" -Fd -j "$jobs" -Z 0 -p "$source_port" -f "$work/dump" app
  "$PG_BIN_DIR/pg_restore" -j "$jobs" -p "$warehouse_port" -d dw --no-owner --no-privileges "$work/dump"
  took=$(minus "$(now)" "$start")
  rm -rf "$work/dump"
}

peak=0
ferry() {
  fresh
  local start kb
  start=$(now)
  (
    cd "$work"
    exec env -i PATH="$PATH" PG_BIN_DIR="$PG_BIN_DIR" PG_RESTORE_JOBS="$jobs" RESTORE_FK_CONSTRAINTS="${FK:-true}" \
      ENRICHMENT_DIR="$enrichment" WORK_DIR="$work" LOG_FORMAT=json \
      SOURCE_DATABASE_URL="postgres://postgres:$PGPASSWORD@127.0.0.1:$source_port/app" \
      TARGET_DATABASE_URL="postgres://postgres:$PGPASSWORD@127.0.0.1:$warehouse_port/dw" \
      "$NIGHTFERRY" run full-replication
  ) >"$work/ferry.log" 2>&1 &
  running=$!
  # The kernel's own high-water mark of this one process, read until it is gone.
  while kb=$(awk '/^VmHWM/ { print $2 }' "/proc/$running/status" 2>/dev/null) && [[ -n $kb ]]; do
    ((kb <= peak)) || peak=$kb
    sleep 0.1
  done
  if ! wait "$running"; then
    tail -n 20 "$work/ferry.log" >&2
    exit 1
  fi
  took=$(minus "$(now)" "$start")
  running=
}

printf '\n%-8s %22s %12s\n' round 'pg_dump + pg_restore' nightferry
tools_times=()
ferry_times=()
for ((round = 1; round <= rounds; round++)); do
  # Whoever goes second finds a warmer cache: they take turns in that too.
  if ((round % 2)); then order=(tools ferry); else order=(ferry tools); fi
  for who in "${order[@]}"; do
    "$who"
    declare -n times="${who}_times"
    times+=("$took")
  done
  printf '%-8s %20s s %10s s\n' "$round" "${tools_times[-1]}" "${ferry_times[-1]}"
done

median() { printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
tools_median=$(median "${tools_times[@]}")
ferry_median=$(median "${ferry_times[@]}")
printf '%-8s %20s s %10s s\n' median "$tools_median" "$ferry_median"
awk -v a="$ferry_median" -v b="$tools_median" 'BEGIN { printf "\nratio: %.2f (below 1: nightferry is faster)\n", a / b }'
awk -v kb="$peak" 'BEGIN { printf "nightferry'\''s peak memory: %.1f MB\n", kb * 1024 / 1e6 }'
