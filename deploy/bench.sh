#!/usr/bin/env bash
# `make bench`: this machine, with a PostgreSQL and an S3 server of its own for the workload `assets`.
#
#   deploy/bench.sh PROGRAM [arguments of `tintype bench`]
set -euo pipefail
cd "$(dirname "$0")/.."

program=$1
shift
services=$(mktemp -d "${TMPDIR:-/tmp}/tintype-bench.XXXXXX")
stop_services() {
  local status=$?
  trap - EXIT INT TERM
  deploy/test-postgres.sh stop "$services/postgres" >/dev/null 2>&1 || true
  deploy/test-s3.sh stop "$services/s3" >/dev/null 2>&1 || true
  rm -rf "$services"
  exit "$status"
}
trap stop_services EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# PostgreSQL refuses to run as root, and another user must be able to pass through this folder.
chmod 711 "$services"
mkdir "$services/postgres"
deploy/test-postgres.sh start "$services/postgres" >"$services/postgres-address"
deploy/test-s3.sh start "$services/s3" >"$services/s3-address"
postgres=$(tail -n 1 "$services/postgres-address")
s3=$(tail -n 1 "$services/s3-address")

# A bucket, from a server that believes everybody who names himself.
.tools/venv/bin/python - "$s3/bench" <<'PYTHON'
import sys, urllib.request
who = "AWS4-HMAC-SHA256 Credential=bench/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
urllib.request.urlopen(urllib.request.Request(sys.argv[1], method="PUT", headers={"Authorization": who}))
PYTHON

"$program" bench --postgres "$postgres" --s3 "$s3/bench" "$@"
