#include "otp/start.h"

#include "base/here.h"
#include "otp/task.h"
#include "proc/runtime.h"
#include "term/atom.h"
#include "term/copy.h"
#include "weft/error.h"

void weft__start_check(const char *call, weft_term name, int64_t timeout_ms)
{
    struct weft__copy_refusal refusal;

    if (!weft_is_none(name) &&
        (!weft__is_name(name) || weft__copy_size(name, &refusal) == WEFT__COPY_REFUSED))
        weft__proc_badarg(call, ".name is %s: it must be an atom other than nil, true, false and "
                          "undefined, or weft_via(registry, key)", weft_inspect(name));
    if (timeout_ms < 0)
        weft__proc_badarg(call, ".timeout_ms is %lld: it must be 0 or more, or WEFT_INFINITY",
                          (long long)timeout_ms);
}

/* The child knows its name for itself; before anybody sees it. */
static void give_name(struct weft__proc *child, void *arg)
{
    const struct weft__start *start = arg;

    *start->name_place = weft_is_none(start->name)
                             ? start->name
                             : weft__copy_to_region(&child->region, start->name, start->call);
}

static weft_pid spawn(struct weft__proc *proc, const struct weft__start *start, weft_term *reason)
{
    struct weft__start with = *start;
    const struct weft__spawn spawn = {
        .kind = WEFT__PROC_SERVER,
        .behaviour = start->behaviour,
        .state = start->serving,
        .arg = start->arg,
        .options = start->options,
        .call = start->call,
        .prepare = give_name,
        .prepare_arg = &with,
    };
    struct weft__copy_refusal refusal;
    int code;
    weft_pid pid = weft__proc_spawn(proc, &spawn, &code);

    if (!weft_is_none(pid))
        return pid;
    if (code == WEFT_EBADTERM && weft__copy_size(start->arg, &refusal) == WEFT__COPY_REFUSED)
        *reason = weft__task_mistake(start->call, "the argument cannot be sent: %s", weft__copy_words(&refusal));
    else
        *reason = weft_tuple(WEFT_ATOM("system_limit"), weft_str(weft_error_text(code)));
    return pid;
}

/* Who trusts in a failed start hears of it here and nowhere else. */
static void forget_child(struct weft__proc *proc, const struct weft__start *start, weft_pid child)
{
    if (start->options->link)
        weft__flush_exit(proc, child);
    if (start->options->monitor != NULL)
        weft_demonitor(*start->options->monitor, true);
}

static void kill_child(struct weft__proc *proc, const struct weft__start *start, weft_pid child)
{
    weft_ref ref = weft_monitor(child);

    if (start->options->link)
        weft__unlink(proc, child);
    weft__exit_signal(proc, child, WEFT__A(kill));
    weft_receive(weft_tuple(WEFT__A(DOWN), ref, weft_any, weft_any, weft_any), WEFT_INFINITY, NULL);
}

/* The child owes an answer to the bond: wait for it. */
static weft_started await(struct weft__proc *proc, const struct weft__start *start, weft_pid child,
                          struct weft__bond *bond)
{
    bool in_time = weft__call_wait(proc, bond, start->timeout_ms);
    enum weft__call_outcome outcome;
    weft_term term;

    if (!in_time)
        kill_child(proc, start, child);
    outcome = weft__call_end(proc, bond, &term);
    if (outcome == WEFT__ANSWERED && in_time && !weft_eq(term, WEFT__A(ignore)))
        return weft_started_ok(child);
    forget_child(proc, start, child);
    if (!in_time)
        return weft_started_error(WEFT__A(timeout));
    return outcome == WEFT__ANSWERED ? weft_started_ignore() : weft_started_error(term);
}

weft_started weft__start(struct weft__proc *proc, const struct weft__start *start, bool *gave_back)
{
    weft_pid holder = weft_none;
    struct weft__bond bond;
    weft_term reason;
    weft_pid child;

    *gave_back = true;
    if (!weft_is_none(start->name) && weft__server_find(start->call, start->name, &holder, &reason) &&
        !weft_is_none(holder))
        return weft_started_error(weft_tuple(WEFT__A(already_started), holder));
    weft__call_begin(proc, &bond, weft_none);
    start->serving->from = weft__term(bond.key);
    start->serving->client = proc->pid;
    start->serving->answer = NULL;
    child = spawn(proc, start, &reason);
    if (weft_is_none(child)) {
        weft__bond_remove(proc, &bond);
        return weft_started_error(reason);
    }
    *gave_back = false;
    bond.peer = child.bits;
    return await(proc, start, child, &bond);
}
