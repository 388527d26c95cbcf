#!/usr/bin/env bash
# The unmodified Python and Node SDKs and cloudinary-cli against a real server: TINTYPE_BIN, default target/debug/tintype.
# TINTYPE_TEST_POSTGRES adds the PostgreSQL catalog, TINTYPE_TEST_S3 the bucket; TINTYPE_TEST_NO_GPU=1 leaves the software
# adapter out. Afterwards the table of SDK methods, api/SDK.md, is compared with what was seen; TINTYPE_BLESS=1 writes it.
# A name of a test, such as CpuSqlite.test_headline, runs that one alone, and compares nothing.
set -euo pipefail
cd "$(dirname "$0")/../../.."

python=.tools/venv/bin/python
export TINTYPE_BIN=${TINTYPE_BIN:-target/debug/tintype}
[[ -x $python ]] || { echo "$python is missing: run deploy/setup.sh test" >&2; exit 1; }
[[ -x $TINTYPE_BIN ]] || { echo "$TINTYPE_BIN is missing: run cargo build --workspace --bins" >&2; exit 1; }

if [[ -z ${TINTYPE_TEST_POSTGRES:-} ]]; then
  if [[ ${TINTYPE_TEST_NO_POSTGRES:-} != 1 ]]; then
    echo 'TINTYPE_TEST_POSTGRES is not set: `make test` sets it; TINTYPE_TEST_NO_POSTGRES=1 leaves PostgreSQL out' >&2
    exit 1
  fi
  echo 'Left out: the official SDK on the PostgreSQL catalog'
fi

# Interrupted first, so that the run can still stop its servers.
tests() {
  timeout --signal=INT --kill-after=20 "$1" "$python" -B -u api/tests/sdk/test_python_sdk.py "${@:2}"
}

if [[ $# -gt 0 ]]; then
  tests 480 "$@"
  exit
fi

export TINTYPE_SDK_RECORDS
TINTYPE_SDK_RECORDS=$(mktemp -d "${TMPDIR:-/tmp}/tintype-sdk.XXXXXX")
trap 'rm -rf "$TINTYPE_SDK_RECORDS"' EXIT

# Each suite has a limit of its own, so that one that hangs is named.
status=0
suite() {
  local name=$1 seconds=$2
  shift 2
  printf '\n-- %s (at most %s s)\n' "$name" "$seconds"
  local ended=0
  tests "$seconds" "$@" || ended=$?
  # 124 and 137 come from the limit.
  case $ended in
    0) ;;
    124 | 137) echo "the suite '$name' took longer than $seconds s" >&2; status=1 ;;
    *) status=1 ;;
  esac
}

"$python" -B api/tests/sdk/test_table.py
suite 'renderers and catalogs' 300 CpuSqlite SoftwareSqlite CpuPostgres SoftwarePostgres
suite 'library' 240 LibrarySqlite LibraryPostgresS3
suite 'three nodes' 240 LibraryNodes WholeNodes
suite 'Node SDK' 240 NodeSqlite NodePostgresS3
suite 'cloudinary-cli' 180 CommandLineSqlite CommandLinePostgresS3
[[ $status == 0 ]] || exit "$status"

"$python" -B api/tests/sdk/table.py "$TINTYPE_SDK_RECORDS"
