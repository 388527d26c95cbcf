#!/usr/bin/env bash
# The unmodified Python and Node SDKs and cloudinary-cli against a real server: TINTYPE_BIN, default target/debug/tintype.
# TINTYPE_TEST_POSTGRES adds the PostgreSQL catalog; TINTYPE_TEST_NO_GPU=1 leaves the software adapter out.
# A name of a test, such as CpuSqlite.test_headline, runs that one alone.
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
exec timeout --signal=INT --kill-after=20 480 "$python" -B -u api/tests/sdk/test_python_sdk.py "$@"
