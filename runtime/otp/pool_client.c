/* pool_client.c - a pool's clients: ask, use, give back.
 *
 * A client that ends is seen by its pool, wherever it is in here. What is left to see
 * to are an exit that is caught further out (proc/catch.h), when the client lives on
 * without the resource, and a time that is over, when the pool may have granted
 * one that nobody hears of: both are told.
 */
#include "otp/pool.h"

#include "base/code.h"
#include "otp/call.h"
#include "proc/catch.h"
#include "proc/runtime.h"
#include "weft/process.h"
#include "weft/timer.h"

#define A(name) WEFT_ATOM(#name)

/* -- functions of the user's, with a resource ----------------------------------------- */

struct use {
    const weft_pool_resource *kind; /* check it; or NULL: fn */
    weft_term (*fn)(weft_term resource, void *arg);
    void *arg;
    weft_term resource;
    weft_term result;
    bool is_good;
};

WEFT__GATE static void run_use(void *arg)
{
    struct use *use = arg;

    if (use->kind != NULL)
        use->is_good = use->kind->check(use->resource);
    else
        use->result = use->fn(use->resource, use->arg);
}

/* Does not return when the function exits; an exit that is caught further out gives the
 * resource up. */
WEFT__GATE static void run(struct weft__proc *proc, weft_server pool, struct use *use)
{
    weft_term reason;

    if (!weft__catch_is_open(proc)) {
        run_use(use);
        weft__proc_returned(proc);
        return;
    }
    if (weft__catch(proc, run_use, use, &reason))
        return;
    weft_gen_server_cast(pool, weft_tuple(A(abandon), proc->pid, use->resource));
    weft__proc_exit(proc, reason);
}

/* -- taking one ------------------------------------------------------------------------- */

/* Ask once: true, and {resource, check, kind}; false, and why not. */
static bool ask(weft_server pool, bool waits, int64_t left_ms, weft_term *answer)
{
    weft_ref ref = weft_make_ref();

    if (weft_gen_server_try_call(pool, weft_tuple(A(checkout), ref, weft_bool(waits), weft_self()), left_ms,
                                 answer)) {
        if (!weft_eq(*answer, A(none)))
            return true;
        *answer = A(timeout);
        return false;
    }
    if (weft_eq(*answer, A(timeout)))
        weft_gen_server_cast(pool, weft_tuple(A(cancel), ref));
    return false;
}

static bool is_mistake(weft_term reason)
{
    return weft_is_tuple(reason) && weft_eq(weft_tuple_at(reason, 0), A(badarg));
}

/* false: the caller does not hold it. A pool that is gone has taken it along. */
static bool give_back(weft_server pool, weft_atom how, weft_term resource)
{
    weft_term answer;

    if (weft_gen_server_try_call(pool, weft_tuple(how, weft_self(), resource), WEFT_INFINITY, &answer))
        return !weft_eq(answer, A(not_held));
    if (is_mistake(answer))
        weft_exit(answer);
    return true;
}

static void give_back_own(const char *call, weft_server pool, weft_atom how, weft_term resource)
{
    if (!give_back(pool, how, resource))
        weft__proc_badarg(call, "the caller holds no such resource of this pool: %s", weft_inspect(resource));
}

static int64_t left_of(int64_t until_ms)
{
    int64_t now_ms = weft_monotonic_ms();

    if (until_ms == WEFT_INFINITY)
        return WEFT_INFINITY;
    return until_ms > now_ms ? until_ms - now_ms : 0;
}

WEFT__GATE static bool checkout(const char *call, weft_server pool, int64_t timeout_ms, weft_term *resource)
{
    struct weft__proc *proc = weft__proc_need_parkable(call);
    bool waits = timeout_ms > 0;
    int64_t until_ms = waits && timeout_ms != WEFT_INFINITY ? weft_monotonic_ms() + timeout_ms : WEFT_INFINITY;
    weft_term answer;

    if (timeout_ms < 0)
        weft__proc_badarg(call, "the time is negative (%lld ms)", (long long)timeout_ms);
    while (ask(pool, waits, left_of(until_ms), &answer)) {
        struct use use = {.kind = WEFT__POOL_KIND(weft_tuple_at(answer, 2)), .resource = weft_tuple_at(answer, 0),
                          .is_good = true};

        if (weft_to_bool(weft_tuple_at(answer, 1)))
            run(proc, pool, &use);
        if (use.is_good) {
            *resource = use.resource;
            return true;
        }
        give_back(pool, A(discard), use.resource);
    }
    *resource = answer;
    return false;
}

_Noreturn static void exit_without(weft_server pool, int64_t timeout_ms, weft_term reason)
{
    weft_exit(is_mistake(reason)
                  ? reason
                  : weft_tuple(reason, weft_tuple(A(Pool), A(checkout),
                                                  weft_list(pool, weft__call_timeout_term(timeout_ms)))));
}

WEFT__GATE bool weft_pool_try_checkout(weft_server pool, int64_t timeout_ms, weft_term *resource)
{
    return checkout("weft_pool_try_checkout", pool, timeout_ms, resource);
}

WEFT__GATE weft_term weft_pool_checkout(weft_server pool, int64_t timeout_ms)
{
    weft_term resource;

    if (!checkout("weft_pool_checkout", pool, timeout_ms, &resource))
        exit_without(pool, timeout_ms, resource);
    return resource;
}

/* -- giving it back ------------------------------------------------------------------------ */

void weft_pool_checkin(weft_server pool, weft_term resource)
{
    give_back_own("weft_pool_checkin", pool, A(checkin), resource);
}

void weft_pool_discard(weft_server pool, weft_term resource)
{
    give_back_own("weft_pool_discard", pool, A(discard), resource);
}

/* -- both -------------------------------------------------------------------------------------- */

WEFT__GATE static bool transaction(const char *call, weft_server pool, int64_t timeout_ms,
                                   weft_term (*fn)(weft_term resource, void *arg), void *arg, weft_term *result)
{
    struct weft__proc *proc = weft__proc_need_parkable(call);
    struct use use = {.fn = fn, .arg = arg};

    if (!checkout(call, pool, timeout_ms, &use.resource)) {
        *result = use.resource;
        return false;
    }
    run(proc, pool, &use);
    give_back(pool, A(checkin), use.resource); /* unless fn did, or discarded it */
    *result = use.result;
    return true;
}

WEFT__GATE bool weft_pool_try_transaction(weft_server pool, int64_t timeout_ms,
                                          weft_term (*fn)(weft_term resource, void *arg), void *arg,
                                          weft_term *result)
{
    return transaction("weft_pool_try_transaction", pool, timeout_ms, fn, arg, result);
}

WEFT__GATE weft_term weft_pool_transaction(weft_server pool, int64_t timeout_ms,
                                           weft_term (*fn)(weft_term resource, void *arg), void *arg)
{
    weft_term result;

    if (!transaction("weft_pool_transaction", pool, timeout_ms, fn, arg, &result))
        exit_without(pool, timeout_ms, result);
    return result;
}

bool weft_pool_status(weft_server pool, weft_pool_counts *counts)
{
    weft_term answer;

    return weft_gen_server_try_call(pool, A(counts), WEFT_INFINITY, &answer) &&
           weft_match(answer, weft_tuple(weft_bind_int(&counts->idle), weft_bind_int(&counts->in_use),
                                         weft_bind_int(&counts->opening), weft_bind_int(&counts->waiting),
                                         weft_bind_int(&counts->failures)));
}
