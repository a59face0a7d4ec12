/*
 * pingpong.c - processes by hand: spawn, send, receive, monitor, a timer.
 */
#include <stdio.h>
#include <weft.h>

#define A(name) WEFT_ATOM(#name)

static weft_term ponger(weft_term arg)
{
    (void)arg;
    weft_receive_each (message) {                       /* its terms live to the end of the body */
        weft_pid from;
        int64_t n;

        if (weft_match(message, weft_tuple(A(ping), weft_bind(&from), weft_bind_int(&n))))
            weft_send(from, weft_tuple(A(pong), weft_int(n)));
        else if (weft_eq(message, A(stop)))
            break;
    }
    return A(ok);
}

static weft_term app(weft_term args)
{
    weft_ref down;
    weft_pid pong = weft_spawn(ponger, weft_none, .monitor = &down);
    weft_term message;

    (void)args;
    for (int64_t i = 0; i < 3; i++) {
        WEFT_SCOPE;
        weft_term answer;

        weft_send(pong, weft_tuple(A(ping), weft_self(), weft_int(i)));
        /* selective: other messages stay where they are */
        if (weft_receive(weft_tuple(A(pong), weft_int(i)), 1000, &answer))
            printf("%s\n", weft_inspect(answer));       /* {:pong, 0} */
    }

    weft_send_after(pong, A(stop), 50);
    weft_receive(weft_tuple(A(DOWN), down, weft_any, weft_any, weft_any), WEFT_INFINITY, &message);
    printf("%s\n", weft_inspect(message));              /* {:DOWN, #Reference<...>, :process, #PID<...>, :normal} */
    return A(ok);
}

int main(int argc, char **argv) { return weft_main(argc, argv, app); }
