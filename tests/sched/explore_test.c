/* explore_test.c - every interleaving of the wake-up protocols.
 *
 * A model is a small world and some actors. An actor's step does what one
 * atomic access of the real code does, and says whether it could: an actor that
 * sleeps or is done cannot. The explorer tries every order of steps from every
 * world it comes to, once for each world. A check holds in every world; where
 * nobody can step any more, `ends` says whether what is left is a good end.
 *
 * Steps are the accesses of proc/post.h, of proc/pack.h (1)-(5), of proc/state.c (1)-(4), of
 * sched/idle.c P1-P3, S1-S4, of base/epoch.h, and the changes of an ask in
 * sched/hog.c. All are sequentially consistent, as the code has it, but for two:
 * what a pusher puts into a ring stays in its thread's store buffer until a fence,
 * or the machine, lets it out, and so do what a section and a deferrer store. A flaw is a step left out or done at another time:
 * that the explorer finds each of them shows that it would find one in the
 * protocol.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tap.h"

/* -- the explorer --------------------------------------------------------------------- */

#define WORLD_SIZE 96
#define DEPTH_MAX 512
#define SLOTS ((size_t)1 << 21)

union world {
    uint64_t words[WORLD_SIZE / 8];
    unsigned char bytes[WORLD_SIZE];
};

struct model {
    int n_actors;
    const char *names; /* of the actors, a letter each */
    bool (*step)(union world *world, int actor);
    /* NULL, or what is wrong; ends: where nobody can step. */
    const char *(*holds)(const union world *world);
    const char *(*ends)(const union world *world);
};

struct explorer {
    const struct model *model;
    union world *seen;          /* hash table; words[0] of a free slot is 0 */
    size_t n_seen;
    unsigned char path[DEPTH_MAX]; /* actors, in the order of their steps */
    const char *wrong;          /* what was found, at the end of path */
    int n_path;
};

static uint64_t hash_world(const union world *world)
{
    uint64_t h = 0;

    for (size_t i = 0; i < WORLD_SIZE / 8; i++)
        h = (h ^ world->words[i]) * 0x9E3779B97F4A7C15U, h ^= h >> 29;
    return h;
}

/* true when the world is new. */
static bool remember(struct explorer *explorer, const union world *world)
{
    size_t at = hash_world(world) & (SLOTS - 1);

    while (explorer->seen[at].words[0] != 0) {
        if (memcmp(&explorer->seen[at], world, sizeof *world) == 0)
            return false;
        at = (at + 1) & (SLOTS - 1);
    }
    explorer->seen[at] = *world;
    return ++explorer->n_seen < SLOTS * 3 / 4;
}

static bool is_wrong(struct explorer *explorer, const char *wrong, int depth)
{
    if (wrong == NULL)
        return false;
    explorer->wrong = wrong;
    explorer->n_path = depth;
    return true;
}

/* Everything from here on; true when something is wrong. */
static bool explore_from(struct explorer *explorer, const union world *world, int depth)
{
    bool can_step = false;

    if (depth == DEPTH_MAX)
        return is_wrong(explorer, "a path has no end", depth);
    for (int actor = 0; actor < explorer->model->n_actors; actor++) {
        union world next = *world;

        if (!explorer->model->step(&next, actor))
            continue;
        can_step = true;
        if (!remember(explorer, &next))
            continue;
        explorer->path[depth] = (unsigned char)actor;
        if (is_wrong(explorer, explorer->model->holds(&next), depth + 1) ||
            explore_from(explorer, &next, depth + 1))
            return true;
    }
    return !can_step && is_wrong(explorer, explorer->model->ends(world), depth);
}

/* What is wrong with the model, or NULL. The first word of a world is not 0. */
static const char *explore(const struct model *model, const union world *begin)
{
    static struct explorer explorer;
    char path[DEPTH_MAX + 1];

    memset(&explorer, 0, sizeof explorer);
    explorer.model = model;
    explorer.seen = calloc(SLOTS, sizeof *explorer.seen);
    if (explorer.seen == NULL)
        return "no memory";
    remember(&explorer, begin);
    explore_from(&explorer, begin, 0);
    free(explorer.seen);
    for (int i = 0; i < explorer.n_path; i++)
        path[i] = model->names[explorer.path[i]];
    path[explorer.n_path] = '\0';
    if (explorer.n_seen >= SLOTS * 3 / 4)
        return "too many worlds";
    if (explorer.wrong == NULL)
        diag("%zu worlds", explorer.n_seen);
    else
        diag("%zu worlds, and by %s: %s", explorer.n_seen, path, explorer.wrong);
    return explorer.wrong;
}

#define check_finds(found, words)              \
    do {                                       \
        const char *found_ = (found);          \
        check(found_ != NULL);                 \
        if (found_ != NULL)                    \
            check_has(found_, (words));        \
    } while (0)

static bool check_none(const char *found)
{
    return check_str(found != NULL ? found : "nothing", "nothing");
}

/* -- a process: proc/post.h, proc/state.c ------------------------------------------------ */

/* It parks until a token is there, then waits for mail until it has all that is
 * sent and the last token. Senders send N_MAILS each; one more thread unparks
 * it, twice.
 *
 * Who commits a park is an actor of its own: once the mark is in the inbox the
 * process may run elsewhere, park again, and be committed by another thread,
 * while the first one has still to look at the state. */
enum { N_SENDERS = 2, N_MAILS = 2, N_COMMITTERS = 4, N_UNPARKS = 2 };

enum run_state { ACTIVE, PARKED };

/* The state word: run state, and the token: which one, or 0. */
struct word {
    uint8_t run;
    uint8_t has_token;
};

/* The inbox: how many messages, or the mark. A push that fails because another
 * one was quicker only tries again, so a count is enough. */
enum { MARK = 255 };

struct process_world {
    uint8_t is_world; /* 1 */
    uint8_t flaw;
    struct word state;
    uint8_t inbox, n_given, n_taken;
    uint8_t n_queued; /* places from which the fiber may be run: at most 1 */
    struct {
        uint8_t at, token; /* the last it took */
    } process;
    struct {
        uint8_t at, n_left, seen;
    } senders[N_SENDERS];
    struct {
        uint8_t at, how;
        struct word seen;
    } committers[N_COMMITTERS];
    struct {
        uint8_t at, n_left;
        struct word seen;
    } unparker;
} __attribute__((may_alias));
_Static_assert(sizeof(struct process_world) <= WORLD_SIZE, "a world has room");

enum process_flaw {
    NO_LOOK_AGAIN = 1,   /* (4) left out */
    LOOK_BEFORE_EVENT,   /* (2) before (1) */
    TAKES_BACK_UNASKED,  /* a store where (4) has an exchange */
    MARK_IS_A_FLAG,      /* a mark beside the inbox: set without a look at what is there */
    TOKEN_WHEN_PARKED_ONLY
};

