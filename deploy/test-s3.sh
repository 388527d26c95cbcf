#!/bin/sh
# A private S3 server for tests: moto_server of .tools/venv on a free port of the loopback; it keeps all in memory.
#
#   deploy/test-s3.sh start DIR   starts it and prints its URL, and nothing else, on standard output
#   deploy/test-s3.sh stop DIR    ends it; the folder is left to the caller
set -eu

fail() {
    echo "test-s3.sh: $*" >&2
    exit 1
}

[ $# -eq 2 ] || fail "usage: $0 start|stop DIR"
action=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd -P)
venv=$(cd "$(dirname "$0")/.." && pwd -P)/.tools/venv

# Whether the process that was started here still lives; its number may by now be another's.
running() {
    [ -f "$dir/pid" ] && tr '\0' ' ' 2>/dev/null <"/proc/$(cat "$dir/pid")/cmdline" | grep -q moto_server
}

start() {
    [ -x "$venv/bin/moto_server" ] || fail "$venv/bin/moto_server is missing: run deploy/setup.sh test"
    if ! running; then
        port=$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
        "$venv/bin/moto_server" -H 127.0.0.1 -p "$port" </dev/null >"$dir/log" 2>&1 &
        echo $! >"$dir/pid"
        echo "http://127.0.0.1:$port" >"$dir/url"
        tries=0
        until "$venv/bin/python" -c "import socket; socket.create_connection(('127.0.0.1', $port)).close()" 2>/dev/null; do
            tries=$((tries + 1))
            if [ $tries -gt 300 ] || ! kill -0 "$(cat "$dir/pid")" 2>/dev/null; then
                cat "$dir/log" >&2
                fail "the server did not start"
            fi
            sleep 0.2
        done
    fi
    cat "$dir/url"
}

stop() {
    if running; then
        kill "$(cat "$dir/pid")"
    fi
}

case $action in
start) start ;;
stop) stop ;;
*) fail "usage: $0 start|stop DIR" ;;
esac
