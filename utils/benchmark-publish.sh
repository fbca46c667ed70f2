#!/usr/bin/env bash
# Measures the publish: how long it takes, for how long it holds locks that a reader could wait for, and what a reader
# feels of it. Two throw-away clusters, the dataset, 200 views of analysts over the copy, and nights one after another
# while readers go on.
set -euo pipefail

usage() {
  cat <<'HELP'
usage: utils/benchmark-publish.sh [SCALE [NIGHTS]]

  SCALE    of utils/dataset.sql: 0.1 unless said otherwise
  NIGHTS   how many are measured after the first one: 3 unless said otherwise

VIEWS (default 200) is how many views lean on the copy, READERS (default 3) how many sessions read. STATEMENTS names a
file for the warehouse's log of every statement with its milliseconds, which slows the nights a little. PG_BIN_DIR is
which PostgreSQL to use, NIGHTFERRY a nightferry that is built already. PUBLISH_LOCK goes to nightferry.
The folder BENCH_DIR (default /tmp) needs room for five times the data: the source, and three copies with their WAL.
HELP
}

case ${1:-} in
  --help | -h) usage; exit ;;
  -*) usage >&2; exit 2 ;;
esac

# shellcheck source=utils/benchmark-ground.sh
source "$(dirname "${BASH_SOURCE[0]}")/benchmark-ground.sh"

scale=${1:-0.1}
nights=${2:-3}
views=${VIEWS:-200}
readers=${READERS:-3}

keep_results() { [[ -z ${STATEMENTS:-} ]] || cp "$work/warehouse/server.log" "$STATEMENTS" 2>/dev/null; }
begin_benchmark publish
[[ -x $PG_BIN_DIR/pgbench ]] || { echo "error: there is no pgbench in $PG_BIN_DIR" >&2; exit 1; }
on_warehouse() { query -p "$warehouse_port" -U analytics -d dw "$@"; }

settings=(shared_buffers=256MB max_wal_size=4GB maintenance_work_mem=128MB)
source_port=$(free_port)
start_cluster "$work/source" "$source_port" "${settings[@]}"
[[ -z ${STATEMENTS:-} ]] || settings+=(log_min_duration_statement=0 'log_line_prefix=%m [%p] %u ')
warehouse_port=$(free_port)
start_cluster "$work/warehouse" "$warehouse_port" "${settings[@]}"

query -p "$source_port" -U postgres -d postgres -c 'create database app'
# As on a platform: the warehouse's role owns its database, and is no superuser.
query -p "$warehouse_port" -U postgres -d postgres -v password="$PGPASSWORD" <<'SQL'
create role analytics login password :'password';
create role analyst login password :'password';
create database dw owner analytics;
SQL
echo "loading the dataset at scale $scale"
query -p "$source_port" -U postgres -d app -v scale="$scale" -f "$repository/utils/dataset.sql" >/dev/null
echo "$("$PG_BIN_DIR/postgres" --version), $(nproc) processors, $views views, $readers readers, PUBLISH_LOCK=${PUBLISH_LOCK:-try}"

# night NAME: its log is left in $work/NAME.log.
night() {
  local start=$EPOCHREALTIME
  if ! (
    cd "$work"
    exec env -i PATH="$PATH" PG_BIN_DIR="$PG_BIN_DIR" PG_RESTORE_JOBS=2 PUBLISH_MODE=swap PUBLISH_LOCK="${PUBLISH_LOCK:-try}" \
      BACKUP_MODE='{"answers":"incremental"}' ENRICHMENT_DIR="$repository/sql/enrichment" WORK_DIR="$work" LOG_FORMAT=json \
      SOURCE_DATABASE_URL="postgres://postgres:$PGPASSWORD@127.0.0.1:$source_port/app" \
      TARGET_DATABASE_URL="postgres://analytics:$PGPASSWORD@127.0.0.1:$warehouse_port/dw" \
      "$NIGHTFERRY" run full-replication
  ) >"$work/$1.log" 2>&1; then
    tail -n 20 "$work/$1.log" >&2
    exit 1
  fi
  took=$(awk -v a="$EPOCHREALTIME" -v b="$start" 'BEGIN { printf "%.1f", a - b }')
}

night first
echo "the first night took $took s"

# One view in five reads another view, so that they come back in an order; one materialized view reads both.
on_warehouse -v views="$views" <<'SQL'
create schema bi;
select case
  when g % 5 = 0 then format('create view bi.v%s as select * from bi.v%s where n > 0', g, g - 1)
  when g % 5 = 1 then format('create view bi.v%s as select u.lang, count(*) as n from users u join small_%s s on s."userId" = u.id group by 1', g, 1 + g % 35)
  when g % 5 = 2 then format('create view bi.v%s as select a.state, count(*) as n from assessments a join users u on u.id = a."userId" where u.id = %s group by 1', g, g)
  when g % 5 = 3 then format('create view bi.v%s as select k.result, count(*) as n from answers k join assessments a on a.id = k."assessmentId" where a.id = %s group by 1', g, g)
  else format('create view bi.v%s as select s.name, count(*) as n from small_%s s join small_%s t on t.id = s.id where s.id < 100 group by 1', g, 1 + g % 35, 1 + (g + 1) % 35)