static bool word_is(struct word a, struct word b)
{
    return a.run == b.run && a.has_token == b.has_token;
}

static bool word_exchange(struct word *word, struct word *seen, struct word next)
{
    if (!word_is(*word, *seen)) {
        *seen = *word;
        return false;
    }
    *word = next;
    return true;
}

/* weft__message_post, without a serial: one life. */
enum { SEND_LOOK, SEND_PUSH };

static bool sender_step(struct process_world *w, int i)
{
    if (w->senders[i].n_left == 0)
        return false;
    if (w->senders[i].at == SEND_LOOK) {
        w->senders[i].seen = w->inbox == MARK ? MARK : 0;
        w->senders[i].at = SEND_PUSH;
        return true;
    }
    if ((w->inbox == MARK) != (w->senders[i].seen == MARK)) { /* the exchange fails, and tells */
        w->senders[i].seen = w->inbox == MARK ? MARK : 0;
        return true;
    }
    if (w->inbox == MARK) {
        w->inbox = 0;
        w->n_given++;
        w->n_queued++;
    } else {
        w->inbox++;
    }
    w->senders[i].at = SEND_LOOK;
    w->senders[i].n_left--;
    return true;
}

/* take_waiting: look, then exchange; one step, as an exchange that fails is a
 * look that says no. */
static void take_waiting(struct process_world *w)
{
    if (w->inbox != MARK)
        return;
    w->inbox = 0;
    w->n_queued++;
}

/* set_event with the token. */
enum { EVENT_LOAD, EVENT_SET, EVENT_LOOK };

static void unparker_is_through(struct process_world *w)
{
    w->unparker.at = EVENT_LOAD;
    w->unparker.n_left--;
}

static bool unparker_step(struct process_world *w)
{
    struct word next = {ACTIVE, (uint8_t)(N_UNPARKS + 1 - w->unparker.n_left)};
    struct word seen = w->unparker.seen;

    if (w->unparker.n_left == 0)
        return false;
    switch (w->unparker.at) {
    case EVENT_LOAD:
        if (w->flaw == LOOK_BEFORE_EVENT)
            take_waiting(w);
        w->unparker.seen = w->state;
        w->unparker.at = EVENT_SET;
        return true;
    case EVENT_SET: /* (1) */
        if (w->flaw == TOKEN_WHEN_PARKED_ONLY && seen.run == ACTIVE)
            next.has_token = seen.has_token;
        if (!word_exchange(&w->state, &w->unparker.seen, next))
            return true;
        w->unparker.at = EVENT_LOOK;
        if (seen.run == ACTIVE && w->flaw != LOOK_BEFORE_EVENT)
            return true;
        w->n_queued = (uint8_t)(w->n_queued + (seen.run == PARKED));
        unparker_is_through(w);
        return true;
    default: /* (2) */
        take_waiting(w);
        unparker_is_through(w);
        return true;
    }
}

/* weft__proc_commit_park, by the thread that the process left. how: PARKED, or
 * ACTIVE, which stands for the wait for mail. */
enum { COMMIT_FREE, COMMIT_LOAD, COMMIT_SET, COMMIT_LOOK };

static void committer_is_through(struct process_world *w, int i, bool goes_on)
{
    memset(&w->committers[i], 0, sizeof w->committers[i]);
    w->n_queued = (uint8_t)(w->n_queued + goes_on);
}

static void commit_mark(struct process_world *w, int i)
{
    if (w->inbox != 0 && w->flaw != MARK_IS_A_FLAG) {
        committer_is_through(w, i, true);
        return;
    }
    w->inbox = MARK;
    if (w->flaw == NO_LOOK_AGAIN)
        committer_is_through(w, i, false);
    else
        w->committers[i].at = COMMIT_LOOK;
}

static bool committer_step(struct process_world *w, int i)
{
    struct word next = {PARKED, 0};

    switch (w->committers[i].at) {
    case COMMIT_FREE:
        return false;
    case COMMIT_LOAD:
        w->committers[i].seen = w->state;
        w->committers[i].at = COMMIT_SET;
        return true;
    case COMMIT_SET: /* (3) */
        if (w->committers[i].seen.has_token)
            committer_is_through(w, i, true);
        else if (w->committers[i].how == ACTIVE)
            commit_mark(w, i);
        else if (word_exchange(&w->state, &w->committers[i].seen, next))
            committer_is_through(w, i, false);
        return true;
    default: /* (4) */
        if (w->state.has_token && w->flaw == TAKES_BACK_UNASKED) {
            w->inbox = 0;
            w->n_queued++;
        } else if (w->state.has_token) {
            take_waiting(w);
        }
        committer_is_through(w, i, false);
        return true;
    }
}

/* The process runs: takes the token, drains, and parks for what is missing. */
enum { RUN_TOKEN, RUN_DRAIN, RUN_PARK, RUN_DONE };

static bool process_parks(struct process_world *w)
{
    int i = 0;

    while (i < N_COMMITTERS && w->committers[i].at != COMMIT_FREE)
        i++;
    if (i == N_COMMITTERS)
        return false; /* no thread left; one of them goes on */
    w->committers[i].at = COMMIT_LOAD;
    w->committers[i].how = w->process.token == 0 ? PARKED : ACTIVE;
    w->process.at = RUN_TOKEN;
    w->n_queued--;
    return true;
}

static bool process_step(struct process_world *w)
{
    if (w->n_queued == 0 || w->process.at == RUN_DONE)
        return false;
    switch (w->process.at) {
    case RUN_TOKEN:
        if (w->state.has_token)
            w->process.token = w->state.has_token;
        w->state.has_token = 0;
        w->process.at = w->process.token == 0 ? RUN_PARK : RUN_DRAIN;
        return true;
    case RUN_DRAIN:
        w->n_taken = (uint8_t)(w->n_taken + w->n_given + (w->inbox != MARK ? w->inbox : 0));
        w->n_given = 0;
        w->inbox = w->inbox == MARK ? MARK : 0;
        w->process.at = w->n_taken == N_SENDERS * N_MAILS && w->process.token == N_UNPARKS
                            ? RUN_DONE : RUN_PARK;
        return true;
    default:
        return process_parks(w);
    }
}

static bool process_world_step(union world *world, int actor)
{
    struct process_world *w = (struct process_world *)world;

    if (actor < N_SENDERS)
        return sender_step(w, actor);
    actor -= N_SENDERS;
    if (actor < N_COMMITTERS)
        return committer_step(w, actor);
    return actor == N_COMMITTERS ? process_step(w) : unparker_step(w);
}

