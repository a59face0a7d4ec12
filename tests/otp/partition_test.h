/* partition_test.h - the partitions of a Registry or a PubSub, for tests of both. */
#ifndef WEFT_TESTS_OTP_PARTITION_TEST_H
#define WEFT_TESTS_OTP_PARTITION_TEST_H

#include "weft/supervisor.h"
#include "weft/term.h"

/* The process of partition `number`, from 0; weft_none: there is no such one. */
static inline weft_pid partition_of(weft_pid supervisor, int64_t number)
{
    weft_list_each (line, weft_supervisor_which_children(supervisor))
        if (weft_eq(weft_tuple_at(line, 0), weft_int(number)))
            return weft_tuple_at(line, 1);
    return weft_none;
}

#endif
