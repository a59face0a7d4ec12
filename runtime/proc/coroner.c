/* coroner.c - unwinding, and the verdict. The rules are in coroner.h.
 *
 * The frames come innermost first and move a small machine:
 *
 *     TOP    nothing but leaves of the C library so far
 *     USER   the last frame was the program's
 *     GATE   the last frame was a gate
 *
 *     TOP  -> USER  the program's frame; the leaf that it called is looked up
 *     USER -> GATE  a gate
 *     GATE -> USER  the program called weft, which calls it back: weft_blocking
 *     GATE -> over  the stack's base, or weft__catch: what is below goes on
 *
 * All other ways lead to a reason why not.
 */
#include "proc/coroner.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <unwind.h>

#include "base/code.h"
#include "base/symbol.h"
#include "proc/catch.h"
#include "proc/registers.h"
#include "sched/context.h"
#include "sched/stack.h"

/* -- what is known of the C library ---------------------------------------------- */

/* They take no lock, and change nothing but what they were given. */
static const char *const leaf_names[] = {
    "memcpy", "memmove", "memset", "memcmp", "memchr", "memrchr", "rawmemchr", "mempcpy", "memccpy",
    "memmem", "bcmp", "bcopy", "bzero", "explicit_bzero", "swab", "strlen", "strnlen", "strcpy",
    "strncpy", "stpcpy", "stpncpy", "strcat", "strncat", "strcmp", "strncmp", "strcasecmp",
    "strncasecmp", "strcoll", "strchr", "strrchr", "strchrnul", "index", "rindex", "strspn", "strcspn",
    "strpbrk", "strstr", "strcasestr", "strsep", "strtok_r", "strdup", "strndup", "strtol", "strtoul",
    "strtoll", "strtoull", "strtod", "strtof", "atoi", "atol", "atoll", "atof", "wmemcpy", "wmemmove",
    "wmemset", "wmemcmp", "wmemchr", "wcslen", "wcsnlen", "wcscpy", "wcsncpy", "wcscat", "wcsncat",
    "wcscmp", "wcsncmp", "wcschr", "wcsrchr", "wcsstr", "snprintf", "vsnprintf", "sprintf", "vsprintf",
    "sscanf", "vsscanf", "__isoc99_sscanf", "__memcpy_chk", "__memmove_chk", "__memset_chk",
    "__mempcpy_chk", "__strcpy_chk", "__strncpy_chk", "__stpcpy_chk", "__strcat_chk", "__strncat_chk",
    "__snprintf_chk", "__vsnprintf_chk", "__sprintf_chk", "__vsprintf_chk", "div", "ldiv", "lldiv",
};

static const char *const abort_names[] = {
    "abort", "raise", "__assert_fail", "__assert_perror_fail", "__assert",
};

