#include "proc/fault_report.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/here.h"
#include "base/symbol.h"
#include "proc/proc.h"
#include "proc/registers.h"
#include "sched/sched.h"
#include "sched/stack.h"

#define BUILD_ID_MAX 64

/* -- the reason ------------------------------------------------------------------ */

static weft_term kind_of(const struct weft__autopsy *autopsy)
{
    if (autopsy->is_overflow)
        return WEFT_ATOM("stack_overflow");
    switch (autopsy->signo) {
    case SIGSEGV: return WEFT_ATOM("sigsegv");
    case SIGBUS: return WEFT_ATOM("sigbus");
    case SIGFPE: return WEFT_ATOM("sigfpe");
    case SIGILL: return WEFT_ATOM("sigill");
    case SIGTRAP: return WEFT_ATOM("sigtrap");
    default: return WEFT_ATOM("sigabrt");
    }
}

static weft_term stack_of(const struct weft__autopsy *autopsy)
{
    weft_term list = weft_empty_list;

    for (uint32_t i = autopsy->n_frames; i > 0; i--)
        list = weft_cons(weft_pointer(autopsy->frames[i - 1]), list);
    return list;
}

static weft_term build_id_of(const void *address, const void **base)
{
    char text[2 * BUILD_ID_MAX + 1];

    return weft_bin(text, weft__symbol_build_id(text, sizeof text, address, base));
}

/* The innermost frame that is in an object: a wild jump's pc is in none. */
static const void *known_address(const struct weft__autopsy *autopsy)
{
    return autopsy->n_frames > 1 && !weft__symbol_is_code(autopsy->pc)
               ? autopsy->frames[1] : autopsy->pc;
}

weft_term weft__fault_reason(const struct weft__autopsy *autopsy)
{
    const void *base = NULL;
    weft_term build_id = build_id_of(known_address(autopsy), &base);
    weft_term facts = weft_map(WEFT_ATOM("pc"), weft_pointer(autopsy->pc), WEFT_ATOM("stack"), stack_of(autopsy),
                               WEFT_ATOM("build_id"), build_id, WEFT_ATOM("base"), weft_pointer(base));

    if (autopsy->signo != SIGABRT)
        facts = weft_map_put(facts, WEFT_ATOM("address"), weft_pointer(autopsy->address));
    if (autopsy->is_overflow) {
        const struct weft__stack *stack = weft__here()->stack;

        facts = weft_map_put(facts, WEFT_ATOM("function"), weft_pointer(autopsy->function));
        facts = weft_map_put(facts, WEFT_ATOM("size"), weft_int((int64_t)stack->size));
    }
    return weft_tuple(kind_of(autopsy), facts);
}

/* -- the report --------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2)))
static void say(const char *format, ...)
{
    char line[512];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n > 0 && write(STDERR_FILENO, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1) < 0)
        (void)n; /* nobody is left to tell */
}

static const char *code_text(int signo, int code)
{
    static const struct {
        int signo, code;
        const char *text;
    } all[] = {
        {SIGSEGV, SEGV_MAPERR, "nothing is mapped there"},
        {SIGSEGV, SEGV_ACCERR, "no permission"},
        {SIGSEGV, 0x80, "no such address"},
        {SIGBUS, BUS_ADRALN, "not aligned"},
        {SIGBUS, BUS_ADRERR, "beyond the end of a file"},
        {SIGFPE, FPE_INTDIV, "division by zero"},
        {SIGILL, ILL_ILLOPN, "no such instruction"},
        {SIGTRAP, TRAP_BRKPT, "a breakpoint that no debugger set"},
    };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].signo == signo && all[i].code == code)
            return all[i].text;
    return "";
}

static const char *signal_text(const struct weft__autopsy *autopsy)
{
    switch (autopsy->signo) {
    case SIGSEGV: return autopsy->is_overflow ? "a stack overflow" : "SIGSEGV";
    case SIGBUS: return "SIGBUS";
    case SIGFPE: return "SIGFPE";
    case SIGILL: return "SIGILL";
    case SIGTRAP: return "SIGTRAP";
    default: return "SIGABRT";
    }
}

