#!/bin/sh
# A private PostgreSQL for tests: one folder, one unix socket in it, no TCP, no care for durability.
#
#   deploy/test-postgres.sh start DIR   starts it and prints its URL, and nothing else, on standard output
#   deploy/test-postgres.sh stop DIR    ends it; the folder is left to the caller
#
# PostgreSQL refuses to run as root: root runs it as the user postgres, to whom DIR is given.
set -eu

fail() {
    echo "test-postgres.sh: $*" >&2
    exit 1
}

[ $# -eq 2 ] || fail "usage: $0 start|stop DIR"
action=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd -P)
data=$dir/data
log=$dir/log

bin=
for candidate in /usr/lib/postgresql/*/bin; do
    [ -x "$candidate/initdb" ] && bin=$candidate
done
[ -n "$bin" ] || fail "no PostgreSQL in /usr/lib/postgresql (package postgresql)"

# `as_owner COMMAND…` runs as the user that owns the server. It starts in DIR, which that user may surely enter.
as_owner() {
    if [ "$(id -u)" -eq 0 ]; then
        (cd "$dir" && runuser -u postgres -- "$@")
    else
        (cd "$dir" && "$@")
    fi
}

# Percent-encodes what is not plain in a URL's host, which is where the folder of a socket is written.
encoded() {
    printf %s "$1" | sed 's/%/%25/g; s,/,%2F,g; s/ /%20/g; s/@/%40/g; s/:/%3A/g; s/?/%3F/g; s/#/%23/g'
}

running() {
    [ -f "$data/postmaster.pid" ] && as_owner "$bin/pg_ctl" status -D "$data" >/dev/null 2>&1
}

start() {
    case $dir in
    *[\'\",\\]*) fail "the name of the folder has a quote, a comma or a backslash: $dir" ;;
    esac
    # The name of the socket must fit 107 bytes.
    [ "$(printf %s "$dir/.s.PGSQL.5432" | wc -c)" -le 107 ] || fail "$dir is too long a name for a unix socket"
    if [ "$(id -u)" -eq 0 ]; then
        chown postgres "$dir"
    fi
    chmod 700 "$dir"
    as_owner test -w "$dir" || fail "the user of PostgreSQL cannot write to $dir"
    if [ ! -f "$data/PG_VERSION" ]; then
        as_owner "$bin/initdb" --pgdata="$data" --username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 \
            --no-sync >"$dir/initdb.log" 2>&1 || {
            cat "$dir/initdb.log" >&2
            fail "initdb failed"
        }
        as_owner tee -a "$data/postgresql.conf" >/dev/null <<CONF
listen_addresses = ''
unix_socket_directories = '$dir'
unix_socket_permissions = 0700
port = 5432
max_connections = 200
fsync = off
synchronous_commit = off
full_page_writes = off
CONF
    fi
    if ! running; then
        as_owner "$bin/pg_ctl" start -D "$data" -l "$log" -w -t 60 >/dev/null 2>&1 || {
            as_owner cat "$log" >&2 || true
            fail "the server did not start"
        }
    fi
    echo "postgresql://postgres@$(encoded "$dir")/postgres"
}

# Ends the server that the pid file names.
stop() {
    if running; then
        as_owner "$bin/pg_ctl" stop -D "$data" -m immediate -w -t 60 >/dev/null || fail "the server did not stop"
    fi
}

case $action in
start) start ;;
stop) stop ;;
*) fail "usage: $0 start|stop DIR" ;;
esac
