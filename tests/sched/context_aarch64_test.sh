#!/bin/sh
# The switch for aarch64, on whatever machine this is: context_test.c is built
# by a cross compiler and run in an emulator, which prints the TAP lines.
# A small program without a C library runs with branch targets enforced (BTI),
# which the libraries that are packaged do not allow.
set -u

top=$(cd "$(dirname "$0")/../.." && pwd)
compiler=${WEFT_AARCH64_CC:-aarch64-linux-gnu-gcc}
emulator=${WEFT_AARCH64_RUN:-qemu-aarch64}
sysroot=${WEFT_AARCH64_SYSROOT:-/usr/aarch64-linux-gnu}

for tool in "$compiler" "$emulator"; do
    if ! command -v "$tool" > /dev/null; then
        echo "1..0 # SKIP $tool is not installed"
        exit 0
    fi
done
if [ ! -e "$sysroot/lib/ld-linux-aarch64.so.1" ]; then
    echo "1..0 # SKIP no libraries for aarch64 in $sysroot"
    exit 0
fi

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

# build NAME FLAG...: the test, as NAME
build()
{
    name=$1
    shift
    "$compiler" -std=gnu11 -D_GNU_SOURCE -DNVALGRIND -O2 -g -fno-omit-frame-pointer "$@" \
        -I"$top/include" -I"$top/runtime" -I"$top/tests" \
        "$top/tests/sched/context_test.c" "$top/tests/tap.c" "$top/runtime/base/assert.c" \
        "$top/runtime/sched/stack.c" "$top/runtime/sched/context.c" \
        "$top/runtime/sched/context_aarch64.S" -pthread -o "$dir/$name" >&2
}

# report NUMBER SENTENCE COMMAND...: one TAP line for a whole run
report()
{
    number=$1
    sentence=$2
    shift 2
    if "$@" > "$dir/output" 2>&1; then
        echo "ok $number - $sentence"
    else
        sed 's/^/# /' "$dir/output"
        echo "not ok $number - $sentence"
        failed=1
    fi
}

cat > "$dir/bti.c" << 'END'
#include <stdint.h>

struct context { void *pc, *sp, *fp; };
void *weft__context_swap(struct context *save, const struct context *to, void *arg);
extern char weft__context_start[];

static struct context here, there;
static uintptr_t stack[4096] __attribute__((aligned(16)));

static void add_ones(void *arg)
{
    for (;;)
        arg = weft__context_swap(&there, &here, (char *)arg + 1);
}

__attribute__((noreturn)) static void leave(long status)
{
    register long x0 __asm__("x0") = status;
    register long x8 __asm__("x8") = 93;

    __asm__ volatile("svc 0" : : "r"(x0), "r"(x8));
    __builtin_unreachable();
}

/* x17 is allowed to go to a landing pad for calls, x9 is not allowed to go
 * where there is none: that this faults shows that the rule is on. */
static void jump_wild(void)
{
    __asm__ volatile("adr x9, 1f\n\tbr x9\n1:\tnop" : : : "x9");
}

void begin(void)
{
    uintptr_t n = 0;

    stack[4094] = (uintptr_t)add_ones;
    there = (struct context){weft__context_start, &stack[4094], 0};
    for (int i = 0; i < 1000; i++)
        n = (uintptr_t)weft__context_swap(&here, &there, (void *)n);
    if (WILD)
        jump_wild();
    leave(n == 1000 ? 0 : 1);
}
__asm__(".globl _start\n_start:\thint #34\n\tmov x29, xzr\n\tb begin");
END

bti()
{
    "$compiler" -O2 -DWILD="$1" -mbranch-protection=standard -nostdlib -static -ffreestanding \
        -Wl,-z,force-bti "$dir/bti.c" "$top/runtime/sched/context_aarch64.S" -o "$dir/bti$1"
}

fails()
{
    ! "$@"
}

failed=0
echo 1..8
report 1 "the switch compiles for aarch64" build plain
report 2 "and does there all that it does here" "$emulator" -L "$sysroot" "$dir/plain"
report 3 "it compiles at -O3 with link-time optimisation" build lto -O3 -flto
report 4 "and does the same" "$emulator" -L "$sysroot" "$dir/lto"
report 5 "it compiles with branch protection" bti 0
report 6 "and switches where branch targets are enforced" "$emulator" -cpu max "$dir/bti0"
report 7 "a program that jumps elsewhere compiles too" bti 1
report 8 "and faults, so they were" fails "$emulator" -cpu max "$dir/bti1"
exit $failed
