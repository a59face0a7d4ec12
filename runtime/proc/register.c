/* register.c - names: the calls. */
#include "proc/name.h"

#include "base/here.h"
#include "proc/proc.h"
#include "proc/runtime.h"
#include "weft/error.h"

static bool is_reserved(weft_atom name)
{
    return name.bits == WEFT_ATOM("nil").bits || name.bits == WEFT_ATOM("undefined").bits ||
           weft_is_bool(name);
}

static void forget(struct weft__proc *proc, weft_atom name)
{
    uint64_t bits = name.bits;

    /* Acquire and release, with whoever takes the next name. */
    atomic_compare_exchange_strong_explicit(&proc->name, &bits, 0, memory_order_acq_rel,
                                            memory_order_relaxed);
}

/* Two words must agree: the table's (name to pid) and the control block's (its
 * name). The control block's is taken first, by CAS from 0, and given back by
 * whoever fails afterwards. */
int weft_try_register(weft_atom name, weft_pid pid)
{
    struct weft__proc *self = weft__proc_here(), *proc;
    struct weft__runtime *runtime = weft__runtime();
    uint64_t none = 0;
    int code;

    if (self == NULL)
        return weft__runtime_missing();
    if (!weft_is_atom(name) || is_reserved(name) || !weft_is_pid(pid))
        return WEFT_EINVAL;
    proc = weft__proc_slot(pid);
    if (proc == NULL || !weft__proc_is_there(proc, pid))
        return WEFT_ENOPROC;
    /* First the process's own word: one name each. Seq_cst: it ends by ENDING,
     * then a look at the word; here it is the word, then a look at the state. */
    if (!atomic_compare_exchange_strong_explicit(&proc->name, &none, name.bits, memory_order_seq_cst,
                                                 memory_order_relaxed))
        return WEFT_EEXIST;
    code = weft__name_set(&runtime->names, name.bits, pid.bits);
    /* It may have ended meanwhile, after it looked for a name to give back: then
     * it is given back here, and twice does no harm. */
    if (code == 0 && !weft__proc_is_there(proc, pid)) {
        weft__name_unset(&runtime->names, name.bits, pid.bits);
        code = WEFT_ENOPROC;
    }
    if (code != 0)
        forget(proc, name);
    return code;
}

void weft_register(weft_atom name, weft_pid pid)
{
    int code;

    weft__proc_need("weft_register");
    code = weft_try_register(name, pid);
    switch (code) {
    case 0:
        return;
    case WEFT_EALREADY:
        weft__proc_badarg("weft_register", "the name %s is taken", weft_inspect(name));
    case WEFT_EEXIST:
        weft__proc_badarg("weft_register", "%s has a name already", weft_inspect(pid));
    case WEFT_ENOPROC:
        weft__proc_badarg("weft_register", "%s is not alive", weft_inspect(pid));
    case WEFT_ENOMEM:
        weft__proc_system_limit("weft_register", "no memory");
    default:
        if (!weft_is_pid(pid))
            weft__proc_badarg("weft_register", "%s is no pid", weft_inspect(pid));
        weft__proc_badarg("weft_register", weft_is_atom(name) ? "%s is reserved" : "%s is no atom",
                          weft_inspect(name));
    }
}

int weft_try_unregister(weft_atom name)
{
    struct weft__runtime *runtime = weft__runtime();
    struct weft__proc *proc;
    uint64_t pid;

    if (weft__proc_here() == NULL)
        return weft__runtime_missing();
    if (!weft_is_atom(name))
        return WEFT_EINVAL;
    pid = weft__name_unset(&runtime->names, name.bits, 0);
    if (pid == 0)
        return WEFT_ENOPROC;
    proc = weft__proc_slot(weft__term(pid));
    /* The pid's own word, unless its slot has gone on: then it is 0 or another name. */
    if (weft__proc_is_there(proc, weft__term(pid)))
        forget(proc, name);
    return 0;
}

void weft_unregister(weft_atom name)
{
    weft__proc_need("weft_unregister");
    if (weft_try_unregister(name) != 0)
        weft__proc_badarg("weft_unregister", "nobody is registered as %s", weft_inspect(name));
}

weft_pid weft_whereis(weft_atom name)
{
    struct weft__runtime *runtime = weft__runtime();
    weft_pid pid;

    if (runtime == NULL || !weft_is_atom(name))
        return weft_none;
    pid = weft__term(weft__name_get(&runtime->names, name.bits));
    /* A register that lost to the process's end gives the name back a moment
     * later than the end itself. */
    if (pid.bits != 0 && !weft__proc_is_there(weft__proc_slot(pid), pid))
        return weft_none;
    return pid;
}

/* Called by the process's end, before anybody hears of it. */
void weft__register_end(struct weft__proc *proc)
{
    uint64_t name = atomic_exchange_explicit(&proc->name, 0, memory_order_acq_rel);

    if (name != 0)
        weft__name_unset(&weft__runtime()->names, name, proc->pid.bits);
}
