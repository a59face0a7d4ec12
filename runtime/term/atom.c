/* atom.c - the one table of atoms.
 *
 * What it does: names to indices by an open-addressed table of words, indices
 * to names by an array of segments. Look-ups take no lock; a new name takes a
 * mutex.
 *
 * A slot is the name's hash (upper half) and its index + 1 (lower half), 0 when
 * free. A table at most half full is searched from the hash's place on until a
 * free slot. Growing makes a table of twice the size, fills it and publishes
 * it; the old one is kept for good, because a reader may be in it. All the old
 * ones together are smaller than the newest. A reader that misses a name in an
 * old table looks again under the mutex before it makes one.
 *
 * Roads not taken: ck_ht and ck_hs want their old maps freed by epochs, which
 * threads outside a runtime do not have.
 *
 *   field     written by          read by   pair
 *   table     under the mutex     anyone    A: store release / load acquire - filled, then published
 *   slots[i]  under the mutex     anyone    B: store release / load acquire - the name, then its slot
 *   segments  under the mutex     anyone    C: store release / load acquire - the name, then its place
 */
#include "term/atom.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "term/fail.h"

#define SEGMENT_BITS 10
#define SEGMENT_SIZE (1u << SEGMENT_BITS)
#define N_SEGMENTS (WEFT__ATOM_CAP / SEGMENT_SIZE)
#define FIRST_SLOTS 1024u

struct atom_name {
    const char *text;
    uint32_t size;
    uint32_t hash;
};

struct atom_segment {
    _Atomic(const struct atom_name *) names[SEGMENT_SIZE];
};

struct atom_table {
    struct atom_table *older; /* kept for readers, and reachable for leak checkers */
    uint32_t mask;            /* slots - 1 */
    _Atomic uint64_t slots[];
};

static struct {
    pthread_mutex_t mutex; /* guards all writing; nothing else is locked under it */
    _Atomic(struct atom_table *) table;
    _Atomic uint32_t count;
    _Atomic(struct atom_segment *) segments[N_SEGMENTS];
} atoms = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static pthread_once_t fork_handlers = PTHREAD_ONCE_INIT;

#define OWN_NAME(name) {#name, sizeof #name - 1, 0},
static const struct atom_name own_names[] = {WEFT__ATOMS(OWN_NAME)};
#undef OWN_NAME

/* FNV-1a: names are short. */
static uint32_t name_hash(const char *name, size_t size)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    return hash;
}

/* -- reading --------------------------------------------------------------- */

static const struct atom_name *atom_name(uint32_t index)
{
    struct atom_segment *segment;

    if (index < WEFT__N_OWN_ATOMS)
        return &own_names[index];
    /* C: who has the index of an atom saw it made, or got it from one who did. */
    segment =
        atomic_load_explicit(&atoms.segments[index >> SEGMENT_BITS], memory_order_acquire);
    return atomic_load_explicit(&segment->names[index & (SEGMENT_SIZE - 1)],
                                memory_order_acquire);
}

static bool table_find(const struct atom_table *table, const char *name, size_t size,
                       uint32_t hash, uint32_t *index)
{
    if (!table)
        return false;
    for (uint32_t i = hash;; i++) {
        /* B: the name behind a slot is there to read. */
        uint64_t slot =
            atomic_load_explicit(&table->slots[i & table->mask], memory_order_acquire);
        const struct atom_name *found;

        if (slot == 0)
            return false;
        if (slot >> 32 != hash)
            continue;
        found = atom_name((uint32_t)slot - 1);
        if (found->size == size && memcmp(found->text, name, size) == 0) {
            *index = (uint32_t)slot - 1;
            return true;
        }
    }
}

const char *weft__atom_text(weft_atom atom, size_t *size)
{
    const struct atom_name *name = atom_name(weft__atom_index(atom));

    *size = name->size;
    return name->text;
}

uint32_t weft__atom_count(void)
{
    /* Relaxed: a figure to show. */
    uint32_t count = atomic_load_explicit(&atoms.count, memory_order_relaxed);

    return count ? count : WEFT__N_OWN_ATOMS;
}

/* -- writing, under the mutex ---------------------------------------------- */

static void table_put(struct atom_table *table, uint32_t hash, uint32_t index)
{
    uint32_t i = hash;

    /* Relaxed: only who holds the mutex writes slots. */
    while (atomic_load_explicit(&table->slots[i & table->mask], memory_order_relaxed) != 0)
        i++;
    /* B: after the name. */
    atomic_store_explicit(&table->slots[i & table->mask],
                          (uint64_t)hash << 32 | (index + 1), memory_order_release);
}

static struct atom_table *table_new(uint32_t n_slots)
{
    struct atom_table *table = calloc(1, sizeof *table + n_slots * sizeof table->slots[0]);

    if (table)
        table->mask = n_slots - 1;
    return table;
}

/* The first table, with the runtime's own atoms in it. */
static struct atom_table *table_first(void)
{
    struct atom_table *table = table_new(FIRST_SLOTS);

    _Static_assert(WEFT__N_OWN_ATOMS <= FIRST_SLOTS / 2,
                   "the first table holds the runtime's atoms");
    if (!table)
        return NULL;
    for (uint32_t i = 0; i < WEFT__N_OWN_ATOMS; i++)
        table_put(table, name_hash(own_names[i].text, own_names[i].size), i);
    atomic_store_explicit(&atoms.count, WEFT__N_OWN_ATOMS, memory_order_relaxed);
    return table;
}

static struct atom_table *table_grown(struct atom_table *old)
{
    uint32_t n_slots = (old->mask + 1) * 2;
    struct atom_table *table = table_new(n_slots);