static const char *process_world_holds(const union world *world)
{
    const struct process_world *w = (const struct process_world *)world;

    if (w->n_queued > 1)
        return "the process is queued twice";
    if (w->n_queued == 1 && w->state.run != ACTIVE)
        return "the process is queued and not active";
    return w->n_queued == 1 && w->inbox == MARK ? "the process is queued and waits" : NULL;
}

static const char *process_world_ends(const union world *world)
{
    const struct process_world *w = (const struct process_world *)world;

    if (w->process.at == RUN_DONE)
        return NULL;
    if (w->process.token != N_UNPARKS)
        return "a token is lost";
    return "the process sleeps and there is mail";
}

static const char *explore_process(enum process_flaw flaw)
{
    static const struct model model = {N_SENDERS + N_COMMITTERS + 2, "abcdefpu", process_world_step,
                                       process_world_holds, process_world_ends};
    union world begin = {{0}};
    struct process_world *w = (struct process_world *)&begin;

    w->is_world = 1;
    w->flaw = (uint8_t)flaw;
    w->n_queued = 1;
    for (int i = 0; i < N_SENDERS; i++)
        w->senders[i].n_left = N_MAILS;
    w->unparker.n_left = N_UNPARKS;
    return explore(&model, &begin);
}

TEST(no_order_of_sends_unparks_and_parks_loses_a_wake_up_or_queues_a_process_twice)
{
    check_none(explore_process(0));
}

TEST(a_park_that_does_not_look_at_the_events_again_is_found)
{
    check_finds(explore_process(NO_LOOK_AGAIN), "token");
}

TEST(a_wake_that_looks_for_the_mark_before_it_sets_its_event_is_found)
{
    check_finds(explore_process(LOOK_BEFORE_EVENT), "token");
}

TEST(a_park_that_takes_its_mark_back_without_asking_is_found)
{
    check_finds(explore_process(TAKES_BACK_UNASKED), "queued");
}

TEST(a_mark_that_does_not_ask_whether_mail_has_come_is_found)
{
    check_finds(explore_process(MARK_IS_A_FLAG), "there is mail");
}

TEST(an_unpark_that_sets_no_token_while_the_process_runs_is_found)
{
    check_finds(explore_process(TOKEN_WHEN_PARKED_ONLY), "token");
}

/* -- a message that takes more words while it waits: proc/pack.h -------------------------- */

/* A sender numbers what it sends: words, which it may add to the pack it pushed
 * last, and one signal between them. Another one pushes a message of its own. Memory that
 * was freed is used again at once. */
enum { N_WORDS = 5, SIGNAL = 3, N_ITEMS = 6, NO_ITEM = 0 };

enum { ITEM_USED = 1, ITEM_PACK = 2, ITEM_CLOSED = 4, ITEM_LEFT = 8, ITEM_DONE = 16 };

struct pack_world {
    uint8_t is_world;
    uint8_t flaw;
    uint8_t inbox; /* the newest item, NO_ITEM, or MARK */
    uint8_t n_queued, n_foreign, last_taken, wrong;
    struct {
        uint8_t flags, numbers, counted, below;
    } items[N_ITEMS + 1];
    struct {
        uint8_t at, number, seen, kept;
    } sender;
    struct {
        uint8_t at, seen;
    } other;
    struct {
        uint8_t at, newest, item;
    } owner;
} __attribute__((may_alias));
_Static_assert(sizeof(struct pack_world) <= WORLD_SIZE, "a world has room");

enum pack_flaw { COUNTS_THEN_CLOSES = 1, ONE_HOLDER, ADDS_WITHOUT_A_LOOK, NEVER_CLOSES };
enum { WRONG_ADD = 1, WRONG_FREE, WRONG_ORDER };

static uint8_t item_new(struct pack_world *w, uint8_t flags, uint8_t numbers)
{
    uint8_t i = 1;

    while (w->items[i].flags != 0)
        i++;
    memset(&w->items[i], 0, sizeof w->items[i]);
    w->items[i].flags = (uint8_t)(flags | ITEM_USED);
    w->items[i].numbers = numbers;
    return i;
}

static void item_free(struct pack_world *w, uint8_t item)
{
    if (w->items[item].flags == 0)
        w->wrong = WRONG_FREE;
    w->items[item].flags = 0;
}

/* weft__message_give: one exchange, of what was seen; false: it tells what is there. */
static bool item_push(struct pack_world *w, uint8_t *seen, uint8_t flags, uint8_t numbers, uint8_t *item)
{
    if (w->inbox != *seen) {
        *seen = w->inbox;
        return false;
    }
    *item = item_new(w, flags, numbers);
    w->items[*item].below = w->inbox == MARK ? NO_ITEM : w->inbox;
    w->n_queued = (uint8_t)(w->n_queued + (w->inbox == MARK));
    w->inbox = *item;
    return true;
}

/* weft__pack_let_go. */
static void pack_let_go(struct pack_world *w)
{
    uint8_t kept = w->sender.kept;

    w->sender.kept = NO_ITEM;
    if (kept == NO_ITEM || w->flaw == ONE_HOLDER)
        return;
    if (w->items[kept].flags & ITEM_DONE)
        item_free(w, kept);
    else
        w->items[kept].flags |= ITEM_LEFT;
}

enum { PACK_LOOK, PACK_ADD, PACK_LET_GO, PACK_PUSH };

static bool pack_sender_step(struct pack_world *w)
{
    bool is_word = w->sender.number != SIGNAL;
    uint8_t bit = (uint8_t)(1 << w->sender.number), kept = w->sender.kept, item;

    if (w->sender.number > N_WORDS)
        return false;
    switch (w->sender.at) {
    case PACK_LOOK: /* (1) */
        w->sender.seen = w->inbox;
        if (is_word && kept != NO_ITEM && (w->inbox == kept || w->flaw == ADDS_WITHOUT_A_LOOK))
            w->sender.at = PACK_ADD;
        else
            w->sender.at = is_word ? PACK_LET_GO : PACK_PUSH;
        return true;
    case PACK_ADD: /* (3) */
        if ((w->items[kept].flags & ITEM_PACK) == 0)
            w->wrong = WRONG_ADD;
        if (w->items[kept].flags & ITEM_CLOSED) {
            w->sender.at = PACK_LET_GO;
            return true;
        }
        w->items[kept].numbers |= bit;
        break;
    case PACK_LET_GO:
        pack_let_go(w);
        w->sender.at = PACK_PUSH;
        return true;
    default:
        if (!item_push(w, &w->sender.seen, is_word ? ITEM_PACK : 0, bit, &item))
            return true;
        if (is_word)
            w->sender.kept = item;
        break;
    }
    w->sender.number++;
    w->sender.at = PACK_LOOK;
    return true;
}

