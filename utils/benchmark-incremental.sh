#!/usr/bin/env bash
# Times the incremental stage against what people do by hand for the same: psql's \copy of what is beyond the greatest id,
# one table after the other. Two throw-away clusters; the two take turns, each into the same warehouse as it was before.
set -euo pipefail

usage() {
  cat <<'HELP'
usage: utils/benchmark-incremental.sh [SCALE [ROWS]]

  SCALE   of utils/dataset.sql: 1 unless said otherwise
  ROWS    how many new rows there are, half of them in answers and half in "knowledge-elements": 1000000 unless said otherwise

The warehouse has both tables with their indexes and without foreign keys, which would time the check of each row against
other tables for both alike. Its ledger knows how far they are settled, from a first run before the new rows are made.

ROUNDS (default 3) is how often each is timed, JOBS (default 2) how many jobs nightferry has, PG_BIN_DIR which PostgreSQL to
use, NIGHTFERRY a nightferry that is built already. BY_HAND=true times two binary COPY pipes beside each other too.
The folder BENCH_DIR (default /tmp) needs room for five times the data: the source, two copies and their WAL.
HELP
}

case ${1:-} in
  --help | -h) usage; exit ;;
  -*) usage >&2; exit 2 ;;
esac

# shellcheck source=utils/benchmark-ground.sh
source "$(dirname "${BASH_SOURCE[0]}")/benchmark-ground.sh"

scale=${1:-1}
new_rows=${2:-1000000}
rounds=${ROUNDS:-3}
jobs=${JOBS:-2}
contenders=(peer ferry)
[[ ${BY_HAND:-false} != true ]] || contenders+=(pipes)
tables=(answers knowledge-elements)

begin_benchmark incremental
mkdir "$work/no-enrichment"
export PGUSER=postgres
on_source() { query -p "$source_port" -d app "$@"; }
on_warehouse() { query -p "$warehouse_port" -d dw "$@"; }

settings=(shared_buffers=256MB max_wal_size=4GB maintenance_work_mem=128MB autovacuum=off)
source_port=$(free_port)
start_cluster "$work/source" "$source_port" "${settings[@]}"
warehouse_port=$(free_port)
start_cluster "$work/warehouse" "$warehouse_port" "${settings[@]}"

# nightferry's stage on a database of the warehouse's cluster. Leaves its own memory's high-water mark in the variable peak.
peak=0
ferry_into() {
  local kb
  (
    cd "$work"
    exec env -i PATH="$PATH" PG_BIN_DIR="$PG_BIN_DIR" PG_RESTORE_JOBS="$jobs" ENRICHMENT_DIR="$work/no-enrichment" WORK_DIR="$work" \
      LOG_FORMAT=json BACKUP_MODE='{"answers":"incremental","knowledge-elements":"incremental"}' \
      SOURCE_DATABASE_URL="postgres://postgres:$PGPASSWORD@127.0.0.1:$source_port/app" \
      TARGET_DATABASE_URL="postgres://postgres:$PGPASSWORD@127.0.0.1:$warehouse_port/$1" \
      "$NIGHTFERRY" run incremental-replication
  ) >"$work/ferry.log" 2>&1 &
  running=$!
  # The kernel's own mark of this one process, read until it is gone.
  while kb=$(awk '/^VmHWM/ { print $2 }' "/proc/$running/status" 2>/dev/null) && [[ -n $kb ]]; do
    ((kb <= peak)) || peak=$kb
    sleep 0.05
  done
  if ! wait "$running"; then
    tail -n 20 "$work/ferry.log" >&2
    exit 1
  fi
  running=
}

query -p "$source_port" -d postgres -c 'create database app'
query -p "$warehouse_port" -d postgres -c 'create database before'
echo "loading utils/dataset.sql at scale $scale"
on_source -v scale="$scale" -f "$repository/utils/dataset.sql" >/dev/null
"$PG_BIN_DIR/pg_dump" -Fc -Z 0 -p "$source_port" -t answers -t '"knowledge-elements"' -f "$work/copy.dump" app
"$PG_BIN_DIR/pg_restore" --list "$work/copy.dump" | grep -v ' FK CONSTRAINT ' >"$work/copy.list"
"$PG_BIN_DIR/pg_restore" -j "$jobs" -p "$warehouse_port" -d before --no-owner --use-list="$work/copy.list" "$work/copy.dump"
rm "$work/copy.dump"
query -p "$warehouse_port" -d before -c 'vacuum analyze'
ferry_into before
peak=0

