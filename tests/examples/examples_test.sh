#!/usr/bin/env bash
# Each example runs, prints what it should and exits with the right status, and
# so does the program in README; a program made with weft_main ends in order when
# it is told to.
set -u
top=${WEFT_SRCDIR:-$(dirname "$0")/../..}
programs=${WEFT_BUILDDIR:-$(dirname "$0")/../..}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
deadline=60 # seconds, for sanitizers on a slow machine
number=0 failed=0

# result NAME PROBLEMS: one TAP line; the problems are printed as diagnostics.
result() {
  number=$((number + 1))
  if [ -z "$2" ]; then
    echo "ok $number - $1"
  else
    echo "not ok $number - $1"
    printf '%s\n' "$2" | sed 's/^/# /' >&2
    failed=1
  fi
}

# problems STATUS WANTED_STATUS WANTED_OUTPUT: what $scratch/out and err, and
# the status, have that they should not. Pids and references are any.
problems() {
  local out
  out=$(sed -E 's/#(PID|Reference)<[0-9.]+>/#\1<>/g' "$scratch/out")
  [ "$1" -eq "$2" ] || echo "exit status $1, not $2"
  [ "$out" = "$3" ] || printf 'printed:\n%s\nnot:\n%s\n' "$out" "$3"
  if [ "$1" -ne "$2" ]; then sed 's/^/stderr: /' "$scratch/err"; fi
}

# runs PROGRAM WANTED_OUTPUT: to its end, with status 0.
runs() {
  timeout "$deadline" "$programs/$1" >"$scratch/out" 2>"$scratch/err"
  result "$1 prints what it should and exits with 0" "$(problems $? 0 "$2")"
}

# ended_by SIGNAL STATUS: a program that waits runs its defers on the way out. (Not
# in the foreground, timeout would give it the signal and give it to its group, too:
# a second one ends a program at once.)
ended_by() {
  local pid status
  : >"$scratch/out"
  timeout --foreground "$deadline" "$programs/tests/examples/waits" >"$scratch/out" 2>"$scratch/err" &
  pid=$!
  until grep -q waiting "$scratch/out" || ! kill -0 "$pid" 2>/dev/null; do
    sleep 0.05
  done
  kill "-$1" "$pid" 2>/dev/null # timeout hands it on
  wait "$pid"
  status=$?
  result "a program that gets SIG$1 lets go of what it holds and exits with $2" \
    "$(problems $status "$2" $'waiting\nlet go'; sed 's/^/stderr: /' "$scratch/err")"
}

# faults PROGRAM WANTED_OUTPUT: as runs, of a program that faults on purpose.
faults() {
  if grep -q -- "--enable-sanitizer" "$programs/config.log" 2>/dev/null; then
    number=$((number + 1))
    echo "ok $number - $1 # SKIP faults are the sanitizer's"
    return
  fi
  runs "$@"
}

# Each ends alone, with a reason that says where; no two runs have the same addresses.
crashes() {
  local name="examples/crash_isolation goes on whatever its tasks do" wrong="" line
  if grep -q -- "--enable-sanitizer" "$programs/config.log" 2>/dev/null; then
    number=$((number + 1))
    echo "ok $number - $name # SKIP faults are the sanitizer's"
    return
  fi
  timeout "$deadline" "$programs/examples/crash_isolation" >"$scratch/out" 2>"$scratch/err" || wrong="exit status $?"
  while read -r line; do
    grep -Eq -- "$line" "$scratch/out" || wrong+=$'\n'"no line fits $line"
  done <<'END'
^crashed \{:sigsegv, %\{address: 0x0, .*pc: null_write
^crashed \{:sigsegv, %\{address: 0x0, .*bad_strlen
^crashed \{:stack_overflow, .*function: overflow
^crashed \{:sigabrt, .*failed_assert
^crashed \{:no_such_user, 4\}$
^killed  5$
END
  [ -z "$wrong" ] || wrong+=$'\n'$(cat "$scratch/out")
  result "$name" "$wrong"
}

echo "1..15"
crashes
runs examples/tasks "12 * 12 = 144
0 * 0 + ... + 999 * 999 = 332833500
gave up on the slow one"
runs examples/pingpong "{:pong, 0}
{:pong, 1}
{:pong, 2}
{:DOWN, #Reference<>, :process, #PID<>, :normal}"
runs examples/embed "8001"
runs examples/cache "1000 rows
{:square, 12}: 144
{:square, 1000}: nothing
{:square, 12}: nothing"
runs examples/supervision "one for one
  alone ended with {:bad_request, :no_such_request}
  alone begins anew at 1, left goes on with 2
one for all
  left ended with {:bad_request, :no_such_request}
  left begins anew at 1, and so does right at 1
too many restarts: the pair's supervisor gives up, and the tree starts another
  left ended with {:bad_request, :no_such_request}
  left begins anew at 1, right at 1, alone goes on with 2
stopped: alone is gone"
faults examples/rooms "visits since the restart: 1
visits in all: 2"
runs examples/event_bus "at first: greeted 1, taken 20, events 4
after a crash: greeted 2, taken 0, events 6
in the end: greeted 2, taken 30, events 7"
runs examples/pool "1 + 4 + ... + 1000000 = 333833500
one left in the middle: 12 * 12 = 144
one was hung up: 5 * 5 = 25
3 connections are idle, 0 in use"
runs examples/rate_limiter "alice: 5 allowed, then not at once
bob: allowed
alice, after the time she was told: allowed"
runs examples/periodic "run 1
run 2
run 3
run 4
crashes or too long: 2, moments missed meanwhile: some"
runs examples/sessions 'ada is in the lobby with: 1
grace is in the lobby with: 2
ada speaks to: 1
grace heard: {"ada", "hello"}
ada logs out: :ok
ada asks again: :no_session
later, grace asks: :no_session
sessions: 0, rooms: 0'
runs tests/examples/readme \
  "$(awk '/^It prints/ { on = 1 } /^and exits/ { on = 0 } on && /^    / { print substr($0, 5) }' "$top/README.md")"
ended_by INT 130
ended_by TERM 143
exit $failed