end from generate_series(1, :views) g \gexec
create materialized view bi.learners as select u.lang, v.n from users u join bi.v1 v using (lang) limit 1000;
create index on bi.learners (lang);
grant usage on schema public, bi to analyst;
grant select on all tables in schema public, bi to analyst;
SQL

# A query is a transaction of its own: each line of pgbench's log is then one query.
cat >"$work/join.sql" <<'SQL'
\set id random(1, 1000)
select count(*) from users u join assessments a on a."userId" = u.id where u.id = :id;
SQL
cat >"$work/kept.sql" <<'SQL'
\set id random(1, 1000)
select count(*) from answers k join assessments a on a.id = k."assessmentId" where k.id = :id;
SQL
echo 'select * from bi.v3;' >"$work/view.sql"
echo 'select count(*) from bi.learners;' >"$work/learners.sql"
"$PG_BIN_DIR/pgbench" -n -p "$warehouse_port" -U analyst -c "$readers" -j 1 -T 86400 -l --log-prefix="$work/reads" \
  -f "$work/join.sql" -f "$work/kept.sql" -f "$work/view.sql" -f "$work/learners.sql" dw >"$work/readers.out" 2>"$work/readers.err" &
running=$!

publishes=()
windows=()
for ((at = 1; at <= nights; at++)); do
  night "$at"
  number() { grep -oE "\"$1\":[0-9]+" | cut -d: -f2; }
  of_step() { grep -F '"msg":"step.ended"' "$work/$at.log" | grep -F "\"step\":\"$1\"" | number duration_ms; }
  publishes+=("$(of_step publish) $(number locked_ms <"$work/$at.log") $(of_step dependents) $took")
  windows+=("$(on_warehouse -F ' ' <<'SQL'
select extract(epoch from min(s.started_at)), extract(epoch from max(s.ended_at)),
       extract(epoch from max(s.started_at) filter (where s.step = 'publish')), extract(epoch from max(s.ended_at) filter (where s.step = 'publish'))
from nightferry.steps s where run_id = (select run_id from nightferry.steps order by step_id desc limit 1)
SQL
)")
done

# What a reader met with, before all are sent home: their log is only whole when pgbench ends by itself.
errors=$(grep -c ERROR "$work/readers.err" || true)
query -p "$warehouse_port" -U postgres -d dw -c "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'pgbench'" >/dev/null
wait "$running" || true
running=

# The slowest query, in milliseconds, that overlaps a time.
slowest() {
  cat "$work"/reads.* | awk -v from="$1" -v until="$2" '
    { end = $5 + $6 / 1e6; if (end >= from && end - $3 / 1e6 <= until && $3 > most) most = $3 }
    END { printf "%.1f", most / 1000 }'
}

printf '\n%-7s %9s %11s %11s %15s %22s %20s\n' night 'night s' dependents publish 'locked (aim 100)' 'slowest read at publish' 'slowest read at night'
rows=()
for ((at = 1; at <= nights; at++)); do
  read -r publish locked dependents took <<<"${publishes[at - 1]}"
  read -r from until publish_from publish_until <<<"${windows[at - 1]}"
  rows+=("$took $dependents $publish $locked $(slowest "$publish_from" "$publish_until") $(slowest "$from" "$until")")
done
show() { printf '%-7s %9s %8s ms %8s ms %13s ms %20s ms %17s ms\n' "$@"; }
at=0
# shellcheck disable=SC2086 # the columns
for row in "${rows[@]}"; do show $((at += 1)) $row; done

# Of each column.
summary() {
  printf '%s\n' "${rows[@]}" | awk -v which="$1" '
    { for (c = 1; c <= NF; c++) v[c, NR] = $c; columns = NF }
    END {
      for (c = 1; c <= columns; c++) {
        for (i = 2; i <= NR; i++) for (j = i; j > 1 && v[c, j] < v[c, j - 1]; j--) { t = v[c, j]; v[c, j] = v[c, j - 1]; v[c, j - 1] = t }
        m = which == "min" ? v[c, 1] : which == "max" ? v[c, NR] : NR % 2 ? v[c, (NR + 1) / 2] : (v[c, NR / 2] + v[c, NR / 2 + 1]) / 2
        printf "%s ", m == int(m) ? m : sprintf("%.1f", m)
      }
    }'
}
# shellcheck disable=SC2046 # the columns
for which in min median max; do show "$which" $(summary "$which"); done
printf '\n%s reads, %s errors among them\n' "$(cat "$work"/reads.* | wc -l)" "$errors"
[[ $errors == 0 ]] || grep ERROR "$work/readers.err" | sort | uniq -c | head -n 5
