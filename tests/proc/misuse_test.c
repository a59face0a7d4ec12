/* misuse_test.c - wrong uses of each call: the reason names the call and the
 * mistake in words, and nothing else comes of it. */
#include <string.h>
#include <sys/wait.h>

#include "proc/process_test.h"

static weft_term returns_at_once(weft_term arg) { return arg; }
static bool handles_nothing(void *state, weft_term message) { return (void)state, (void)message, true; }

/* X(id, the call as the text names it, a word of the mistake, what is wrong) */
#define MISTAKES(X)                                                                              \
    X(receive_negative, "weft_receive", "negative", weft_receive(weft_any, -1, NULL))            \
    X(receive_very_negative, "weft_receive", "-9223372036854775808", weft_receive(weft_any, INT64_MIN, NULL)) \
    X(sleep_negative, "weft_sleep", "negative", weft_sleep(-1))                                  \
    X(send_any, "weft_send", "pattern", weft_send(weft_self(), weft_any))                        \
    X(send_pattern_inside, "weft_send", "pattern",                                               \
      weft_send(weft_self(), weft_tuple(weft_int(1), weft_list(weft_var(1)))))                   \
    X(send_bind, "weft_send", "pattern", weft_send(weft_self(), weft_list(weft_bind(&arg))))     \
    X(send_pattern_in_map, "weft_send", "pattern", weft_send(weft_self(), weft_map(A(k), weft_any))) \
    X(send_none, "weft_send", "weft_none", weft_send(weft_self(), weft_none))                    \
    X(send_none_inside, "weft_send", "weft_none", weft_send(weft_self(), weft_tuple(weft_none))) \
    X(send_to_int, "weft_send", "", weft_send(weft_int(1), A(hello)))                            \
    X(send_to_text, "weft_send", "", weft_send(weft_str("name"), A(hello)))                      \
    X(send_to_none, "weft_send", "", weft_send(weft_none, A(hello)))                             \
    X(send_to_nobody, "weft_send", "nobody_at_all", weft_send(A(nobody_at_all), A(hello)))       \
    X(spawn_pattern, "weft_spawn", "pattern", weft_spawn(returns_at_once, weft_any))             \
    X(spawn_null, "weft_spawn", "", weft_spawn(NULL, weft_none))                                 \
    X(spawn_stack, "weft_spawn", "stack_size",                                                   \
      weft_spawn(returns_at_once, weft_none, .stack_size = 8 * 1024 * 1024 + 1))                 \
    X(spawn_huge_stack, "weft_spawn", "stack_size",                                              \
      weft_spawn(returns_at_once, weft_none, .stack_size = SIZE_MAX))                            \
    X(spawn_priority, "weft_spawn", "priority",                                                  \
      weft_spawn(returns_at_once, weft_none, .priority = (enum weft_priority)7))                 \
    X(handler_null, "weft_spawn", "", weft_spawn_handler(NULL, NULL))                            \
    X(handler_state, "weft_spawn", "state",                                                      \
      weft_spawn_handler(handles_nothing, NULL, .state_size = 8))                                \
    X(exit_pattern, "weft_exit", "pattern", weft_exit(weft_tuple(weft_any)))                     \
    X(exit_none, "weft_exit", "weft_none", weft_exit(weft_none))                                 \
    X(error_pattern, "weft_error", "pattern", weft_error(weft_any))                              \
    X(signal_to_int, "weft_exit_signal", "pid", weft_exit_signal(weft_int(1), A(boom)))          \
    X(signal_pattern, "weft_exit_signal", "pattern", weft_exit_signal(weft_self(), weft_any))    \
    X(kill_atom, "weft_kill", "pid", weft_kill(A(name)))                                         \
    X(alive_int, "weft_is_alive", "pid", weft_is_alive(weft_int(1)))                             \
    X(link_ref, "weft_link", "pid", weft_link(weft_make_ref()))                                  \
    X(unlink_none, "weft_unlink", "pid", weft_unlink(weft_none))                                 \
    X(unlink_flush_int, "weft_unlink_flush", "pid", weft_unlink_flush(weft_int(1)))              \
    X(monitor_int, "weft_monitor", "", weft_monitor(weft_int(1)))                                \
    X(monitor_none, "weft_monitor", "", weft_monitor(weft_none))                                 \
    X(monitor_tag, "weft_monitor", "tag", weft_monitor(weft_self(), .tag = weft_int(1)))         \
    X(monitor_alias, "weft_monitor", "alias",                                                    \
      weft_monitor(weft_self(), .alias = (enum weft_alias_mode)9))                               \
    X(demonitor_int, "weft_demonitor", "ref", weft_demonitor(weft_int(1), false))                \
    X(unalias_pid, "weft_unalias", "ref", weft_unalias(weft_self()))                             \
    X(register_nil, "weft_register", "nil", weft_register(A(nil), weft_self()))                  \
    X(register_undefined, "weft_register", "undefined", weft_register(A(undefined), weft_self())) \
    X(register_text, "weft_register", "", weft_register(weft_str("name"), weft_self()))          \
    X(register_no_pid, "weft_register", "pid", weft_register(A(name), weft_int(1)))              \
    X(unregister_unknown, "weft_unregister", "never_seen", weft_unregister(A(never_seen)))       \
    X(dict_put_none, "weft_dict_put", "weft_none", weft_dict_put(A(key), weft_none))             \
    X(dict_put_pattern, "weft_dict_put", "pattern", weft_dict_put(A(key), weft_any))             \
    X(dict_key_pattern, "weft_dict_put", "pattern", weft_dict_put(weft_any, A(value)))           \
    X(info_of_int, "weft_process_info", "pid", weft_process_info(weft_int(1), A(links)))         \
    X(info_unknown, "weft_process_info", "shoe_size", weft_process_info(weft_self(), A(shoe_size))) \
    X(info_unknown_in_list, "weft_process_info", "shoe_size",                                    \
      weft_process_info(weft_self(), weft_list(A(links), A(shoe_size))))                         \
    X(keep_pattern, "weft_keep", "pattern", weft_keep(weft_tuple(weft_any)))                     \
    X(keep_none, "weft_keep", "weft_none", weft_keep(weft_none))                                 \
    X(to_int_atom, "weft_to_int", "integer", weft_to_int(A(atom)))                               \
    X(tuple_at_end, "weft_tuple_at", "", weft_tuple_at(weft_tuple(weft_int(1)), 1))              \
    X(head_of_empty, "weft_head", "", weft_head(weft_empty_list))                                \
    X(text_of_int, "weft_text", "binary", weft_text(weft_int(1)))                                \
    X(bool_of_nil, "weft_to_bool", "", weft_to_bool(A(nil)))