static bool pack_other_step(struct pack_world *w)
{
    uint8_t item;

    if (w->other.at == 2)
        return false;
    if (w->other.at == 0) {
        w->other.seen = w->inbox;
        w->other.at = 1;
    } else if (item_push(w, &w->other.seen, 0, 0, &item)) {
        w->other.at = 2;
    }
    return true;
}

/* An item that was closed leaves the mailbox. */
static void item_take(struct pack_world *w, uint8_t item)
{
    uint8_t flags = w->items[item].flags, numbers = w->items[item].counted;

    for (uint8_t i = 1; i <= N_WORDS; i++) {
        if ((numbers >> i & 1) == 0)
            continue;
        if (i != w->last_taken + 1)
            w->wrong = WRONG_ORDER;
        w->last_taken = i;
    }
    w->n_foreign = (uint8_t)(w->n_foreign + (numbers == 0));
    if ((flags & ITEM_PACK) == 0 || (flags & ITEM_LEFT) != 0 || w->flaw == ONE_HOLDER)
        item_free(w, item);
    else
        w->items[item].flags |= ITEM_DONE;
}

/* All of a chain, oldest first: what one thread does between two accesses that others see. */
static void chain_take(struct pack_world *w, uint8_t newest)
{
    uint8_t below = w->items[newest].below;

    if (below != NO_ITEM)
        chain_take(w, below);
    item_take(w, newest);
}

enum { OWNER_DRAINS, OWNER_CLOSES, OWNER_COUNTED, OWNER_TAKES, OWNER_PARKS, OWNER_SLEEPS };

static bool pack_owner_step(struct pack_world *w)
{
    uint8_t item = w->owner.item;

    switch (w->owner.at) {
    case OWNER_DRAINS: /* (4) */
        w->owner.newest = w->owner.item = w->inbox;
        w->inbox = NO_ITEM;
        w->owner.at = w->owner.item == NO_ITEM ? OWNER_PARKS : OWNER_CLOSES;
        return true;
    case OWNER_CLOSES: /* (5) */
        w->items[item].counted = w->items[item].numbers;
        if (w->flaw != COUNTS_THEN_CLOSES && w->flaw != NEVER_CLOSES)
            w->items[item].flags |= ITEM_CLOSED;
        w->owner.at = OWNER_COUNTED;
        return true;
    case OWNER_COUNTED:
        if (w->flaw == COUNTS_THEN_CLOSES)
            w->items[item].flags |= ITEM_CLOSED;
        w->owner.item = w->items[item].below;
        w->owner.at = w->owner.item == NO_ITEM ? OWNER_TAKES : OWNER_CLOSES;
        return true;
    case OWNER_TAKES: /* (6) */
        chain_take(w, w->owner.newest);
        w->owner.at = OWNER_PARKS;
        return true;
    case OWNER_PARKS:
        w->owner.at = w->inbox == NO_ITEM ? OWNER_SLEEPS : OWNER_DRAINS;
        w->inbox = w->inbox == NO_ITEM ? MARK : w->inbox;
        return true;
    default:
        if (w->n_queued == 0)
            return false;
        w->n_queued--;
        w->owner.at = OWNER_DRAINS;
        return true;
    }
}

static bool pack_world_step(union world *world, int actor)
{
    struct pack_world *w = (struct pack_world *)world;

    return actor == 0 ? pack_sender_step(w) : actor == 1 ? pack_other_step(w) : pack_owner_step(w);
}

static const char *pack_world_holds(const union world *world)
{
    static const char *const words[] = {NULL, "adds to what is not its own", "frees twice", "are out of order"};

    return words[((const struct pack_world *)world)->wrong];
}

static const char *pack_world_ends(const union world *world)
{
    const struct pack_world *w = (const struct pack_world *)world;
    int n_used = 0;

    for (int i = 1; i <= N_ITEMS; i++)
        n_used += w->items[i].flags != 0;
    if (w->last_taken != N_WORDS || w->n_foreign != 1)
        return "a word is lost";
    return n_used > 1 ? "more than the last pack is left" : NULL;
}

static const char *explore_pack(enum pack_flaw flaw)
{
    static const struct model model = {3, "sto", pack_world_step, pack_world_holds, pack_world_ends};
    union world begin = {{0}};
    struct pack_world *w = (struct pack_world *)&begin;

    w->is_world = 1;
    w->flaw = (uint8_t)flaw;
    w->sender.number = 1;
    return explore(&model, &begin);
}

TEST(no_order_of_adds_and_drains_loses_a_word_or_moves_it)
{
    check_none(explore_pack(0));
}

TEST(an_owner_that_counts_before_it_closes_is_found)
{
    check_finds(explore_pack(COUNTS_THEN_CLOSES), "is lost");
}

TEST(an_owner_that_does_not_close_is_found)
{
    check_finds(explore_pack(NEVER_CLOSES), "is lost");
}

TEST(a_pack_that_its_owner_alone_holds_is_found)
{
    check_finds(explore_pack(ONE_HOLDER), "not its own");
}

TEST(a_sender_that_adds_without_a_look_at_the_inbox_is_found)
{
    check_finds(explore_pack(ADDS_WITHOUT_A_LOOK), "out of order");
}

/* -- a signal that wants an answer, and its receiver's end: proc/proc.h -------------------- */

/* The sender pushes, then looks whether the receiver is there, and answers
 * itself when not. The receiver handles what has come, says that it ends, and
 * answers what came meanwhile. */
struct end_world {
    uint8_t is_world;
    uint8_t flaw;
    uint8_t is_gone, ender_at;
    uint8_t inbox;                      /* a bit for each sender */
    uint8_t n_answers[N_SENDERS];
    uint8_t sender_at[N_SENDERS];
} __attribute__((may_alias));

enum end_flaw { NO_LOOK_AFTER_PUSH = 1, DRAINS_BEFORE_ENDING };

static void ender_answers(struct end_world *w)
{
    for (int i = 0; i < N_SENDERS; i++)
        w->n_answers[i] = (uint8_t)(w->n_answers[i] + (w->inbox >> i & 1));
    w->inbox = 0;
}

static bool ender_step(struct end_world *w)
{
    bool says_it_now = (w->ender_at == 0) != (w->flaw == DRAINS_BEFORE_ENDING);

    if (w->ender_at == 2)
        return false;
    if (says_it_now)
        w->is_gone = 1;
    else
        ender_answers(w);
    w->ender_at++;
    return true;
}

