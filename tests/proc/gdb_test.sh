#!/usr/bin/env bash
# The gdb script lists processes and walks their stacks, live and in a core file.
set -u
cd "${WEFT_SRCDIR:-$(dirname "$0")/../..}" || exit 1
program=$(realpath "${WEFT_BUILDDIR:-build/plain}")/tests/proc/gdb_program
script=$PWD/tools/weft-gdb.py

skip_all() { echo "1..0 # SKIP $*"; exit 0; }
command -v gdb >/dev/null || skip_all "no gdb here"
gdb -nx -batch -ex 'python print(1)' 2>/dev/null | grep -q 1 || skip_all "gdb has no Python"
[ -x "$program" ] || skip_all "no $program"
if nm "$program" 2>/dev/null | grep -qE ' __(asan|tsan)_init$'; then
  skip_all "a sanitizer's threads and shadow are in gdb's way"
fi

directory=$(mktemp -d)
mkfifo "$directory/said"
(cd "$directory" && ulimit -c unlimited 2>/dev/null; exec "$program" >said 2>/dev/null) &
pid=$!
trap 'kill -9 $pid 2>/dev/null; rm -rf "$directory"' EXIT
read -r process <"$directory/said" || skip_all "the program does not start"

# look COMMAND... -- ARGUMENT...: what gdb says.
look() {
  local commands=(-ex "source $script")
  while [ "$1" != -- ]; do commands+=(-ex "$1"); shift; done
  shift
  gdb -nx -batch -ex 'set debuginfod enabled off' -ex 'set auto-load no' -ex 'set print thread-events off' \
    "$@" "${commands[@]}" 2>&1
}

number=0 failed=0
# check NAME TEXT PATTERN...: one TAP line; each pattern is in the text.
check() {
  local name=$1 text=$2 pattern missing=""
  shift 2
  number=$((number + 1))
  for pattern in "$@"; do
    grep -qE -- "$pattern" <<<"$text" || missing+="$pattern "
  done
  if [ -z "$missing" ]; then
    echo "ok $number - $name"
  else
    echo "not ok $number - $name"
    sed "s/^/# /" <<<"not there: $missing"$'\n'"$text" >&2
    failed=1
  fi
}

listed=("^$process +waiting .* outer \"looked at\"$" '^#PID<.* waiting .* handles$' '^#PID<.* waiting .* app$')
walked=('^#[0-9]+ +0x[0-9a-f]+ in inner at .*:[0-9]+$' '^#[0-9]+ +0x[0-9a-f]+ in outer at ')

live=$(look 'weft procs' "weft bt $process" -- -p "$pid")
if grep -q 'Operation not permitted' <<<"$live"; then
  skip_all "this system lets nobody attach to a program"
fi
echo "1..7"
check "weft procs lists the processes of a live program" "$live" "${listed[@]}"
check "weft bt walks the stack of one that waits" "$live" "${walked[@]}"
check "weft procs shows what is left of one that was disowned" "$live" '^#PID<.* disowned .* of #PID<[0-9.]+>'
left=$(sed -nE 's/^(#PID<[0-9.]+>) +disowned .*/\1/p' <<<"$live")
check "weft bt walks the stack of its thread" "$(look "weft bt $left" -- -p "$pid")" '^#[0-9]+ .* in stuck \('
check "weft bt says when there is no such process" "$(look 'weft bt 9999.9' 'weft bt x' -- -p "$pid")" \
  'there is no process #PID<9999.9>' 'give a pid'

# The kernel's own core: it has holes where nothing was ever written, while gdb's
# generate-core-file copies all the address space that stacks are cut from.
kill -SYS "$pid"
wait "$pid" 2>/dev/null
core=$(compgen -G "$directory/core*")
if [ -n "$core" ]; then
  dead=$(look 'weft procs' "weft bt $process" -- "$program" "$core")
  check "weft procs lists the processes of a core file" "$dead" "${listed[@]}"
  check "weft bt walks a stack in a core file" "$dead" "${walked[@]}"
else
  pattern=$(cat /proc/sys/kernel/core_pattern)
  echo "ok 6 - weft procs lists the processes of a core file # SKIP core files go elsewhere: $pattern"
  echo "ok 7 - weft bt walks a stack in a core file # SKIP likewise"
fi
exit $failed