#define MISTAKE_FUNCTION(id, call, word, wrong)    \
    static weft_term does_##id(weft_term arg)      \
    {                                              \
        (void)arg;                                 \
        (void)(wrong);                             \
        return A(went_on);                         \
    }
MISTAKES(MISTAKE_FUNCTION)

static const struct {
    const char *id, *call, *word;
    weft_fn *run;
} mistakes[] = {
#define MISTAKE_ROW(id, call, word, wrong) { #id, call, word, does_##id },
    MISTAKES(MISTAKE_ROW)
};

PROCESS_TEST_WITH(a_mistake_ends_the_process_with_the_call_and_the_mistake_in_words, .deadline_s = 120)
{
    for (size_t i = 0; i < COUNT(mistakes); i++) {
        WEFT_SCOPE;
        weft_ref down = weft_none;
        weft_term reason;
        const char *text = NULL;
        bool good;

        weft_spawn(mistakes[i].run, weft_none, .monitor = &down);
        reason = await_down(down);
        good = check(weft_match(reason, weft_tuple(A(badarg), weft_bind_text(&text))));
        if (good) {
            good = check_int(strncmp(text, mistakes[i].call, strlen(mistakes[i].call)), 0);
            good = check_has(text, ": ") && good;
            good = check_has(text, mistakes[i].word) && good;
        }
        if (!good)
            diag("  %s ended with %s", mistakes[i].id, weft_inspect(reason));
    }
}

PROCESS_TEST(a_mistake_that_a_try_form_reports_has_no_other_effect)
{
    weft_pid puppet = puppet_start();

    check_int(weft_try_send(puppet, weft_any), WEFT_EBADTERM);
    check_int(weft_try_send(puppet, weft_tuple(A(a), weft_list(weft_var(3)))), WEFT_EBADTERM);
    check_int(weft_try_send(puppet, weft_none), WEFT_EBADTERM);
    check_int(weft_try_send(puppet, weft_tuple(weft_none)), WEFT_EBADTERM);
    check_int(weft_try_send(weft_int(1), A(hello)), WEFT_EINVAL);
    check_int(weft_try_send(weft_none, A(hello)), WEFT_EINVAL);
    check_int(weft_try_send(A(nobody), A(hello)), WEFT_ENOPROC);
    check_int(weft_try_register(weft_none, puppet), WEFT_EINVAL);
    check_int(weft_try_unregister(A(nobody)), WEFT_ENOPROC);
    check_term(ask(puppet, do_take, A(nil)), A(nothing));
}

