#!/usr/bin/env bash
# A whole night, to look at: two throw-away PostgreSQL clusters, a generated source, a learning-content API and a
# webhook receiver, and a worker that carries one into the other through the queue. Leaves nothing running and no files
# (but for the build in target/, and packages that were missing).
set -euo pipefail

usage() {
  cat <<'HELP'
usage: utils/demo.sh [--redis] [--twice]

  --redis   the queue is in a throw-away Redis instead of the embedded file
  --twice   a second night over the first, after changes in the source

Works as root and as a normal user. What is missing (PostgreSQL, python3, a C compiler, with --redis a redis-server) is
installed with apt-get. PG_BIN_DIR names the server programs of a PostgreSQL to use instead of the distribution's;
NIGHTFERRY names a nightferry that is built already.
HELP
}

redis=no
nights=1
for argument in "$@"; do
  case $argument in
    --redis) redis=yes ;;
    --twice) nights=2 ;;
    --help | -h) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
done

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=utils/postgres.sh
source "$repository/utils/postgres.sh"

NIGHT_LIMIT=600 # seconds

title() { printf '\n== %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
password() { od -An -N12 -tx1 /dev/urandom | tr -d ' \n'; }

# until_true SECONDS COMMAND...: false when the time is over.
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    sleep 0.2
  done
}

# ---- what is needed ----

missing=()
command -v python3 >/dev/null || missing+=(python3)
if [[ -z ${NIGHTFERRY:-} ]]; then
  command -v cargo >/dev/null || die "cargo is not on the PATH: install Rust first (https://rustup.rs)"
  command -v cc >/dev/null || missing+=(gcc libc6-dev)