static bool end_world_step(union world *world, int actor)
{
    struct end_world *w = (struct end_world *)world;

    if (actor == N_SENDERS)
        return ender_step(w);
    switch (w->sender_at[actor]++) {
    case 0:
        w->inbox = (uint8_t)(w->inbox | 1 << actor);
        return true;
    case 1:
        if (w->is_gone && w->flaw != NO_LOOK_AFTER_PUSH)
            w->n_answers[actor]++;
        return true;
    default:
        w->sender_at[actor]--;
        return false;
    }
}

static const char *end_world_holds(const union world *world)
{
    (void)world;
    return NULL;
}

static const char *end_world_ends(const union world *world)
{
    const struct end_world *w = (const struct end_world *)world;

    for (int i = 0; i < N_SENDERS; i++)
        if (w->n_answers[i] == 0)
            return "a signal is never answered";
    return NULL;
}

static const char *explore_end(enum end_flaw flaw)
{
    static const struct model model = {N_SENDERS + 1, "abe", end_world_step, end_world_holds, end_world_ends};
    union world begin = {{0}};
    struct end_world *w = (struct end_world *)&begin;

    w->is_world = 1;
    w->flaw = (uint8_t)flaw;
    return explore(&model, &begin);
}

TEST(a_signal_to_a_process_that_ends_is_answered_in_every_order)
{
    check_none(explore_end(0));
}

TEST(a_sender_that_does_not_look_again_is_found)
{
    check_finds(explore_end(NO_LOOK_AFTER_PUSH), "never answered");
}

TEST(an_end_that_drains_before_it_says_so_is_found)
{
    check_finds(explore_end(DRAINS_BEFORE_ENDING), "never answered");
}

/* -- a deferred call: base/epoch.h ---------------------------------------------------------- */

/* A section; who takes an object out of reach and defers its end; and polls, the last of
 * them the deferrer's, which makes the call. What the first two store waits in their
 * store buffers until the machine, a fence, or a poll's membarrier lets it out. */
enum { N_POLLS = 3, THE_DEFERRERS = N_POLLS - 1 };
enum cell { IS_OPEN, ITS_NUMBER, IS_TAKEN_OUT, N_CELLS };
enum section_at { OPENS, READS_NUMBER, SAYS_NUMBER, READS, CLOSES, IS_CLOSED };
enum poll_at { POLL_BEGINS, POLL_W2, POLL_READS, POLL_W3, POLL_STEPS, POLL_ENDS, POLL_IS_OVER };

struct epoch_world {
    uint8_t is_world, flaw;
    uint8_t memory[N_CELLS], number; /* of the epoch, from 1 */
    struct {
        uint8_t n, cell[3], value[3];
    } buffer[2];
    uint8_t section_at, section_number, has_object;
    uint8_t is_deferred, noted, is_freed;
    uint8_t is_polled;
    struct {
        uint8_t at, number;
    } poll[N_POLLS];
};

enum epoch_flaw {
    NO_FENCE_IN_W1 = 1,
    POLLS_AT_ONCE, /* two at a time */
    NO_W2
};

static void epoch_store(struct epoch_world *w, int buffer, enum cell cell, uint8_t value)
{
    w->buffer[buffer].cell[w->buffer[buffer].n] = (uint8_t)cell;
    w->buffer[buffer].value[w->buffer[buffer].n++] = value;
}

static bool epoch_let_one_out(struct epoch_world *w, int buffer)
{
    uint8_t *cell = w->buffer[buffer].cell, *value = w->buffer[buffer].value;

    if (w->buffer[buffer].n == 0)
        return false;
    w->memory[cell[0]] = value[0];
    memmove(cell, cell + 1, 2);
    memmove(value, value + 1, 2);
    cell[2] = value[2] = 0;
    w->buffer[buffer].n--;
    return true;
}

static bool section_step(struct epoch_world *w)
{
    switch (w->section_at) {
    case OPENS: /* R1 */
        epoch_store(w, 0, IS_OPEN, 1);
        break;
    case READS_NUMBER:
        w->section_number = w->number;
        break;
    case SAYS_NUMBER:
        epoch_store(w, 0, ITS_NUMBER, w->section_number);
        break;
    case READS: /* R3 */
        w->has_object = !w->memory[IS_TAKEN_OUT];
        break;
    case CLOSES:
        if (w->buffer[0].n == 3)
            return false;
        w->has_object = 0;
        epoch_store(w, 0, IS_OPEN, 0);
        break;
    default:
        return false;
    }
    w->section_at++;
    return true;
}

static bool deferrer_step(struct epoch_world *w)
{
    if (w->is_deferred == 2)
        return false;
    if (w->is_deferred == 0) {
        epoch_store(w, 1, IS_TAKEN_OUT, 1);
    } else { /* W1 */
        if (w->flaw != NO_FENCE_IN_W1)
            while (epoch_let_one_out(w, 1))
                ;
        w->noted = w->number;
    }
    w->is_deferred++;
    return true;
}

static bool poll_step(struct epoch_world *w, int i)
{
    switch (w->poll[i].at) {
    case POLL_BEGINS:
        if ((w->is_polled && w->flaw != POLLS_AT_ONCE) || (i == THE_DEFERRERS && w->is_deferred < 2))
            return false;
        w->is_polled = 1;
        break;
    case POLL_W2:
        for (int buffer = 0; buffer < 2 && w->flaw != NO_W2; buffer++)
            while (epoch_let_one_out(w, buffer))
                ;
        break;
    case POLL_READS:
        w->poll[i].number = w->number;
        if (i == THE_DEFERRERS && w->number >= w->noted + 2)
            w->is_freed = 1;
        break;
    case POLL_W3:
        if (w->memory[IS_OPEN] && w->memory[ITS_NUMBER] != w->poll[i].number)
            w->poll[i].at = POLL_STEPS; /* and over it */
        break;
    case POLL_STEPS:
        if (w->number == w->poll[i].number)
            w->number++;
        break;
    case POLL_ENDS:
        w->is_polled = 0;
        break;
    default:
        return false;
    }
    w->poll[i].at++;
    return true;
}

static bool epoch_world_step(union world *world, int actor)
{
    struct epoch_world *w = (struct epoch_world *)world;

    if (actor == 0)
        return section_step(w);
    if (actor == 1)
        return deferrer_step(w);
    return actor < 2 + N_POLLS ? poll_step(w, actor - 2) : epoch_let_one_out(w, actor - 2 - N_POLLS);
}

static const char *epoch_world_holds(const union world *world)
{
    const struct epoch_world *w = (const struct epoch_world *)world;

    return w->has_object && w->is_freed ? "what a section reads is freed" : NULL;
}

static const char *epoch_world_ends(const union world *world)
{
    (void)world;
    return NULL;
}