# New rows look like those that are there.
on_source -v rows="$((new_rows / 2))" <<'SQL'
select max(id) as old_answers from answers \gset
select max(id) as old_elements from "knowledge-elements" \gset
insert into answers (value, result, "assessmentId", "challengeId", "createdAt", "updatedAt", timeout, "resultDetails", "timeSpent")
  select value, result, "assessmentId", "challengeId", now(), now(), timeout, "resultDetails", "timeSpent"
    from generate_series(1::bigint, :rows) g join answers on id = 1 + g * 7919 % :old_answers order by g;
insert into "knowledge-elements" (source, status, "createdAt", "answerId", "assessmentId", "skillId", "earnedPix", "userId", "competenceId")
  select source, status, now(), "answerId", "assessmentId", "skillId", "earnedPix", "userId", "competenceId"
    from generate_series(1::bigint, :rows) g join "knowledge-elements" on id = 1 + g * 7919 % :old_elements order by g;
SQL
# What all read is then clean and, as far as it fits, in memory.
on_source -c 'vacuum analyze answers' -c 'vacuum analyze "knowledge-elements"' -c checkpoint
for table in "${tables[@]}"; do
  on_source -c "select '$table: ' || count(*) || ' rows, ' || pg_size_pretty(pg_total_relation_size('\"$table\"')) || ' with indexes' from \"$table\""
done
echo "$new_rows new rows; $("$PG_BIN_DIR/postgres" --version), $(nproc) processors, $jobs jobs of nightferry"

# How many rows there are, and what is in the new ones.
content() {
  local table=$1 since=$2
  shift 2
  "$@" -c "select count(*), sum(id), (select sum(hashtext(t::text)::bigint) from \"$table\" t where id > $since) from \"$table\""
}
declare -A before wanted
for table in "${tables[@]}"; do
  before[$table]=$(query -p "$warehouse_port" -d before -c "select coalesce(max(id), 0) from \"$table\"")
  wanted[$table]=$(content "$table" "${before[$table]}" on_source)
done

copy_out() { printf '%s' "copy (select * from \"$1\" where id > ${before[$1]}) to stdout"; }

peer() {
  local table
  for table in "${tables[@]}"; do
    on_source -c "\\$(copy_out "$table")" | on_warehouse -c "\\copy \"$table\" from stdin"
  done
}

ferry() { ferry_into dw; }

pipes() {
  local table process processes=()
  for table in "${tables[@]}"; do
    on_source -c "$(copy_out "$table") (format binary)" | on_warehouse -c "copy \"$table\" from stdin (format binary)" &
    processes+=($!)
  done
  for process in "${processes[@]}"; do wait "$process"; done
}

# Leaves the seconds in the variable took.
timed() {
  local start table
  query -p "$warehouse_port" -d postgres -c 'drop database if exists dw' -c 'create database dw template before' -c checkpoint
  start=$(now)
  "$1"
  took=$(minus "$(now)" "$start")
  for table in "${tables[@]}"; do
    [[ $(content "$table" "${before[$table]}" on_warehouse) == "${wanted[$table]}" ]] || { echo "error: $1 left other rows in $table" >&2; exit 1; }
  done
}

declare -A titles=([peer]='psql | psql' [ferry]=nightferry [pipes]='binary pipes')
peer_times=()
ferry_times=()
# shellcheck disable=SC2034 # It is reached by its name.
pipes_times=()
row() {
  local who
  printf '%-8s' "$1"
  for who in "${contenders[@]}"; do
    shift
    printf ' %14s' "$1"
  done
  printf '\n'
}
last() { local -n of=$1_times; printf '%s s' "${of[-1]}"; }
echo
row round "${titles[peer]}" "${titles[ferry]}" "${titles[pipes]}"
for ((round = 1; round <= rounds; round++)); do
  # Whoever goes later finds a warmer cache: they take turns in that too.
  order=("${contenders[@]:round % ${#contenders[@]}}" "${contenders[@]:0:round % ${#contenders[@]}}")
  for who in "${order[@]}"; do
    timed "$who"
    declare -n times="${who}_times"
    times+=("$took")
  done
  cells=()
  for who in "${contenders[@]}"; do cells+=("$(last "$who")"); done
  row "$round" "${cells[@]}"
done

median() { printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
cells=()
for who in "${contenders[@]}"; do
  declare -n times="${who}_times"
  cells+=("$(median "${times[@]}") s")
done
row median "${cells[@]}"
awk -v a="$(median "${ferry_times[@]}")" -v b="$(median "${peer_times[@]}")" 'BEGIN { printf "\nratio: %.2f (below 1: nightferry is faster)\n", a / b }'
awk -v kb="$peak" 'BEGIN { printf "nightferry'\''s peak memory: %.1f MB\n", kb * 1024 / 1e6 }'
