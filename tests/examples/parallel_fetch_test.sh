#!/usr/bin/env bash
# parallel_fetch from its command line: what it prints, what it says of bad
# input, how it ends.
set -u
programs=${WEFT_BUILDDIR:-$(dirname "$0")/../..}
fetch=$programs/examples/parallel_fetch
deadline=60 # seconds, for sanitizers on a slow machine
number=0 failed=0

if [ ! -x "$fetch" ]; then
  echo "1..0 # SKIP built without libcurl"
  exit 0
fi
scratch=$(mktemp -d) || exit 1
trap 'kill $server 2>/dev/null; rm -rf "$scratch"' EXIT

# The server lives until its standard input ends.
mkfifo "$scratch/hold"
"$programs/tests/http/serve" <"$scratch/hold" >"$scratch/port" &
server=$!
exec 9>"$scratch/hold"
until [ -s "$scratch/port" ] || ! kill -0 $server 2>/dev/null; do sleep 0.05; done
at=http://127.0.0.1:$(cat "$scratch/port")

# A port on which nobody listens: of a server that has gone.
"$programs/tests/http/serve" </dev/null >"$scratch/dead"
dead=http://127.0.0.1:$(cat "$scratch/dead")

# A part of a name has 63 bytes at most: no name service is asked.
no_name=http://$(printf 'a%.0s' {1..64}).invalid/

# run STATUS ARGUMENT...: parallel_fetch; what is wrong with its end goes to $wrong.
run() {
  local want=$1
  shift
  timeout "$deadline" "$fetch" "$@" >"$scratch/out" 2>"$scratch/err"
  status=$?
  wrong=""
  [ $status -eq "$want" ] || wrong="exit status $status, not $want: $(head -c 500 "$scratch/err")"$'\n'
}

# prints PATTERN, says PATTERN: a line on standard output, on standard error.
prints() { grep -Eq -- "$1" "$scratch/out" || wrong+="does not print $1, but: $(head -c 1000 "$scratch/out")"$'\n'; }
says() { grep -Eq -- "$1" "$scratch/err" || wrong+="does not say $1, but: $(head -c 500 "$scratch/err")"$'\n'; }
# lines N FILE: no more and no fewer.
lines() { [ "$(wc -l <"$scratch/$2")" -eq "$1" ] || wrong+="$(wc -l <"$scratch/$2") lines in $2, not $1"$'\n'; }

# result NAME: one TAP line for what $wrong has gathered.
result() {
  number=$((number + 1))
  if [ -z "$wrong" ]; then
    echo "ok $number - $1"
  else
    echo "not ok $number - $1"
    sed '/^$/d; s/^/# /' <<<"$wrong" >&2
    failed=1
  fi
}

echo "1..18"

run 0 --help
prints '^usage: parallel_fetch'
prints '--concurrency'
result "--help tells the options"

run 2 --no-such-option
says "^parallel_fetch: unknown option --no-such-option"
lines 1 err
lines 0 out
run 2 -qx "$at/bytes/1"
if [ -z "$wrong" ]; then says "unknown option -x"; fi
result "an unknown option is one line and status 2"

run 2 -c 0 "$at/bytes/1"
says "-c takes a number from 1 to 100000, not 0"
if [ -z "$wrong" ]; then run 2 -t soon "$at/bytes/1"; says "-t takes seconds.*not soon"; fi
if [ -z "$wrong" ]; then run 2 -c; says "a value is missing after -c"; fi
result "a number that is none is one line and status 2"

run 2 -f "$scratch/none"
says "cannot read '.*none': No such file"
lines 1 err
result "a list that cannot be read is one line and status 2"

run 0 "$at/bytes/100" "$at/redirect/2" "$at/chunked/5"
prints "^200 +100 .*/bytes/100"
prints "^200 +64 .*/redirect/2"
prints "^3 URLs in .*: 3 fetched, 0 failed"
prints "^latency +p50 .* p90 .* p99"
prints "^bytes +169"
result "URLs of the command line are fetched, a line each and a summary"

printf '%s\n' "$at/bytes/1" "" "# a comment" "  $at/bytes/2  " >"$scratch/list"
printf '%s' "$at/bytes/3" >>"$scratch/list"
run 0 -f "$scratch/list" "$at/bytes/4"
for n in 1 2 3 4; do prints "^200 +$n .*/bytes/$n\$"; done
prints "^4 URLs"
result "URLs of a file are fetched, without comments and blanks"

timeout "$deadline" "$fetch" - <"$scratch/list" >"$scratch/out" 2>"$scratch/err"
wrong=""
[ $? -eq 0 ] || wrong="exit status not 0"
prints "^3 URLs in .*: 3 fetched"
result "URLs of standard input are fetched"

