#!/bin/sh
# Processes that move between kernel threads, with the library and a program of
# its users compiled as one, at -O3 with link-time optimisation: see migrate.c.
# For each compiler that is here and can link so.
#
# As a shared object: there the address of a thread's variable is had by a call,
# which a compiler would like to make once. WEFT_TEST_ALL=1: as a program too.
set -u

top=${WEFT_SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}

case $(uname -m) in
x86_64) switch=$top/runtime/sched/context_x86_64.S ;;
aarch64) switch=$top/runtime/sched/context_aarch64.S ;;
*)
    echo "1..0 # SKIP weft does not switch contexts on $(uname -m)"
    exit 0
    ;;
esac

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

# optimises COMPILER FLAG...: can it link a program so?
optimises()
{
    command -v "$1" > /dev/null || return 1
    echo 'int main(void) { return 0; }' > "$dir/probe.c"
    "$@" -O3 "$dir/probe.c" -o "$dir/probe" 2> /dev/null && "$dir/probe"
}

# compile OUTPUT COMPILER FLAG...: library and test from source
compile()
{
    output=$1
    shift
    "$@" -O3 -std=gnu11 -D_GNU_SOURCE -g1 -fno-omit-frame-pointer -fstack-clash-protection -pthread \
        -I"$top/include" -I"$top/runtime" -I"$top/tests" \
        "$top/tests/sched/migrate.c" "$top/tests/tap.c" "$switch" \
        "$top"/runtime/base/*.c "$top"/runtime/term/*.c "$top"/runtime/sched/*.c \
        "$top"/runtime/proc/*.c "$top"/runtime/services/*.c "$top"/runtime/otp/*.c \
        -o "$output" -lhwloc -lck -lm
}

# build NAME SHAPE COMPILER FLAG...
build()
{
    name=$1
    shape=$2
    shift 2
    if [ "$shape" = program ]; then
        compile "$dir/$name" "$@"
        return
    fi
    echo 'int run(int, char **); int main(int n, char **words) { return run(n, words); }' > "$dir/main.c"
    compile "$dir/lib$name.so" "$@" -shared -fPIC -Dmain=run &&
        "$1" "$dir/main.c" -o "$dir/$name" -L"$dir" -l"$name" -Wl,-rpath,"$dir"
}

number=0
failed=0

# report SENTENCE COMMAND...: one TAP line for a whole run
report()
{
    number=$((number + 1))
    sentence=$1
    shift
    if "$@" > "$dir/output" 2>&1; then
        grep '^#' "$dir/output"
        echo "ok $number - $sentence"
    else
        sed 's/^/# /' "$dir/output"
        echo "not ok $number - $sentence"
        failed=1
    fi
}

# both NAME SHAPE COMPILER FLAG...: build and run, or say why not
both()
{
    name=$1
    shape=$2
    shift 2
    if ! optimises "$@"; then
        number=$((number + 2))
        echo "ok $((number - 1)) # SKIP $* does not link here"
        echo "ok $number # SKIP $* does not link here"
        return
    fi
    report "library and program compile as a $shape by $*" build "$name" "$shape" "$@"
    report "and a process finds what is the thread's after each move" "$dir/$name"
}

if [ "${WEFT_TEST_ALL:-0}" = 1 ]; then
    echo 1..8
    both gcc_program program gcc -flto=auto
    both clang_program program clang -flto -fuse-ld=lld
else
    echo 1..4
fi
both gcc_shared "shared object" gcc -flto=auto
both clang_shared "shared object" clang -flto -fuse-ld=lld
exit $failed
