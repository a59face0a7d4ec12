/* What curl hands on: headers and bodies that grow, within bounds. */
#include "http/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "tap.h"

static bool head(struct weft__http_transfer *transfer, const char *line)
{
    return weft__http_transfer_head(transfer, line, strlen(line));
}

static struct weft__http_transfer *transfer_of(uint64_t max_body)
{
    struct weft__http_transfer *transfer = weft__http_transfer_new();

    transfer->asked.max_body = max_body;
    return transfer;
}

TEST(only_the_last_answer_s_headers_are_kept)
{
    struct weft__http_transfer *transfer = transfer_of(100);

    check(head(transfer, "HTTP/1.1 100 Continue\r\n"));
    check(head(transfer, "X: y\r\n"));
    check(head(transfer, "HTTP/1.1 200 OK\r\n"));
    check(head(transfer, "A: b\r\n"));
    check_mem(transfer->came.head.at, "HTTP/1.1 200 OK\r\nA: b\r\n", 23);
    check_uint(transfer->came.head.size, 23);
    weft__http_transfer_drop(transfer);
}

TEST(many_headers_outgrow_the_room_they_begin_in)
{
    struct weft__http_transfer *transfer = transfer_of(100);
    char line[101];

    memset(line, 'h', 100);
    line[100] = '\0';
    for (int i = 0; i < 1000; i++)
        check(head(transfer, line));
    check_uint(transfer->came.head.size, 100000);
    check_int(transfer->came.head.at[0], 'h');
    check_int(transfer->came.head.at[99999], 'h');
    weft__http_transfer_drop(transfer);
}

TEST(a_megabyte_of_headers_is_too_much)
{
    struct weft__http_transfer *transfer = transfer_of(100);
    char *line = calloc(1, 1 << 20);

    memset(line, 'h', (1 << 20) - 1);
    check(head(transfer, line));
    check(head(transfer, "h"));
    check(!head(transfer, "h"));
    check_int(transfer->came.stop, WEFT__HTTP_HEAD_TOO_LARGE);
    free(line);
    weft__http_transfer_drop(transfer);
}

TEST(an_announced_body_is_allocated_once)
{
    struct weft__http_transfer *transfer = transfer_of(1000);

    head(transfer, "Content-Length:  600\r\n");
    check_uint(transfer->came.expected, 600);
    check(weft__http_transfer_body(transfer, "abc", 3));
    check_uint(transfer->came.body.room, 600);
    weft__http_transfer_drop(transfer);
}

TEST(a_body_that_announces_too_much_is_refused_at_once)
{
    struct weft__http_transfer *transfer = transfer_of(1000);

    head(transfer, "content-length: 1001\r\n");
    check(!weft__http_transfer_body(transfer, "a", 1));
    check_int(transfer->came.stop, WEFT__HTTP_BODY_TOO_LARGE);
    weft__http_transfer_drop(transfer);
}

TEST(a_body_may_reach_its_limit_but_not_a_byte_more)
{
    struct weft__http_transfer *transfer = transfer_of(10);

    check(weft__http_transfer_body(transfer, "12345", 5));
    check(weft__http_transfer_body(transfer, "67890", 5));
    check(weft__http_transfer_body(transfer, "", 0));
    check(!weft__http_transfer_body(transfer, "x", 1));
    check_int(transfer->came.stop, WEFT__HTTP_BODY_TOO_LARGE);
    check_uint(transfer->came.body.size, 10);
    weft__http_transfer_drop(transfer);
}

TEST(a_huge_announcement_does_not_overflow)
{
    struct weft__http_transfer *transfer = transfer_of(10);

    head(transfer, "content-length: 99999999999999999999999999\r\n");
    check(!weft__http_transfer_body(transfer, "x", 1));
    weft__http_transfer_drop(transfer);
}

TEST(a_body_is_taken_once_and_cut_to_its_size)
{
    struct weft__http_transfer *transfer = transfer_of(100000);
    char *body;

    for (int i = 0; i < 1000; i++)
        check(weft__http_transfer_body(transfer, "0123456789", 10));
    body = weft__http_transfer_take_body(transfer);
    check_mem(body + 9990, "0123456789", 10);
    free(body);
    weft__http_transfer_drop(transfer);
}

TEST(the_last_holder_frees_it)
{
    struct weft__http_transfer *transfer = transfer_of(10);

    weft__http_transfer_hold(transfer);
    weft__http_transfer_drop(transfer);
    check(weft__http_transfer_body(transfer, "abc", 3));
    weft__http_transfer_drop(transfer);
}