static const char *explore_epoch(enum epoch_flaw flaw)
{
    static const struct model model = {4 + N_POLLS, "sd123ab", epoch_world_step, epoch_world_holds, epoch_world_ends};
    union world begin = {{0}};
    struct epoch_world *w = (struct epoch_world *)&begin;

    w->is_world = 1;
    w->flaw = (uint8_t)flaw;
    w->number = 1;
    return explore(&model, &begin);
}

TEST(no_order_of_sections_and_polls_frees_what_is_read)
{
    check_none(explore_epoch(0));
}

TEST(a_deferred_call_noted_without_a_fence_is_found)
{
    check_finds(explore_epoch(NO_FENCE_IN_W1), "is freed");
}

TEST(polls_that_overlap_are_found)
{
    check_finds(explore_epoch(POLLS_AT_ONCE), "is freed");
}

TEST(a_poll_without_a_membarrier_is_found)
{
    check_finds(explore_epoch(NO_W2), "is freed");
}

/* -- workers: sched/idle.c ---------------------------------------------------------------- */

/* Pushers put work where any worker finds it. A worker that takes a piece of
 * work keeps at it for ever: so each piece needs a worker of its own, and a
 * wake-up that was left to somebody who is busy shows. */
enum { N_WORKERS = 2, N_PUSHERS = 2 };

enum pusher_at { PUSH_PUT, PUSH_FENCE, PUSH_NOTIFY, PUSH_DONE };

/* weft__idle_notify, by pushers and by the last searcher. */
enum notify_at { NOTIFY_ASLEEP, NOTIFY_SEARCHING, NOTIFY_CLAIM, NOTIFY_CALL, NOTIFY_OVER };

struct notifier {
    uint8_t at;
};

enum worker_at {
    WORKER_PICK,       /* worker.c: its own queue */
    WORKER_ASK,        /* idle_wait: how many search? */
    WORKER_BEGIN,      /* one more */
    WORKER_SEARCH,
    WORKER_END_SEARCH, /* S1 */
    WORKER_ENTER,      /* S2, S3 */
    WORKER_LOOK,       /* S4 */
    WORKER_SLEEP,
    WORKER_LEAVE,
    WORKER_LEAVE_FOR_WORK, /* S4 saw some: a searcher again, as pushes may rely on it */
    WORKER_NOTIFY,
    WORKER_BUSY
};

enum rest { AWAKE, ASLEEP, CALLED };

struct idle_world {
    uint8_t is_world;
    uint8_t flaw;
    uint8_t n_work;
    uint8_t n_asleep, n_searching;
    uint8_t asleep; /* the list: a bit for each worker */
    struct {
        uint8_t at, rest, is_searching, has_work;
        struct notifier notifier;
    } workers[N_WORKERS];
    struct {
        uint8_t at, is_buffered;
        struct notifier notifier;
    } pushers[N_PUSHERS];
} __attribute__((may_alias));
_Static_assert(sizeof(struct idle_world) <= WORLD_SIZE, "a world has room");

enum idle_flaw {
    NO_LOOK_BEFORE_SLEEP = 1, /* S4 left out */
    NO_FENCE,                 /* P2 left out */
    ENDS_SEARCH_LAST,         /* S1 after S4 */
    LAST_SEARCHER_IS_SILENT,  /* who ends the last search with work wakes nobody */
    CALLED_KEEPS_COUNTING,    /* a called worker that finds work at once is still counted */
    LOOK_IS_NO_SEARCH         /* who finds work by S4 takes it, and does not look after the rest */
};

/* One access; NOTIFY_OVER when it is through. */
static void notifier_step(struct idle_world *w, struct notifier *n)
{
    switch (n->at) {
    case NOTIFY_ASLEEP: /* P3 */
        n->at = w->n_asleep == 0 ? NOTIFY_OVER : NOTIFY_SEARCHING;
        return;
    case NOTIFY_SEARCHING:
        n->at = w->n_searching != 0 ? NOTIFY_OVER : NOTIFY_CLAIM;
        return;
    case NOTIFY_CLAIM:
        n->at = w->n_searching != 0 ? NOTIFY_OVER : NOTIFY_CALL;
        w->n_searching = (uint8_t)(w->n_searching + (n->at == NOTIFY_CALL));
        return;
    default: /* under the lock; the futex is the sleeper's `rest` */
        n->at = NOTIFY_OVER;
        for (int i = 0; i < N_WORKERS; i++) {
            if (!(w->asleep >> i & 1))
                continue;
            w->asleep = (uint8_t)(w->asleep & ~(1 << i));
            w->n_asleep--;
            w->workers[i].rest = CALLED;
            return;
        }
        w->n_searching--;
    }
}

static bool pusher_step(struct idle_world *w, int i)
{
    switch (w->pushers[i].at) {
    case PUSH_PUT: /* P1: into the store buffer */
        w->pushers[i].is_buffered = 1;
        w->pushers[i].at = w->flaw == NO_FENCE ? PUSH_NOTIFY : PUSH_FENCE;
        return true;
    case PUSH_FENCE: /* P2 */
        if (w->pushers[i].is_buffered)
            return false; /* the buffer's own step empties it */
        w->pushers[i].at = PUSH_NOTIFY;
        return true;
    case PUSH_NOTIFY:
        notifier_step(w, &w->pushers[i].notifier);
        if (w->pushers[i].notifier.at == NOTIFY_OVER)
            w->pushers[i].at = PUSH_DONE;
        return true;
    default:
        return false;
    }
}

static bool buffer_step(struct idle_world *w, int i)
{
    if (!w->pushers[i].is_buffered)
        return false;
    w->pushers[i].is_buffered = 0;
    w->n_work++;
    return true;
}

static bool worker_takes(struct idle_world *w, int i)
{
    if (w->n_work == 0)
        return false;
    w->n_work--;
    w->workers[i].has_work = 1;
    return true;
}

/* S1, and what the last searcher owes: true when it was the last. */
static bool worker_ends_search(struct idle_world *w, int i)
{
    if (!w->workers[i].is_searching)
        return false;
    w->workers[i].is_searching = 0;
    return --w->n_searching == 0;
}

/* A worker has work, or goes to sleep without. */
static void worker_has_searched(struct idle_world *w, int i)
{
    bool has_work = w->workers[i].has_work != 0;
    bool was_last = !(w->flaw == ENDS_SEARCH_LAST && !has_work) && worker_ends_search(w, i);

    if (!has_work)
        w->workers[i].at = WORKER_ENTER;
    else
        w->workers[i].at = was_last && w->flaw != LAST_SEARCHER_IS_SILENT ? WORKER_NOTIFY : WORKER_BUSY;
}