    if (!table)
        return NULL;
    for (uint32_t i = 0; i <= old->mask; i++) {
        uint64_t slot = atomic_load_explicit(&old->slots[i], memory_order_relaxed);

        if (slot != 0)
            table_put(table, (uint32_t)(slot >> 32), (uint32_t)slot - 1);
    }
    table->older = old;
    return table;
}

/* The table with room for one more, published. NULL: no memory. */
static struct atom_table *table_with_room(void)
{
    /* Relaxed: only who holds the mutex writes it. */
    struct atom_table *table = atomic_load_explicit(&atoms.table, memory_order_relaxed);
    struct atom_table *next = table;

    if (!table)
        next = table_first();
    else if (atomic_load_explicit(&atoms.count, memory_order_relaxed) > table->mask / 2)
        next = table_grown(table);
    if (next && next != table)
        atomic_store_explicit(&atoms.table, next, memory_order_release); /* A */
    return next;
}

static struct atom_segment *segment_of(uint32_t index)
{
    _Atomic(struct atom_segment *) *place = &atoms.segments[index >> SEGMENT_BITS];
    struct atom_segment *segment = atomic_load_explicit(place, memory_order_relaxed);

    if (segment)
        return segment;
    segment = calloc(1, sizeof *segment);
    if (segment)
        atomic_store_explicit(place, segment, memory_order_release); /* C */
    return segment;
}

static struct atom_name *name_new(const char *text, size_t size, uint32_t hash)
{
    struct atom_name *name = malloc(sizeof *name + size + 1);
    char *copy;

    if (!name)
        return NULL;
    copy = (char *)(name + 1);
    memcpy(copy, text, size);
    copy[size] = 0;
    *name = (struct atom_name){copy, (uint32_t)size, hash};
    return name;
}

enum making { MADE, FULL, NO_MEMORY };

static enum making atom_make_locked(const char *text, size_t size, uint32_t hash,
                                    uint32_t *index)
{
    struct atom_table *table = table_with_room();
    struct atom_segment *segment;
    struct atom_name *name;
    uint32_t count;

    if (!table)
        return NO_MEMORY;
    if (table_find(table, text, size, hash, index))
        return MADE;
    count = atomic_load_explicit(&atoms.count, memory_order_relaxed);
    if (count == WEFT__ATOM_CAP)
        return FULL;
    segment = segment_of(count);
    name = segment ? name_new(text, size, hash) : NULL;
    if (!name)
        return NO_MEMORY;
    atomic_store_explicit(&segment->names[count & (SEGMENT_SIZE - 1)], name,
                          memory_order_release); /* C */
    table_put(table, hash, count);
    atomic_store_explicit(&atoms.count, count + 1, memory_order_relaxed);
    *index = count;
    return MADE;
}

/* A fork while another thread makes an atom must not leave the child with a
 * locked mutex and half an atom. Registered at the first atom, not at load. */
static void atoms_lock(void)
{
    pthread_mutex_lock(&atoms.mutex);
}
static void atoms_unlock(void)
{
    pthread_mutex_unlock(&atoms.mutex);
}
static void fork_handlers_add(void)
{
    pthread_atfork(atoms_lock, atoms_unlock, atoms_unlock);
}

bool weft__atom_find(const char *name, size_t size, weft_atom *atom)
{
    uint32_t hash = name_hash(name, size), index;
    struct atom_table *table =
        atomic_load_explicit(&atoms.table, memory_order_acquire); /* A */

    if (!table) {
        enum making made;

        /* Any look-up may be the first one: one of our own names makes the table. */
        pthread_once(&fork_handlers, fork_handlers_add);
        atoms_lock();
        made = atom_make_locked(own_names[0].text, own_names[0].size,
                                name_hash(own_names[0].text, own_names[0].size), &index);
        atoms_unlock();
        if (made != MADE)
            weft__term_no_memory(sizeof *table);
        table = atomic_load_explicit(&atoms.table, memory_order_acquire); /* A */
    }
    if (!table_find(table, name, size, hash, &index))
        return false;
    *atom = weft__atom_of_index(index);
    return true;
}

bool weft__atom_intern(const char *name, size_t size, weft_atom *atom)
{
    enum making made;
    uint32_t index;

    if (size > WEFT__ATOM_NAME_MAX)
        return false;
    if (weft__atom_find(name, size, atom))
        return true;
    atoms_lock();
    made = atom_make_locked(name, size, name_hash(name, size), &index);
    atoms_unlock();
    if (made == NO_MEMORY)
        weft__term_no_memory(sizeof(struct atom_name) + size);
    if (made == FULL)
        return false;
    *atom = weft__atom_of_index(index);
    return true;
}

/* -- public ---------------------------------------------------------------- */

uint64_t weft__atom_site(uint64_t *site, const char *name, size_t size)
{
    weft_atom atom;

    if (size > WEFT__ATOM_NAME_MAX)
        weft__term_fail("WEFT_ATOM", "has a name of %zu bytes, the limit is %u", size,
                        WEFT__ATOM_NAME_MAX);
    if (!weft__atom_intern(name, size, &atom))
        weft__term_fail("WEFT_ATOM", "cannot make :%s, the table is full with %u atoms",
                        name, WEFT__ATOM_CAP);
    /* Release, with the acquire in WEFT_ATOM: the name, then the site. */
    __atomic_store_n(site, atom.bits, __ATOMIC_RELEASE);
    return atom.bits;
}

const char *weft_atom_name(weft_atom atom)
{
    if (!weft_is_atom(atom))
        weft__term_fail_kind("weft_atom_name", atom, "an atom");
    return atom_name(weft__atom_index(atom))->text;
}
