# shellcheck shell=bash
# Throw-away PostgreSQL clusters, for utils/demo.sh, utils/test.sh and the servers of the tests. Source this file.
#
# A cluster lives in one folder, listens on 127.0.0.1 and on a socket in that folder, and has one superuser,
# "postgres", whose password (CLUSTER_PASSWORD) is asked for on every connection. Nothing here touches a cluster of
# the system. PostgreSQL refuses to run as root: root starts the servers as "postgres", or as "nobody".

: "${CLUSTER_PASSWORD:=throw-away}"

# Prints the folder of the server programs: PG_BIN_DIR, else the newest that the distribution installed.
find_postgres() {
  if [[ -n ${PG_BIN_DIR:-} ]]; then
    [[ -x $PG_BIN_DIR/initdb ]] || { echo "PG_BIN_DIR has no initdb: $PG_BIN_DIR" >&2; return 1; }
    printf '%s\n' "$PG_BIN_DIR"
    # A bare "return" would give the status of before the trap when a script stops its clusters in an EXIT trap.
    return 0
  fi
  local newest
  newest=$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
  [[ -n $newest ]] && dirname "$newest"
}

# Installs distribution packages without starting a service or creating a cluster.
install_packages() {
  local as_root=()
  if [[ $(id -u) -ne 0 ]]; then
    command -v sudo >/dev/null || { echo "missing: $*; install it as root, then run this again" >&2; return 1; }
    as_root=(sudo)
  fi
  command -v apt-get >/dev/null || { echo "missing: $*; there is no apt-get here, install it by hand" >&2; return 1; }
  echo "installing $*"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive bash -euo pipefail -s -- "$@" <<'ROOT'
    # The two settings by which Debian is told to leave services and clusters alone; taken away again at the end.
    policy=/usr/sbin/policy-rc.d
    clusters=/etc/postgresql-common/createcluster.d
    clean_up() {
      rm -f "$clusters/nightferry.conf" ${policy:+"$policy"}
      rmdir -p --ignore-fail-on-non-empty "$clusters"
    }
    [[ ! -e $policy ]] || policy=
    trap clean_up EXIT
    [[ -z $policy ]] || { printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; }
    mkdir -p "$clusters"
    echo "create_main_cluster = false" >"$clusters/nightferry.conf"
    apt-get update -qq </dev/null
    apt-get install -qq -y --no-install-recommends "$@" </dev/null >/dev/null
ROOT
}

# Makes sure that the server programs are there.
need_postgres() {
  find_postgres >/dev/null || { [[ -z ${PG_BIN_DIR:-} ]] && install_packages postgresql; }
}

# Makes sure that redis-server is there.
need_redis() {
  command -v redis-server >/dev/null || install_packages redis-server
}

# Makes sure that pgbouncer is there, which Debian installs where only root's PATH leads.
need_pgbouncer() {
  PATH=$PATH:/usr/sbin command -v pgbouncer >/dev/null || install_packages pgbouncer
}

# Makes sure that prometheus and promtool are there.
need_prometheus() {
  command -v promtool >/dev/null || install_packages prometheus
}

# Makes sure that a browser without a window is there, and letters for it to draw.
need_browser() {
  { command -v chromium && command -v chromedriver; } >/dev/null || install_packages chromium chromium-driver fonts-dejavu-core
}

# Prints a port of 127.0.0.1 that nobody listens on, below the range that the kernel hands out by itself.
free_port() {
  local port
  while true; do
    port=$((20000 + RANDOM % 12000))
    (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  printf '%s\n' "$port"
}

# until_it_listens PORT PID: waits until somebody listens on the port; fails where the process ends first, or after ten seconds.
until_it_listens() {
  for _ in $(seq 200); do
    if (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
    kill -0 "$2" 2>/dev/null || return
    sleep 0.05
  done
  return 1
}

# The account that servers run under when root starts them.
cluster_user() {
  if id postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi
}

# Runs a command as that account, from a folder that it may enter.
as_cluster_user() {
  if [[ $(id -u) -eq 0 ]]; then (cd / && runuser -u "$(cluster_user)" -- "$@"); else "$@"; fi
}

# start_cluster DIR PORT [setting=value ...]: DIR is absolute and new, or empty. Returns when the server answers.
start_cluster() {
  local dir=$1 port=$2 bin setting
  shift 2
  bin=$(find_postgres) || return 1
  mkdir -p "$dir" || return 1
  (umask 077 && echo "$CLUSTER_PASSWORD" >"$dir/password") || return 1
  if [[ $(id -u) -eq 0 ]]; then chown "$(cluster_user)" "$dir" "$dir/password" || return 1; fi
  if ! as_cluster_user "$bin/initdb" --pgdata="$dir/data" --username=postgres --pwfile="$dir/password" \
    --auth="${CLUSTER_AUTH:-scram-sha-256}" --encoding=UTF8 --locale=C.UTF-8 --no-sync >"$dir/initdb.log" 2>&1; then
    cat "$dir/initdb.log" >&2
    return 1
  fi
  {
    echo "port = $port"
    echo "listen_addresses = '127.0.0.1'"
    echo "unix_socket_directories = '$dir'"
    echo "fsync = off"
    echo "full_page_writes = off"
    for setting in "$@"; do echo "${setting%%=*} = '${setting#*=}'"; done
  } >>"$dir/data/postgresql.conf"
  if ! as_cluster_user "$bin/pg_ctl" start --pgdata="$dir/data" --log="$dir/server.log" --wait --silent; then
    cat "$dir/server.log" >&2
    return 1
  fi
}

# stop_cluster DIR: at once, as a power cut would; the data stays until the folder is removed.
stop_cluster() {
  local bin
  bin=$(find_postgres) || return 1
  [[ -f $1/data/postmaster.pid ]] || return 0
  as_cluster_user "$bin/pg_ctl" stop --pgdata="$1/data" --mode=immediate --silent
}