PROCESS_TEST(a_mistake_in_send_sends_nothing)
{
    weft_pid puppet = puppet_start();
    weft_ref down;

    weft_spawn(do_send, weft_tuple(weft_int(1), A(hello)), .monitor = &down);
    check_fits(await_down(down), weft_tuple(A(badarg), weft_any));
    check_term(ask(puppet, do_take, A(nil)), A(nothing));
}

static weft_term runs_in_a_process(weft_term arg)
{
    weft_term result = weft_none;
    int code = weft_runtime_run(returns_at_once, arg, &result);

    weft_exit(weft_tuple(A(returned), weft_int(code)));
}

static weft_term stops_in_a_process(weft_term arg)
{
    int code = weft_runtime_stop();

    (void)arg;
    weft_exit(weft_tuple(A(returned), weft_int(code)));
}

PROCESS_TEST(run_and_stop_in_a_process_fail_and_do_not_wait)
{
    weft_fn *const wrong[] = { runs_in_a_process, stops_in_a_process };

    for (size_t i = 0; i < COUNT(wrong); i++) {
        weft_ref down;
        weft_term reason;

        /* By a code or by a reason: what counts is that it says so. */
        weft_spawn(wrong[i], A(ok), .monitor = &down);
        reason = await_down(down);
        check(!weft_eq(reason, weft_tuple(A(returned), weft_int(0))));
        check_fits(reason, weft_tuple(weft_any, weft_any));
    }
    ask(puppet_start(), do_nothing, A(nil));
}

/* -- outside a process ---------------------------------------------------------------------- */

static void outside_receive(void *arg) { (void)arg; weft_receive(weft_any, 0, NULL); }
static void outside_send(void *arg) { (void)arg; weft_send(A(name), A(hello)); }
static void outside_spawn(void *arg) { (void)arg; weft_spawn(returns_at_once, weft_none); }
static void outside_monitor(void *arg) { (void)arg; weft_monitor(A(name)); }
static void outside_link(void *arg) { (void)arg; weft_link(weft_int(1)); }
static void outside_make_ref(void *arg) { (void)arg; weft_make_ref(); }
static void outside_trap_exit(void *arg) { (void)arg; weft_trap_exit(true); }
static void outside_register(void *arg) { (void)arg; weft_register(A(name), weft_int(1)); }
static void outside_dict_put(void *arg) { (void)arg; weft_dict_put(A(key), A(value)); }
static void outside_alias(void *arg) { (void)arg; weft_alias(false); }
static void outside_processes(void *arg) { (void)arg; weft_processes(); }

static const struct {
    const char *call;
    void (*run)(void *arg);
} outside[] = {
    { "weft_receive", outside_receive }, { "weft_send", outside_send }, { "weft_spawn", outside_spawn },
    { "weft_monitor", outside_monitor }, { "weft_link", outside_link }, { "weft_make_ref", outside_make_ref },
    { "weft_trap_exit", outside_trap_exit }, { "weft_register", outside_register },
    { "weft_dict_put", outside_dict_put }, { "weft_alias", outside_alias },
    { "weft_processes", outside_processes },
};

TEST(a_call_without_a_runtime_ends_the_program_and_names_itself)
{
    for (size_t i = 0; i < COUNT(outside); i++) {
        struct tap_outcome outcome;

        tap_run(outside[i].run, NULL, 0, &outcome);
        check(outcome.status != -1);
        check_ne(outcome.status, 0);
        if (!check_has(outcome.output, outside[i].call))
            diag("  in %s", outside[i].call);
    }
}

TEST(what_may_be_called_without_a_runtime_answers)
{
    check(weft_is_none(weft_self()));
    check(weft_is_none(weft_whereis(A(name))));
    check_int(weft_try_send(A(name), A(hello)), WEFT_ESTOPPED);
    check_ne(weft_try_register(A(name), weft_none), 0);
    weft_free(weft_alloc(10));
}