fi
((${#missing[@]} == 0)) || install_packages "${missing[@]}"
need_postgres
[[ $redis == no ]] || need_redis
PG_BIN_DIR=$(find_postgres)
export PG_BIN_DIR

if [[ -z ${NIGHTFERRY:-} ]]; then
  title "building nightferry"
  (cd "$repository" && cargo build --release --locked --quiet)
  target=${CARGO_TARGET_DIR:-target}
  [[ $target == /* ]] || target=$repository/$target
  NIGHTFERRY=$target/release/nightferry
fi

# ---- a folder, and the end of everything ----

# In /tmp whatever TMPDIR says: the account of the servers must be able to enter it.
work=$(mktemp -d /tmp/nightferry-demo.XXXXXX)
chmod 755 "$work"
children=()

clean_up() {
  local status=$? child name
  trap - EXIT
  # A signal in the middle of cleaning up must not leave half of it.
  trap '' INT TERM HUP
  for child in "${children[@]}"; do
    kill "$child" 2>/dev/null || continue
    # What does not stop when asked is ended.
    until_true 12 child_is_gone "$child" || kill -KILL "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  done
  for name in source warehouse; do
    stop_cluster "$work/$name" || echo "error: cannot stop the $name in $work" >&2
  done
  rm -rf "$work"
  exit "$status"
}
# Ended, or ended and not yet waited for.
child_is_gone() { [[ ! -e /proc/$1 ]] || grep -qs '^State:[[:space:]]*Z' "/proc/$1/status"; }
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- the servers ----

title "starting a source and a warehouse ($("$PG_BIN_DIR/postgres" --version))"
# The clusters ask for passwords too: those of their superuser, made up here.
CLUSTER_PASSWORD=$(password)
source_password="$(password)/@:" # characters that a URL must escape
warehouse_password=$(password)

# cluster NAME ROLE PASSWORD: a cluster with a database of that role; its port is left in the variable port.
cluster() {
  local attempt
  for attempt in 1 2 3 4 5; do
    port=$(free_port)
    ! start_cluster "$work/$1" "$port" max_wal_size=1GB || break
    # Somebody else took the port.
    rm -rf "${work:?}/$1"
    ((attempt < 5)) || die "cannot start the $1"
  done
  PGPASSWORD=$CLUSTER_PASSWORD psql_on "$port" postgres postgres -q \
    -v role="$2" -v password="$3" -v database="$1" <<'SQL'
create role :"role" login password :'password';
create database :"database" owner :"role";
SQL
}
psql_on() {
  local port=$1 role=$2 database=$3
  shift 3
  "$PG_BIN_DIR/psql" -X -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$port" -U "$role" -d "$database" "$@"
}
on_source() { PGPASSWORD=$source_password psql_on "$source_port" production source "$@"; }
on_warehouse() { PGPASSWORD=$warehouse_password psql_on "$warehouse_port" analytics warehouse "$@"; }

cluster source production "$source_password"
source_port=$port
cluster warehouse analytics "$warehouse_password"
warehouse_port=$port

title "loading the source"
on_source -q -f "$repository/utils/demo/source.sql"

count_tables_and_rows() {
  cat <<'SQL'
select count(*) || ' tables, ' || to_char(sum((xpath('/row/rows/text()', query_to_xml(
         format('select count(*) as rows from only %s', oid::regclass), false, true, '')))[1]::text::bigint), 'FM999,999,999') || ' rows'
from pg_class where relkind = 'r' and relnamespace::regnamespace::text not in ('pg_catalog', 'information_schema', 'nightferry')
  and relnamespace::regnamespace::text !~ '__previous"?$'
SQL
}
count_tables_and_rows | on_source -At

export API_KEY HOOK_TOKEN
API_KEY=$(password)
HOOK_TOKEN="Bearer $(password)"
mkdir "$work/peers"
python3 "$repository/utils/demo/peers.py" "$work/peers" &
children+=($!)
until_true 20 test -s "$work/peers/port" || die "the content API and webhook receiver did not start"
peers=http://127.0.0.1:$(cat "$work/peers/port")

settings=(
  "PATH=$PATH"
  "SOURCE_DATABASE_URL=postgres://production:${source_password//'/@:'/%2F%40%3A}@127.0.0.1:$source_port/source"
  "TARGET_DATABASE_URL=postgres://analytics:$warehouse_password@127.0.0.1:$warehouse_port/warehouse"
  "PG_BIN_DIR=$PG_BIN_DIR"
  "BACKUP_MODE={\"answers\":\"incremental\"}"
  "ENRICHMENT_DIR=$repository/sql/enrichment"
  "WORK_DIR=$work"
  "LCMS_API_URL=$peers"
  "LCMS_API_KEY=$API_KEY"
  "NOTIFICATIONS=[{\"url\":\"$peers/webhook\",\"token\":\"$HOOK_TOKEN\"}]"
  # Nothing but what the demonstration asks for, and no second try of what fails.
  "SCHEDULE=0 0 29 2 *"
  "MAX_RETRY_COUNT=0"
  "QUEUE_FILE=$work/queue.sqlite"
  "LOG_FORMAT=json"
)
if [[ $redis == yes ]]; then
  title "starting a Redis"
  redis_password=$(password)
  redis_port=$(free_port)
  printf '%s\n' "port $redis_port" "bind 127.0.0.1" "dir $work" "appendonly yes" "requirepass $redis_password" >"$work/redis.conf"
  redis-server "$work/redis.conf" >"$work/redis.log" &
  children+=($!)
  redis_answers() { (: <>"/dev/tcp/127.0.0.1/$redis_port") 2>/dev/null; }
  until_true 20 redis_answers || die "the Redis did not start"
  settings+=("REDIS_URL=redis://:$redis_password@127.0.0.1:$redis_port/0")
fi

# An empty environment and an empty folder: no setting of this machine, no .env file gets in.
mkdir "$work/home"
nightferry() {
  cd "$work/home"
  exec env -i "${settings[@]}" "$NIGHTFERRY" "$@"
}

# ---- the night ----

title "nightferry check"
(nightferry check)

title "starting the worker"
(nightferry worker) >"$work/worker.log" 2>"$work/worker.err" &
worker=$!
children+=("$worker")

night_is_over() {
  child_is_gone "$worker" && return 0
  # No ledger before the worker's first contact with the warehouse.
  night=$(on_warehouse -At -v run="$run" 2>/dev/null <<'SQL' || true
select status from nightferry.runs where run_id = :'run' and status <> 'running';
SQL
  )
  [[ -n $night ]]
}

show_failure() {
  on_warehouse -v run="$run" 2>/dev/null <<'SQL' || true
select stage, attempt, status, error, hint from nightferry.stages where run_id = :'run' order by started_at;
SQL
  cat "$work/worker.err" >&2
  tail -n 15 "$work/worker.log" >&2
}

run_a_night() {
  local answer hooks=$1
  answer=$(nightferry restart full-replication)
  printf '%s\n' "$answer"
  run=$(grep -oE '[0-9]{8}T[0-9]{6}Z' <<<"$answer" | head -n 1)
  night=
  if ! until_true "$NIGHT_LIMIT" night_is_over; then show_failure; die "the night took longer than $NIGHT_LIMIT s"; fi
  if [[ $night != succeeded ]]; then show_failure; die "the night ended as: ${night:-the worker died}"; fi
  until_true 20 test -s "$work/peers/webhook-$hooks.json" || die "the webhook was not called"
}

show_night() {
  title "the night, from the ledger"
  on_warehouse -q -P footer=off -P null= -v run="$run" <<'SQL'
select stage, status, round(extract(epoch from ended_at - started_at)::numeric, 2) as seconds from nightferry.stages
where run_id = :'run' order by started_at, attempt;
select stage, step, round(extract(epoch from ended_at - started_at)::numeric, 2) as seconds from nightferry.steps
where run_id = :'run' order by step_id;
\echo The ten biggest tables:
select schema_name || '.' || table_name as table, treatment, rows_written as rows, pg_size_pretty(bytes) as size, round(duration_ms / 1000.0, 2) as seconds
from nightferry.tables where run_id = :'run' order by bytes desc limit 10;
select stage, count(*) as tables, sum(rows_written) as rows, pg_size_pretty(sum(bytes)) as size
from nightferry.tables where run_id = :'run' group by stage order by min(stage);
\echo Left out:
select object, reason from nightferry.skipped where run_id = :'run' order by skipped_id;
SQL
  printf 'Published in one moment: a reader may have waited %s ms for it.\n' \
    "$(grep -F '"msg":"publish.done"' "$work/worker.log" | tail -n 1 | grep -oE '"locked_ms":[0-9]+' | cut -d: -f2)"
  on_warehouse -At <<'SQL'
select 'Yesterday''s copy stays until the next night: ' || string_agg(stored_as, ', ' order by stored_as) from nightferry.stored_schemas having count(*) > 0;
SQL
  printf 'The warehouse now has %s (learning content and the partitions included).\n' "$(count_tables_and_rows | on_warehouse -At)"
}

for ((at = 1; at <= nights; at++)); do
  title "night $at: nightferry restart full-replication"
  run_a_night "$at"
  show_night
  title "what the webhook received"
  cat "$work/peers/webhook-$at.json"
  if ((at < nights)); then
    title "the source goes on: new answers, changed users, a new table"
    # The run is named after its second.
    sleep 1
    on_source -q <<'SQL'
insert into answers (value, result, "assessmentId", "challengeId") select 'new ' || g, 'ok', 1 + g, 'challenge001' from generate_series(1, 500) g;
update users set "lastName" = 'Changed', "updatedAt" = now() where id % 100 = 0;
create table "brand-new" as select g as id from generate_series(1, 10) g;
drop table "never used";
SQL
  fi
done

title "the worker's log, the lines that operators look for"
grep -hoE '"msg":"(Starting job in|Start create Backup|Start restore|Restore done|enrichment.add - Ended|Import and enrichment done)[^"]*"' "$work/worker.log" | cut -d'"' -f4 || true

title "stopping everything"
kill "$worker"
until_true 12 child_is_gone "$worker" || die "the worker did not stop within 12 s"
wait "$worker" || die "the worker ended with $? when it was asked to stop"
printf 'The demonstration went well.\n'