/* Whoever has one of these on the stack holds the heap, whichever it is. */
static const char *const allocator_names[] = {
    "malloc", "calloc", "realloc", "reallocarray", "free", "cfree", "memalign", "aligned_alloc",
    "posix_memalign", "valloc", "pvalloc", "malloc_usable_size", "malloc_trim",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SAME_MAX 64 /* more frames at one place are no stack */

static struct {
    pthread_once_t once;
    const char *problem;
    /* Written once, read-only after. */
    const void *leaves[COUNT(leaf_names)];
    const void *aborts[COUNT(abort_names)];
    const void *allocators[2 * COUNT(allocator_names)]; /* the C library's, the program's */
    const void *libc;      /* where these objects are mapped */
    const void *loader;
    const void *kernel;    /* what it lends to programs, or NULL */
    const void *allocator; /* an object of its own, or NULL */
} known = {.once = PTHREAD_ONCE_INIT};

extern int _dl_find_object(void *address, struct dl_find_object *result) __attribute__((weak));

/* Where the object that holds an address is mapped; NULL: none. */
static const void *object_of(const void *address)
{
    struct dl_find_object object;

    if (address == NULL || _dl_find_object((void *)(uintptr_t)address, &object) != 0)
        return NULL;
    return object.dlfo_map_start;
}

static void look_up(void *library, const char *const *names, const void **addresses, size_t n)
{
    for (size_t i = 0; i < n; i++)
        addresses[i] = dlsym(library, names[i]);
}

static bool is_among(const void *address, const void *const *addresses, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (addresses[i] == address && address != NULL)
            return true;
    return false;
}

static _Unwind_Reason_Code warm_up(struct _Unwind_Context *frame, void *arg)
{
    int is_exact;

    (void)arg;
    _Unwind_GetIPInfo(frame, &is_exact);
    _Unwind_GetRegionStart(frame);
    _Unwind_GetCFA(frame);
    return _URC_NO_REASON;
}

static void prepare(void)
{
    void *library = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    const void *program, *allocator;

    if (_dl_find_object == NULL || library == NULL) {
        known.problem = "there is no shared C library of a kind that it knows";
        return;
    }
    look_up(library, leaf_names, known.leaves, COUNT(leaf_names));
    look_up(library, abort_names, known.aborts, COUNT(abort_names));
    look_up(library, allocator_names, known.allocators, COUNT(allocator_names));
    look_up(RTLD_DEFAULT, allocator_names, known.allocators + COUNT(allocator_names), COUNT(allocator_names));
    known.libc = object_of(dlsym(library, "abort"));
    known.loader = object_of((const void *)getauxval(AT_BASE));
    known.kernel = object_of((const void *)getauxval(AT_SYSINFO_EHDR));
    program = object_of((const void *)getauxval(AT_ENTRY));
    allocator = object_of(dlsym(RTLD_DEFAULT, "malloc"));
    dlclose(library);
    if (allocator != known.libc && allocator != program)
        known.allocator = allocator;
    if (known.libc == NULL)
        known.problem = "the C library was not found";
    else if (!weft__code_is_known() || weft__code_of(weft__context_start) != WEFT__CODE_WEFT)
        known.problem = "this program was linked so that weft's code cannot be told from its own";
    _Unwind_Backtrace(warm_up, NULL);
}

const char *weft__coroner_prepare(void)
{
    pthread_once(&known.once, prepare);
    return known.problem;
}

/* -- a walk ----------------------------------------------------------------------- */

enum place { TOP, USER, GATE, OVER };

struct frame {
    const void *pc;          /* in the function, never behind it */
    const void *begin;       /* the function's, or NULL */
};

struct walk {
    void (*step)(struct walk *walk, const struct frame *frame);
    struct weft__autopsy *autopsy;
    uintptr_t high;          /* of the stack; callers are further up */
    uintptr_t before;        /* sp of the last frame */
    uint32_t n_same;         /* frames that took no stack */
    uintptr_t first_pc;      /* of the frame that was interrupted */
    uintptr_t first_sp;      /* its own: the unwinder's would be the signal frame's on aarch64 */
    bool has_begun;
    bool is_wild;            /* that one is where a call would have come back to */
    enum place place;
    const void *leaf;        /* TOP: the outermost of the C library's, where it begins */
    const void *leaf_pc;
};

static void decide(struct walk *walk, const char *why, const void *where)
{
    if (walk->autopsy->why == NULL) {
        walk->autopsy->why = why;
        walk->autopsy->where = where;
    }
}

/* The program called into the C library, and that is where it stopped. */
static void judge_leaf(struct walk *walk)
{
    bool is_abort = is_among(walk->leaf, known.aborts, COUNT(known.aborts));

    if (walk->autopsy->signo == SIGABRT && !walk->autopsy->is_interrupt) {
        if (walk->leaf == NULL)
            decide(walk, "nobody called abort: the signal came from elsewhere", NULL);
        else if (!is_abort)
            decide(walk, "the C library itself gave up: what it found broken is not this process's alone",
                   walk->leaf_pc);
    } else if (walk->leaf != NULL && !is_among(walk->leaf, known.leaves, COUNT(known.leaves))) {
        decide(walk, "inside the C library, in a function that may hold a lock or be half done", walk->leaf_pc);
    }
}

static void step_user(struct walk *walk)
{
    if (walk->place == TOP)
        judge_leaf(walk);
    walk->place = USER;
}

static void step_gate(struct walk *walk, const struct frame *frame)
{
    if (walk->place == TOP)
        decide(walk, "inside weft", frame->pc);
    walk->place = GATE;
}

static void step_libc(struct walk *walk, const struct frame *frame)
{
    if (walk->place != TOP)
        decide(walk, "the C library was calling back into the program, and would be left half done", frame->pc);
    walk->leaf = frame->begin;
    walk->leaf_pc = frame->pc;
}

/* A sanitizer's object has strlen and the like as well: those may fault. */
static bool is_allocator(const struct walk *walk, const void *object)
{
    return object == known.allocator && (walk->autopsy->is_interrupt || !(WEFT__STACK_ASAN || WEFT__STACK_TSAN));
}

static void record(struct weft__autopsy *autopsy, const struct frame *frame)
{
    autopsy->n_all++;
    if (autopsy->function == NULL)
        autopsy->function = frame->begin;
    if (autopsy->n_frames < WEFT__AUTOPSY_FRAMES)
        autopsy->frames[autopsy->n_frames++] = frame->pc;
}

static void step(struct walk *walk, const struct frame *frame)
{
    enum weft__code code = weft__code_of(frame->pc);
    const void *object;

    record(walk->autopsy, frame);
    if (frame->begin == (const void *)weft__context_start) {
        if (walk->place != GATE)
            decide(walk, "inside weft", frame->pc);
        walk->place = OVER;
        return;
    }
    if (code == WEFT__CODE_GATE) {
        step_gate(walk, frame);
        if (walk->autopsy->is_caught && frame->begin == (const void *)(uintptr_t)weft__catch)
            walk->place = OVER;
        return;
    }
    object = object_of(frame->pc);
    if (code == WEFT__CODE_WEFT)
        decide(walk, walk->place == TOP ? "inside weft" : "weft was calling back into the program, and would be left half done",
               frame->pc);
    else if (object == NULL)
        decide(walk, "there is code on the stack of which nothing is known", frame->pc);
    else if (is_allocator(walk, object) || is_among(frame->begin, known.allocators, COUNT(known.allocators)))
        decide(walk, "inside the allocator", frame->pc);
    else if (object == known.loader)
        decide(walk, "inside the dynamic loader", frame->pc);
    else if (object == known.libc)
        step_libc(walk, frame);
    else
        step_user(walk);
}

/* Code that weft itself may have called: no sign that a function of the user runs. */
static bool is_shared(const struct frame *frame, const void *object)
{
    return object == known.libc || object == known.loader || object == known.kernel ||
           object == known.allocator || is_among(frame->begin, known.allocators, COUNT(known.allocators));
}

/* The other question. TOP stands for code that weft may have called as well. */
static void step_for_weft(struct walk *walk, const struct frame *frame)
{
    enum weft__code code = weft__code_of(frame->pc);
    bool is_base = frame->begin == (const void *)weft__context_start;
    const void *object;

    if (code == WEFT__CODE_OTHER && !is_base) {
        record(walk->autopsy, frame);
        object = object_of(frame->pc);
        if (object == NULL)
            decide(walk, "there is code on the stack of which nothing is known", frame->pc);
        walk->place = is_shared(frame, object) ? TOP : USER;
        return;
    }
    if (walk->place == TOP || (code == WEFT__CODE_WEFT && !is_base))
        decide(walk, "inside weft", frame->pc);
    /* What weft__catch returns to may find itself on another thread anyway. */
    walk->place = is_base || frame->begin == (const void *)(uintptr_t)weft__catch ? OVER : GATE;
}

static _Unwind_Reason_Code visit(struct _Unwind_Context *unwound, void *arg)
{
    struct walk *walk = arg;
    int is_exact = 0;
    uintptr_t pc = (uintptr_t)_Unwind_GetIPInfo(unwound, &is_exact);
    /* As its callee was called. */
    uintptr_t sp = walk->has_begun ? (uintptr_t)_Unwind_GetCFA(unwound) : walk->first_sp;
    struct frame frame = {
        .pc = (const void *)(is_exact && !(walk->is_wild && pc == walk->first_pc) ? pc : pc - 1),
        .begin = (const void *)_Unwind_GetRegionStart(unwound),
    };

    /* Before it come the handler's own frames. */
    if (!walk->has_begun && !(is_exact && pc == walk->first_pc))
        return _URC_NO_REASON;
    walk->n_same += sp == walk->before;
    if (walk->has_begun && (sp < walk->before || sp > walk->high || walk->n_same > SAME_MAX)) {
        decide(walk, "the stack cannot be unwound", NULL);
        return _URC_END_OF_STACK;
    }
    walk->has_begun = true;
    walk->before = sp;
    walk->step(walk, &frame);
    return walk->place == OVER ? _URC_END_OF_STACK : _URC_NO_REASON;
}

/* A call to where no code is has made no frame: undo it, for the unwinder. */
static bool undo_wild_call(ucontext_t *context, const struct weft__stack *stack)
{
    uintptr_t back;

    if (weft__symbol_is_code((const void *)weft__registers_pc(context)) ||
        !weft__stack_holds(stack, (const void *)weft__registers_sp(context)))
        return false;
    back = weft__registers_return(context);
    if (!weft__symbol_is_code((const void *)(back - 8)) || !weft__registers_is_call(back))
        return false;
    weft__registers_pop_call(context);
    return true;
}

static struct walk begin_walk(struct weft__autopsy *autopsy, const struct weft__stack *stack,
                              void (*look)(struct walk *walk, const struct frame *frame))
{
    autopsy->why = NULL;
    autopsy->n_frames = autopsy->n_all = 0;
    autopsy->function = NULL;
    return (struct walk){.step = look, .autopsy = autopsy, .high = (uintptr_t)stack->low + stack->size};
}

static void unwind(struct walk *walk)
{
    _Unwind_Backtrace(visit, walk);
    if (walk->place != OVER)
        decide(walk, "the stack cannot be unwound", NULL);
    if (known.problem != NULL)
        decide(walk, known.problem, NULL);
}

void weft__coroner_look(struct weft__autopsy *autopsy, ucontext_t *context,
                        const struct weft__stack *stack)
{
    uintptr_t pc = weft__registers_pc(context), sp = weft__registers_sp(context);
    struct walk walk = begin_walk(autopsy, stack, step);

    if (undo_wild_call(context, stack)) {
        autopsy->frames[autopsy->n_frames++] = (const void *)pc;
        autopsy->n_all++;
        walk.is_wild = true;
    }
    walk.first_pc = weft__registers_pc(context);
    walk.first_sp = weft__registers_sp(context);
    unwind(&walk);
    weft__registers_restore(context, pc, sp);
}

void weft__coroner_look_for_weft(struct weft__autopsy *autopsy, ucontext_t *context,
                                 const struct weft__stack *stack)
{
    struct walk walk = begin_walk(autopsy, stack, step_for_weft);

    walk.first_pc = weft__registers_pc(context);
    walk.first_sp = weft__registers_sp(context);
    unwind(&walk);
}
