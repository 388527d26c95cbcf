#!/usr/bin/env bash
# Everything that must hold before a change is handed in; the body of `make test`. `deploy/test.sh sdk` runs the tests of the
# official SDKs alone.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
services=

# PostgreSQL and the S3 server are ours alone and are stopped however the run ends.
stop_services() {
  local status=$?
  trap - EXIT INT TERM
  if [[ -n $services ]]; then
    deploy/test-postgres.sh stop "$services/postgres" >/dev/null 2>&1 || echo "PostgreSQL in $services did not stop" >&2
    deploy/test-s3.sh stop "$services/s3" >/dev/null 2>&1 || echo "the S3 server in $services did not stop" >&2
    rm -rf "$services"
  fi
  exit "$status"
}
trap stop_services EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step() { printf '\n== %s\n' "$*"; }

step 'set-up'
deploy/setup.sh test

if [[ ${1:-} != sdk ]]; then
  step 'format'
  cargo fmt --all --check

  step 'lints'
  cargo clippy --workspace --all-targets -- -D warnings
fi

step 'PostgreSQL'
services=$(mktemp -d "${TMPDIR:-/tmp}/tintype-test.XXXXXX")
# PostgreSQL refuses to run as root, and another user must be able to pass through this folder.
chmod 711 "$services"
mkdir "$services/postgres"
# Through a file: a pipe would stay open for as long as a server that inherited it.
deploy/test-postgres.sh start "$services/postgres" >"$services/address"
TINTYPE_TEST_POSTGRES=$(tail -n 1 "$services/address")
[[ -n $TINTYPE_TEST_POSTGRES ]] || { echo 'deploy/test-postgres.sh printed no address' >&2; exit 1; }
export TINTYPE_TEST_POSTGRES

step 'S3 server'
deploy/test-s3.sh start "$services/s3" >"$services/s3-address"
TINTYPE_TEST_S3=$(tail -n 1 "$services/s3-address")
[[ -n $TINTYPE_TEST_S3 ]] || { echo 'deploy/test-s3.sh printed no address' >&2; exit 1; }
export TINTYPE_TEST_S3

if [[ ${1:-} != sdk ]]; then
  step 'tests'
  cargo test --workspace
fi

step 'the program as it is delivered'
# Thin LTO reads what the tests never look at: a release build has failed where all tests passed.
cargo build --release -p tintype-api

step 'the official SDKs and cloudinary-cli against the real server'
TINTYPE_BIN="$target/release/tintype" api/tests/sdk/run.sh

step 'all passed'
