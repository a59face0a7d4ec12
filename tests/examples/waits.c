/* waits.c - a program that waits for ever, for examples_test.sh to end. */
#include <stdio.h>
#include <weft.h>

static void say(void *text)
{
    puts(text);
    fflush(stdout);
}

static weft_term app(weft_term args)
{
    (void)args;
    weft_defer(say, "let go");
    say("waiting");
    weft_receive(WEFT_ATOM("never"), WEFT_INFINITY, NULL);
    return WEFT_ATOM("ok");
}

int main(int argc, char **argv) { return weft_main(argc, argv, app); }
