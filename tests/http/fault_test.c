/* fault_test.c - what a fault inside libcurl does. This program's own
 * curl_multi_socket_action stands before libcurl's, and faults. */
#include <curl/curl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "proc/process_test.h"
#include "weft/http.h"

static void *volatile nowhere;

FAULTY CURLMcode curl_multi_socket_action(CURLM *multi, curl_socket_t fd, int events, int *n_running)
{
    (void)multi;
    (void)fd;
    (void)events;
    (void)n_running;
    *(volatile int *)nowhere = 1;
    return CURLM_OK;
}

static weft_term asks(weft_term arg)
{
    weft_http_get(weft_str("http://127.0.0.1:1/"), .timeout_ms = 5000);
    return arg;
}

static void runs_the_client(void *arg)
{
    struct rlimit no_core = {0, 0};
    struct sigaction plain = {.sa_handler = SIG_DFL}; /* in place of a sanitizer's */

    (void)arg;
    setrlimit(RLIMIT_CORE, &no_core);
    sigaction(SIGSEGV, &plain, NULL);
    run_in_runtime(asks, .workers = 1);
}

TEST(a_fault_inside_libcurl_ends_the_program_and_says_why)
{
    struct tap_outcome outcome;

    tap_run(runs_the_client, NULL, 0, &outcome);
    check(WIFSIGNALED(outcome.status));
    check_int(WTERMSIG(outcome.status), SIGSEGV);
    check_has(outcome.output, "weft: SIGSEGV at address (nil), nothing is mapped there in a process, which cannot end alone");
    check_has(outcome.output, "because    it holds a foreign lock");
    check_has(outcome.output, ":weft_http");
    check_has(outcome.output, "curl_multi_socket_action");
}