static void worker_picks(struct idle_world *w, int i)
{
    if (!worker_takes(w, i))
        w->workers[i].at = w->workers[i].is_searching ? WORKER_SEARCH : WORKER_ASK;
    else if (w->flaw == CALLED_KEEPS_COUNTING)
        w->workers[i].at = WORKER_BUSY;
    else
        w->workers[i].at = WORKER_END_SEARCH;
}

static void worker_leaves(struct idle_world *w, int i)
{
    if (w->asleep >> i & 1) {
        w->asleep = (uint8_t)(w->asleep & ~(1 << i));
        w->n_asleep--;
    } else {
        w->workers[i].is_searching = w->workers[i].rest == CALLED;
    }
    w->workers[i].rest = AWAKE;
    w->workers[i].at = WORKER_PICK;
}

static bool worker_step(struct idle_world *w, int i)
{
    switch (w->workers[i].at) {
    case WORKER_PICK:
        worker_picks(w, i);
        return true;
    case WORKER_ASK:
        w->workers[i].at = 2 * w->n_searching >= N_WORKERS ? WORKER_ENTER : WORKER_BEGIN;
        return true;
    case WORKER_BEGIN:
        w->n_searching++;
        w->workers[i].is_searching = 1;
        w->workers[i].at = WORKER_SEARCH;
        return true;
    case WORKER_SEARCH:
        worker_takes(w, i);
        w->workers[i].at = WORKER_END_SEARCH;
        return true;
    case WORKER_END_SEARCH:
        worker_has_searched(w, i);
        return true;
    case WORKER_ENTER: /* S2, under the lock; n_asleep by an access that is a fence */
        w->workers[i].rest = ASLEEP;
        w->asleep = (uint8_t)(w->asleep | 1 << i);
        w->n_asleep++;
        w->workers[i].at = w->flaw == NO_LOOK_BEFORE_SLEEP ? WORKER_SLEEP : WORKER_LOOK;
        return true;
    case WORKER_LOOK: /* S4 */
        w->workers[i].at = w->n_work == 0 ? WORKER_SLEEP : w->flaw == LOOK_IS_NO_SEARCH ? WORKER_LEAVE
                                                                                        : WORKER_LEAVE_FOR_WORK;
        return true;
    case WORKER_SLEEP:
        if (w->flaw == ENDS_SEARCH_LAST && w->workers[i].is_searching) {
            worker_ends_search(w, i);
            return true;
        }
        if (w->workers[i].rest == ASLEEP)
            return false;
        w->workers[i].at = WORKER_LEAVE;
        return true;
    case WORKER_LEAVE:
        worker_leaves(w, i);
        return true;
    case WORKER_LEAVE_FOR_WORK:
        worker_leaves(w, i);
        if (!w->workers[i].is_searching)
            w->workers[i].at = WORKER_BEGIN;
        return true;
    case WORKER_NOTIFY:
        notifier_step(w, &w->workers[i].notifier);
        if (w->workers[i].notifier.at == NOTIFY_OVER)
            w->workers[i].at = WORKER_BUSY;
        return true;
    default:
        return false;
    }
}

static bool idle_world_step(union world *world, int actor)
{
    struct idle_world *w = (struct idle_world *)world;

    if (actor < N_WORKERS)
        return worker_step(w, actor);
    actor -= N_WORKERS;
    return actor < N_PUSHERS ? pusher_step(w, actor) : buffer_step(w, actor - N_PUSHERS);
}

static const char *idle_world_holds(const union world *world)
{
    const struct idle_world *w = (const struct idle_world *)world;
    int n_listed = 0;

    for (int i = 0; i < N_WORKERS; i++)
        n_listed += w->asleep >> i & 1;
    if (n_listed != w->n_asleep)
        return "the count of sleepers is not that of the list";
    return w->n_searching > N_WORKERS + N_PUSHERS ? "the count of searchers went below zero" : NULL;
}

static const char *idle_world_ends(const union world *world)
{
    const struct idle_world *w = (const struct idle_world *)world;

    if (w->n_work > 0)
        return "a worker sleeps and there is work";
    return w->n_searching > 0 && w->flaw != CALLED_KEEPS_COUNTING ? "somebody is counted as searching for ever"
                                                                  : NULL;
}

static const char *explore_idle(enum idle_flaw flaw)
{
    static const struct model model = {N_WORKERS + 2 * N_PUSHERS, "12PQpq", idle_world_step, idle_world_holds,
                                       idle_world_ends};
    union world begin = {{0}};
    struct idle_world *w = (struct idle_world *)&begin;

    w->is_world = 1;
    w->flaw = (uint8_t)flaw;
    return explore(&model, &begin);
}

TEST(no_order_of_pushes_and_sleeps_leaves_work_to_a_worker_that_sleeps)
{
    check_none(explore_idle(0));
}

TEST(a_sleeper_that_does_not_look_again_is_found)
{
    check_finds(explore_idle(NO_LOOK_BEFORE_SLEEP), "there is work");
}

TEST(a_push_without_a_fence_is_found)
{
    check_finds(explore_idle(NO_FENCE), "there is work");
}

TEST(a_search_that_ends_after_the_last_look_is_found)
{
    check_finds(explore_idle(ENDS_SEARCH_LAST), "there is work");
}

TEST(a_last_searcher_that_wakes_nobody_is_found)
{
    check_finds(explore_idle(LAST_SEARCHER_IS_SILENT), "there is work");
}

TEST(a_called_worker_that_is_counted_as_searching_while_it_works_is_found)
{
    check_finds(explore_idle(CALLED_KEEPS_COUNTING), "there is work");
}

TEST(a_worker_that_leaves_the_rest_of_what_its_last_look_found_is_found)
{
    check_finds(explore_idle(LOOK_IS_NO_SEARCH), "there is work");
}

/* -- a slot that is given away: sched/hog.c -------------------------------------------------- */

/* One worker, and three threads that may carry it: who does not is a spare, or out as
 * a hog. Each thread is two actors, since its handler runs at any time of it; the last
 * one takes no signals. The watchdog is two, as it may withdraw or not. */
enum { N_THREADS = 3, N_USES = 3, N_ASKS = 3 };

enum ask_state { NOT_ASKED, ASKED, ANSWERING, GIVEN, REFUSED };

struct slot_world {
    uint8_t is_world;
    uint8_t flaw;
    uint8_t run;
    struct {
        uint8_t has, is_inside, is_out, is_spare;
        uint8_t has_signal, is_answering;
        uint8_t n_uses;
    } thread[N_THREADS];
    struct {
        uint8_t state, carrier, spare, run;
    } ask;
    uint8_t n_asks;
} __attribute__((may_alias));