/* The pid, and what it is called. */
static void say_process(const struct weft__proc *proc)
{
    uint64_t name = atomic_load_explicit(&proc->name, memory_order_relaxed);
    char pid[48], registered[80] = "";

    weft_inspect_to(pid, sizeof pid, proc->pid);
    if (name != 0)
        weft_inspect_to(registered, sizeof registered, weft__term(name));
    say("weft:   process    %s%s%s%s%s\n", pid, registered[0] ? ", " : "", registered,
        proc->extra != NULL && proc->extra->label[0] ? ", " : "",
        proc->extra != NULL ? proc->extra->label : "");
}

static void say_registers(const ucontext_t *context)
{
    enum { PER_LINE = 4 };
    char line[PER_LINE * 28 + 1];
    size_t n = 0;
    uint64_t value;
    const char *name;

    for (unsigned i = 0;; i++) {
        name = weft__registers_at(context, i, &value);
        if (n > 0 && (name == NULL || i % PER_LINE == 0)) {
            say("weft:   %s %s\n", i <= PER_LINE ? "registers " : "          ", line);
            n = 0;
        }
        if (name == NULL)
            return;
        n += (size_t)snprintf(line + n, sizeof line - n, "%-5s %016llx  ", name, (unsigned long long)value);
    }
}

static void say_stack(const struct weft__autopsy *autopsy)
{
    char name[200];

    for (uint32_t i = 0; i < autopsy->n_frames; i++) {
        weft__symbol_name(name, sizeof name, autopsy->frames[i]);
        say("weft:   %s %p  %s\n", i == 0 ? "stack     " : "          ", autopsy->frames[i], name);
    }
    if (autopsy->n_all > autopsy->n_frames)
        say("weft:              and %u more\n", autopsy->n_all - autopsy->n_frames);
}

/* What the worker ran last, newest first. A slot may have another process now. */
static void say_scheduling(const struct weft__worker *worker)
{
    uint64_t runs;
    char line[WEFT__WORKER_RAN * 24 + 1] = "";
    size_t n = 0;

    if (worker == NULL) {
        say("weft:   scheduler  the process has its thread for itself, inside a blocking call\n");
        return;
    }
    runs = atomic_load_explicit(&worker->counts.runs, memory_order_relaxed);
    for (uint64_t i = 0; i < WEFT__WORKER_RAN && i < runs; i++) {
        const struct weft__fiber *fiber =
            atomic_load_explicit(&worker->ran[(runs - i) % WEFT__WORKER_RAN], memory_order_relaxed);
        char pid[48];

        if (fiber == NULL)
            continue;
        weft_inspect_to(pid, sizeof pid, ((const struct weft__proc *)(const void *)fiber)->pid);
        n += (size_t)snprintf(line + n, sizeof line - n, " %.22s", pid);
    }
    say("weft:   scheduler  worker %u, run %llu; it ran, newest first:%s\n", worker->index,
        (unsigned long long)runs, line);
}

void weft__fault_report(const struct weft__autopsy *autopsy, const ucontext_t *context,
                        const struct weft__proc *proc, const struct weft__worker *worker)
{
    char where[200] = "", address[64] = "";
    const char *code = code_text(autopsy->signo, autopsy->code);

    if (autopsy->signo != SIGABRT)
        snprintf(address, sizeof address, " at address %p", autopsy->address);
    if (autopsy->where != NULL)
        weft__symbol_name(where, sizeof where, autopsy->where);
    say("weft: %s%s%s%s in a process, which cannot end alone:\n", signal_text(autopsy), address,
        code[0] ? ", " : "", code);
    say("weft:   because    %s%s%s\n", autopsy->why, where[0] ? ": " : "", where);
    say_process(proc);
    say_registers(context);
    say_stack(autopsy);
    say_scheduling(worker);
}
