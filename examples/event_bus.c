/*
 * event_bus.c - typed events, and handlers that know nothing of each other.
 *
 *     event_bus        some events, one of which is too much for a handler
 *
 * An event is {type, data}. Whoever has one publishes it and goes on: handlers run in
 * processes of their own, each with its own queue and state. A handler takes the types that it
 * was made for, or all of them. One that crashes is started again after a while, and
 * subscribes anew; neither the bus, nor the publisher, nor another handler notices. What
 * was published meanwhile it has missed: a handler that must not miss anything reads
 * its state anew when it begins.
 */
#include <stdio.h>
#include <weft.h>

#define A(name) WEFT_ATOM(#name)

/* -- the bus ------------------------------------------------------------------------- */

/* What a handler does with an event: state is its own, and zero at first. */
typedef void handle_fn(int64_t *state, weft_term type, weft_term data);

struct handler { handle_fn *handle; int64_t state; };

/* arg: {name, types, function} */
static weft_init_result handler_init(weft_term arg)
{
    struct handler *handler = weft_new(struct handler);

    handler->handle = (handle_fn *)(uintptr_t)weft_to_pointer(weft_tuple_at(arg, 2));
    weft_list_each (type, weft_tuple_at(arg, 1))
        weft_pubsub_subscribe(A(events), type, .once = true);
    return weft_init_ok(handler);
}

static weft_result handler_info(void *state, weft_term event)
{
    struct handler *handler = state;

    handler->handle(&handler->state, weft_tuple_at(event, 0), weft_tuple_at(event, 1));
    return weft_noreply();
}

static weft_result handler_call(void *state, weft_term request, weft_from from)
{
    (void)request, (void)from;
    return weft_reply(weft_int(((struct handler *)state)->state));
}

static const weft_gen_server handler_server = {
    .init = handler_init, .handle_info = handler_info, .handle_call = handler_call };

static weft_server handler_name(weft_term name) { return weft_via(A(handler_names), name); }

static weft_started handler_start_link(weft_term arg)
{
    return weft_gen_server_start_link(&handler_server, arg, .name = handler_name(weft_tuple_at(arg, 0)));
}

/* A handler of these types, a list; [:all]: of every event. However often it falls, it is
 * started again, ever more slowly. */
static void bus_handle(weft_term name, weft_term types, handle_fn *handle)
{
    weft_term arg = weft_tuple(name, types, weft_pointer((void *)(uintptr_t)handle));

    weft_must(weft_dynamic_supervisor_start_child(A(handlers),
            weft_child(.id = name, .start = handler_start_link, .arg = arg, .backoff_ms = 5,
                       .restart_budget = WEFT_INFINITY)));
}

static void bus_publish(weft_term type, weft_term data)
{
    WEFT_SCOPE;
    weft_term event = weft_tuple(type, data);

    weft_pubsub_broadcast(A(events), type, event);
    weft_pubsub_broadcast(A(events), A(all), event);
}

/* A handler's state, after what this process has published so far. */
static int64_t bus_state(weft_term name)
{
    weft_registry_await(A(handler_names), name, 5000);      /* it may be about to be started again */
    return weft_to_int(weft_gen_server_call(handler_name(name), A(state), 5000));
}

static weft_started bus_start_link(void)
{
    weft_child_spec children[] = {                           /* handlers stop first, then what they use */
        weft_pubsub_child(.name = A(events)),
        weft_registry_child(.name = A(handler_names), .keys = WEFT_UNIQUE),
        weft_dynamic_supervisor_child(.name = A(handlers)),
    };

    return weft_supervisor_start_link(children, WEFT_COUNT(children), .strategy = WEFT_REST_FOR_ONE);
}

/* -- handlers of a shop ----------------------------------------------------------------- */

static void greet(int64_t *n_greeted, weft_term type, weft_term name)
{
    (void)type, (void)name;
    ++*n_greeted;                                            /* a mail would go out here */
}

static void account(int64_t *total, weft_term type, weft_term order)
{
    int64_t price = weft_to_int(weft_map_get(order, A(price), weft_int(0)));

    if (price < 0)
        weft_exit(weft_tuple(A(bad_price), weft_int(price)));
    *total += weft_eq(type, A(order_cancelled)) ? -price : price;
}

static void count(int64_t *n_events, weft_term type, weft_term data)
{
    (void)type, (void)data;
    ++*n_events;
}

static weft_term order(const char *item, int64_t price)
{
    return weft_map(A(item), weft_str(item), A(price), weft_int(price));
}

static void show(const char *when)
{
    printf("%s: greeted %lld, taken %lld, events %lld\n", when, (long long)bus_state(A(greeter)),
           (long long)bus_state(A(accounts)), (long long)bus_state(A(counter)));
}

static weft_term app(weft_term args)
{
    weft_ref down;

    (void)args;
    weft_must(bus_start_link());
    bus_handle(A(greeter), weft_list(A(customer_joined)), greet);
    bus_handle(A(accounts), weft_list(A(order_placed), A(order_cancelled)), account);
    bus_handle(A(counter), weft_list(A(all)), count);

    bus_publish(A(customer_joined), weft_str("ada"));
    bus_publish(A(order_placed), order("tea", 7));
    bus_publish(A(order_placed), order("cups", 20));
    bus_publish(A(order_cancelled), order("tea", 7));
    show("at first");                                        /* 1, 20, 4 */

    down = weft_monitor(weft_registry_whereis(A(handler_names), A(accounts)));
    bus_publish(A(order_placed), order("nothing", -5));      /* too much for accounts */
    weft_receive(weft_tuple(A(DOWN), down, weft_any, weft_any, weft_any), WEFT_INFINITY, NULL);
    bus_publish(A(customer_joined), weft_str("grace"));      /* the bus goes on */
    show("after a crash");                                   /* 2, 0, 6: accounts begins anew */

    bus_publish(A(order_placed), order("pot", 30));
    show("in the end");                                      /* 2, 30, 7 */
    return A(ok);
}

int main(int argc, char **argv) { return weft_main(argc, argv, app); }