# The pipe stays open: the first comes out before the second goes in.
wrong=""
mkfifo "$scratch/pipe"
timeout "$deadline" "$fetch" -c 1 - <"$scratch/pipe" >"$scratch/out" 2>"$scratch/err" &
pid=$!
exec 8>"$scratch/pipe"
echo "$at/bytes/11" >&8
for _ in {1..200}; do
  kill -0 $pid 2>/dev/null || break
  sleep 0.02
done &
wait $!
echo "$at/bytes/12" >&8
exec 8>&-
wait $pid || wrong="exit status not 0"
prints "^2 URLs in .*: 2 fetched"
result "a pipe that takes its time is waited for"

run 1 "$at/bytes/1" "nonsense" "$dead/" "$no_name" "$at/status/404" "$at/bytes/2"
prints "^  - .*nonsense: bad_url: "
prints "^  - .*$dead/: connect: "
prints "^  - .*aaa.invalid/: resolve: .*no such host"
prints "^404 .*/status/404"
prints "^200 +1 .*/bytes/1"
prints "^200 +2 .*/bytes/2"
prints "^6 URLs in .*: 2 fetched, 4 failed"
prints "^ +1  status 404"
result "bad input is one clear line each, the rest goes on, and the status says so"

run 1 -t 0.2 "$at/never" "$at/bytes/1"
prints "/never: timeout: .*200 ms"
prints "^200 +1 "
result "a server that never answers times out"

run 1 -m 1000 "$at/bytes/1001" "$at/chunked/5000" "$at/bytes/1000"
prints "/bytes/1001: too_large: .*1000 bytes"
prints "/chunked/5000: too_large"
prints "^200 +1000 "
result "a body over the limit is not taken"

run 1 "$at/drop" "$at/garbage" "$at/loop"
prints "/drop: closed: "
prints "/garbage: protocol: "
prints "/loop: too_many_redirects: "
result "connections that break off and answers that are none are told"

run 1 --json "$at/bytes/7" $'http://127.0.0.1/"\x01' "$at/status/500" $'http://127.0.0.1:1/é\xff'
prints '^\{"url":".*/bytes/7","ok":true,"status":200,"bytes":7,"ms":[0-9.]+\}$'
prints '"url":"http://127.0.0.1/\\"\\u0001","ok":false,"status":0,.*"error":"bad_url","text":"'
prints '^\{"url":"http://127.0.0.1:1/é\\u00ff"'
prints '^\{"summary":\{"urls":4,"fetched":1,"failed":3,.*"complete":true,"failures":\{.*"status 500":1'
if command -v python3 >/dev/null; then
  python3 -c 'import json, sys; [json.loads(line) for line in sys.stdin]' <"$scratch/out" 2>"$scratch/err" ||
    wrong+="not JSON: $(tail -1 "$scratch/err")"
fi
result "--json prints an object a line"

wrong=""
"$fetch" 2>"$scratch/err" | head -1 >"$scratch/out"
status=${PIPESTATUS[0]}
[ "$status" -eq 1 ] || wrong="exit status $status, not 1"$'\n'
lines 1 out
says "^parallel_fetch: cannot write: nobody reads the other end"
result "a reader that stops ends it, with status 1 and why"

if [ -c /dev/full ]; then
  wrong=""
  "$fetch" -q "$at/bytes/1" >/dev/full 2>"$scratch/err"
  status=$?
  [ $status -eq 1 ] || wrong="exit status $status, not 1"$'\n'
  says "^parallel_fetch: cannot write: no space left"
  result "a full disk is told, with status 1"
else
  number=$((number + 1))
  echo "ok $number # SKIP no /dev/full here"
fi

# 200 of them take some while, two at a time: long enough to be interrupted.
for _ in {1..200}; do echo "$at/slow/300"; done >"$scratch/slow"
"$fetch" -c 2 -f "$scratch/slow" >"$scratch/out" 2>"$scratch/err" &
pid=$!
until grep -q slow "$scratch/out" || ! kill -0 $pid 2>/dev/null; do sleep 0.05; done
kill -INT $pid
wait $pid
status=$?
wrong=""
[ $status -eq 130 ] || wrong="exit status $status, not 130: $(head -c 300 "$scratch/err")"$'\n'
prints "URLs in .* s, .* fetched, 0 failed, then stopped"
prints "^latency"
result "Ctrl-C ends it in order, with the summary so far"

run 0 -q
prints "^2000 URLs in .*: 1800 fetched, 200 failed"
prints "^ +20  timeout"
prints "^ +40  status 404"
result "the demo fetches 2,000 and exits with 0 when just the planned ones failed"

run 1 -q -t 0.02
says "should have come, but failed with timeout"
result "the demo exits with 1 when others failed"

exit $failed
