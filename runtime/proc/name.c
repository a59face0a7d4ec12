/* name.c - one word per atom, changed by compare and exchange.
 *
 *     field    written by   read by   pair
 *     pages    set          all       A: release / acquire - a page is cleared, then shown
 *     pids     set, unset   all       B: release / acquire - a process is made, then named;
 *                                        a name is given up, then taken by another
 */
#include "proc/name.h"

#include <stdlib.h>

#include "base/assert.h"
#include "term/atom.h"
#include "weft/error.h"
#include "weft/process.h"

#define N_PAGES ((WEFT__ATOM_CAP + WEFT__NAME_PAGE - 1) / WEFT__NAME_PAGE)

int weft__names_init(struct weft__names *names)
{
    names->pages = calloc(N_PAGES, sizeof *names->pages);
    return names->pages != NULL ? 0 : WEFT_ENOMEM;
}

void weft__names_destroy(struct weft__names *names)
{
    if (names->pages == NULL)
        return;
    for (uint32_t i = 0; i < N_PAGES; i++)
        free(atomic_load_explicit(&names->pages[i], memory_order_relaxed)); /* unshared */
    free(names->pages);
    names->pages = NULL;
}

static uint32_t atom_index(uint64_t atom_bits)
{
    uint32_t index = weft__atom_index((weft_atom){ atom_bits });

    weft__assert(index < WEFT__ATOM_CAP);
    return index;
}

/* The word of an atom, or NULL when its page was never needed. */
static _Atomic uint64_t *find_word(const struct weft__names *names, uint64_t atom_bits)
{
    uint32_t index = atom_index(atom_bits);
    /* A. */
    struct weft__name_page *page =
        atomic_load_explicit(&names->pages[index / WEFT__NAME_PAGE], memory_order_acquire);

    return page != NULL ? &page->pids[index % WEFT__NAME_PAGE] : NULL;
}

/* The same, making the page; NULL when memory is out. */
static _Atomic uint64_t *need_word(struct weft__names *names, uint64_t atom_bits)
{
    uint32_t index = atom_index(atom_bits);
    _Atomic uint64_t *word = find_word(names, atom_bits);
    struct weft__name_page *page, *other = NULL;

    if (word != NULL)
        return word;
    page = calloc(1, sizeof *page);
    if (page == NULL)
        return NULL;
    /* A. Acquire on failure: the other's page is used instead. */
    if (!atomic_compare_exchange_strong_explicit(&names->pages[index / WEFT__NAME_PAGE], &other, page,
                                                 memory_order_release, memory_order_acquire)) {
        free(page);
        page = other;
    }
    return &page->pids[index % WEFT__NAME_PAGE];
}

int weft__name_set(struct weft__names *names, uint64_t atom_bits, uint64_t pid_bits)
{
    _Atomic uint64_t *word = need_word(names, atom_bits);
    uint64_t nobody = 0;

    weft__assert(pid_bits != 0);
    if (word == NULL)
        return WEFT_ENOMEM;
    /* B, both ways: who takes a name that was given up sees what was done
     * before. Relaxed on failure: who has it is not looked at. */
    if (!atomic_compare_exchange_strong_explicit(word, &nobody, pid_bits,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return WEFT_EALREADY;
    return 0;
}

uint64_t weft__name_unset(struct weft__names *names, uint64_t atom_bits, uint64_t pid_bits)
{
    _Atomic uint64_t *word = find_word(names, atom_bits);

    if (word == NULL)
        return 0;
    /* B, both ways: the caller goes on to the process it finds, and who takes
     * the name next sees what was done before it was given up. */
    if (pid_bits == 0)
        return atomic_exchange_explicit(word, 0, memory_order_acq_rel);
    if (!atomic_compare_exchange_strong_explicit(word, &pid_bits, 0,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return 0;
    return pid_bits;
}

uint64_t weft__name_get(const struct weft__names *names, uint64_t atom_bits)
{
    const _Atomic uint64_t *word = find_word(names, atom_bits);

    return word != NULL ? atomic_load_explicit(word, memory_order_acquire) : 0; /* B */
}

/* -- names that are values --------------------------------------------------------------- */

int (*weft__name_via)(weft_term name, weft_pid *pid);

bool weft__name_is(weft_term term)
{
    return weft_is_atom(term) || (weft_is_tuple(term) && weft_tuple_size(term) >= 3 &&
                                  weft_tuple_size(term) <= 4 && weft_eq(weft_tuple_at(term, 0), WEFT_ATOM("via")));
}

int weft__name_find(weft_term name, weft_pid *pid)
{
    if (weft_is_atom(name)) {
        *pid = weft_whereis(name);
        return 0;
    }
    return weft__name_is(name) && weft__name_via != NULL ? weft__name_via(name, pid) : WEFT_EINVAL;
}