enum slot_flaw {
    GIVES_INSIDE = 1,     /* the handler does not look whether weft is under way */
    ANSWERS_WITHOUT_SLOT, /* nor whether the thread has one */
    ANSWERS_UNCLAIMED,    /* ASKED is looked at, not changed */
    WITHDRAWS_BY_STORE,
    NEVER_WITHDRAWS,
    TAKES_BACK_AT_ONCE    /* the spare, although the ask may be answered yet */
};

static int a_spare(const struct slot_world *w)
{
    for (int t = 0; t < N_THREADS; t++)
        if (w->thread[t].is_spare)
            return t;
    return -1;
}

/* Into weft and out of it. The second time it blocks by itself, if a spare can have
 * the worker. */
static bool slot_thread_step(struct slot_world *w, int t)
{
    if (w->thread[t].is_answering)
        return false;
    if (w->thread[t].is_out) { /* the fiber has left it */
        w->thread[t].is_out = 0;
        w->thread[t].is_spare = 1;
        return true;
    }
    if (!w->thread[t].has && !w->thread[t].is_inside)
        return false;
    if (!w->thread[t].is_inside) {
        if (w->thread[t].n_uses == N_USES)
            return false;
        w->thread[t].n_uses++;
        w->thread[t].is_inside = 1;
        return true;
    }
    w->run++;
    w->thread[t].is_inside = 0;
    if (w->thread[t].n_uses == 2 && a_spare(w) >= 0) {
        int spare = a_spare(w);

        w->thread[t].has = 0;
        w->thread[t].is_out = 1;
        w->thread[spare].is_spare = 0;
        w->thread[spare].has = 1;
    }
    return true;
}

static void slot_give(struct slot_world *w, int t)
{
    w->thread[t].has = 0;
    w->thread[t].is_out = 1;
    w->thread[w->ask.spare].has = 1;
    w->ask.state = GIVEN;
}

static bool slot_handler_step(struct slot_world *w, int t)
{
    bool is_mine = w->ask.carrier == t && w->run == w->ask.run;

    if (w->thread[t].is_answering) {
        w->thread[t].is_answering = 0;
        if ((is_mine || w->flaw == ANSWERS_WITHOUT_SLOT) && (!w->thread[t].is_inside || w->flaw == GIVES_INSIDE))
            slot_give(w, t);
        else
            w->ask.state = REFUSED;
        return true;
    }
    if (!w->thread[t].has_signal || t == N_THREADS - 1)
        return false;
    w->thread[t].has_signal = 0;
    if (w->ask.state == ASKED && (w->thread[t].has || w->flaw == ANSWERS_WITHOUT_SLOT)) {
        w->thread[t].is_answering = 1;
        if (w->flaw != ANSWERS_UNCLAIMED)
            w->ask.state = ANSWERING;
    }
    return true;
}

static bool slot_ask(struct slot_world *w)
{
    int t = 0, spare = a_spare(w);

    if (w->n_asks == N_ASKS || spare < 0)
        return false;
    while (!w->thread[t].has)
        t++;
    w->n_asks++;
    w->thread[spare].is_spare = 0;
    w->ask.carrier = (uint8_t)t;
    w->ask.spare = (uint8_t)spare;
    w->ask.run = w->run;
    w->ask.state = ASKED;
    w->thread[t].has_signal = 1;
    if (w->flaw == TAKES_BACK_AT_ONCE)
        w->thread[spare].is_spare = 1;
    return true;
}

static bool slot_watchdog_step(struct slot_world *w)
{
    switch (w->ask.state) {
    case NOT_ASKED:
        return slot_ask(w);
    case REFUSED:
        w->thread[w->ask.spare].is_spare = 1;
        w->ask.state = NOT_ASKED;
        return true;
    case GIVEN:
        w->ask.state = NOT_ASKED;
        return true;
    default:
        return false;
    }
}

static bool slot_withdraw(struct slot_world *w)
{
    if (w->flaw == NEVER_WITHDRAWS ||
        !(w->ask.state == ASKED || (w->ask.state == ANSWERING && w->flaw == WITHDRAWS_BY_STORE)))
        return false;
    w->thread[w->ask.spare].is_spare = 1;
    w->ask.state = NOT_ASKED;
    return true;
}

static bool slot_world_step(union world *world, int actor)
{
    struct slot_world *w = (struct slot_world *)world;

    if (actor < N_THREADS)
        return slot_thread_step(w, actor);
    if (actor < 2 * N_THREADS)
        return slot_handler_step(w, actor - N_THREADS);
    return actor == 2 * N_THREADS ? slot_watchdog_step(w) : slot_withdraw(w);
}

static const char *slot_world_holds(const union world *world)
{
    const struct slot_world *w = (const struct slot_world *)world;
    int n = 0;

    for (int t = 0; t < N_THREADS; t++) {
        n += w->thread[t].has;
        if (w->thread[t].is_inside && !w->thread[t].has)
            return "two threads use the slot";
        if (w->thread[t].is_spare && w->thread[t].has)
            return "a spare is in two hands";
    }
    return n != 1 ? "not one thread has the slot" : NULL;
}

static const char *slot_world_ends(const union world *world)
{
    return ((const struct slot_world *)world)->ask.state != NOT_ASKED ? "the slot is asked for, for ever" : NULL;
}

static const char *explore_slot(enum slot_flaw flaw)
{
    static const struct model model = {2 * N_THREADS + 2, "tuvTUVwb", slot_world_step, slot_world_holds, slot_world_ends};
    union world begin = {{0}};
    struct slot_world *w = (struct slot_world *)&begin;

    w->is_world = 1;
    w->flaw = (uint8_t)flaw;
    w->thread[0].has = 1;
    w->thread[1].is_spare = w->thread[2].is_spare = 1;
    return explore(&model, &begin);
}

TEST(no_order_of_asks_and_answers_gives_a_slot_to_two_threads)
{
    check_none(explore_slot(0));
}

TEST(a_handler_that_gives_the_slot_away_inside_weft_is_found)
{
    check_finds(explore_slot(GIVES_INSIDE), "two threads");
}

TEST(a_handler_that_gives_a_slot_it_does_not_have_is_found)
{
    check_finds(explore_slot(ANSWERS_WITHOUT_SLOT), "the slot");
}

TEST(an_answer_to_an_ask_that_was_not_claimed_is_found)
{
    check_finds(explore_slot(ANSWERS_UNCLAIMED), "hands");
}

TEST(a_watchdog_that_withdraws_by_a_store_is_found)
{
    check_finds(explore_slot(WITHDRAWS_BY_STORE), "hands");
}

TEST(a_watchdog_that_never_withdraws_is_found)
{
    check_finds(explore_slot(NEVER_WITHDRAWS), "asked for");
}

TEST(a_watchdog_that_takes_a_spare_back_too_early_is_found)
{
    check_finds(explore_slot(TAKES_BACK_AT_ONCE), "hands");
}
