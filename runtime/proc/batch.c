#include "proc/batch.h"

#include "base/assert.h"
#include "base/memory.h"

static void payload_release(struct weft__shared *shared)
{
    struct weft__payload *payload = (struct weft__payload *)(void *)shared; /* it comes first */

    weft__counted_release(payload->counted, NULL);
    weft__memory_free(payload, payload->size);
}

struct weft__payload *weft__payload_new(weft_term term, size_t size)
{
    struct weft__payload *payload = weft__memory_alloc(sizeof *payload + size);

    if (payload == NULL)
        return NULL;
    atomic_init(&payload->shared.count, 1);
    payload->shared.release = payload_release;
    payload->counted = NULL;
    payload->size = sizeof *payload + size;
    payload->root = weft__copy_into(term, (char *)(payload + 1), &payload->counted);
    return payload;
}

static size_t batch_size(uint32_t n)
{
    return sizeof(struct weft__batch) + n * sizeof(struct weft__message);
}

static void batch_release(struct weft__shared *shared)
{
    struct weft__batch *batch = (struct weft__batch *)(void *)shared; /* it comes first */

    if (batch->payload != NULL)
        weft__shared_drop(&batch->payload->shared);
    weft__memory_free(batch, batch_size(batch->n_messages));
}

struct weft__batch *weft__batch_new(struct weft__cache *cache, struct weft__payload *payload, weft_term root,
                                    uint32_t n)
{
    struct weft__batch *batch;

    weft__assert(n <= WEFT__BATCH_MAX);
    batch = weft__slab_alloc(cache, batch_size(n));
    if (batch == NULL)
        return NULL;
    if (payload != NULL)
        weft__shared_hold(&payload->shared);
    atomic_init(&batch->shared.count, (uint64_t)n + 1);
    batch->shared.release = batch_release;
    batch->payload = payload;
    batch->root = payload != NULL ? payload->root : root;
    batch->n_messages = n;
    batch->n_used = 0;
    return batch;
}

void weft__batch_close(struct weft__batch *batch)
{
    weft__assert(batch->n_used <= batch->n_messages);
    weft__shared_drop_many(&batch->shared, (uint64_t)(batch->n_messages - batch->n_used) + 1);
}
