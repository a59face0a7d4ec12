#!/bin/sh
# An idle runtime makes no system call: idle_test, traced. What counts lies
# between its two marks, and is anybody's but the thread's that makes the marks.
#
# WEFT_TEST_IDLE_S: for how long (3).
set -u

build=${WEFT_BUILDDIR:-.}
program=$build/tests/sched/idle_test

skip()
{
    echo "1..0 # SKIP $*"
    exit 0
}

command -v strace > /dev/null || skip "strace is not installed"
[ -x "$program" ] || skip "$program is not built"
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
strace -f -o "$dir/probe" true 2> "$dir/error" || skip "nothing can be traced here: $(head -1 "$dir/error")"

echo 1..2
failed=0
# LeakSanitizer does not work in a traced program.
ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 \
    strace -f -o "$dir/trace" "$program" 'an idle runtime' > "$dir/output" 2>&1
if grep -q '^ok 1 .*# SKIP' "$dir/output"; then
    sed -n 's/^ok 1/ok 1/p' "$dir/output"
    echo "ok 2 # SKIP without the first"
    exit 0
fi

# By now, from the first mark to the second: those of other threads, without
# the ends of calls that began before.
awk '
    /weft is idle from here/ { marker = $1; on = 1; next }
    /weft is idle to here/ && $1 == marker { on = 0; n_marks = 2 }
    on && $1 != marker && ours[$1] && $0 !~ / resumed>/ { print; n++ }
    !on { ours[$1] = 1 }
    END { if (n_marks != 2) print "the marks are not there"; exit !(n_marks == 2 && n == 0) }
' "$dir/trace" > "$dir/calls"
status=$?

if grep -q '^ok 1' "$dir/output"; then
    echo "ok 1 - the program runs while it is traced"
else
    sed 's/^/# /' "$dir/output"
    echo "not ok 1 - the program runs while it is traced"
    failed=1
fi
if [ $status -eq 0 ]; then
    echo "ok 2 - between the marks there is no system call but those of the thread that made them"
else
    head -20 "$dir/calls" | sed 's/^/# /'
    echo "not ok 2 - between the marks there is no system call but those of the thread that made them"
    failed=1
fi
exit $failed
