#include <stdlib.h>

#include "base/here.h"
#include "term/region.h"
#include "term/term.h"

/* What a counted binary holds: bytes of ours behind it, or somebody else's. */
struct buffer {
    struct weft__shared shared;
    void (*free)(void *data, void *arg);
    void *data, *arg;
};

static void buffer_release(struct weft__shared *shared)
{
    struct buffer *buffer = (struct buffer *)shared;

    if (buffer->free)
        buffer->free(buffer->data, buffer->arg);
    free(buffer);
}

static struct buffer *buffer_new(size_t extra)
{
    struct buffer *buffer = extra < PTRDIFF_MAX ? malloc(sizeof *buffer + extra) : NULL;

    if (!buffer)
        weft__term_no_memory(extra);
    atomic_init(&buffer->shared.count, 1);
    buffer->shared.release = buffer_release;
    buffer->free = NULL;
    return buffer;
}

/* A term for bytes of a buffer, taking over one count. */
static weft_term shared_bin(struct weft__counted *counted, struct weft__region *region,
                            struct weft__shared *shared, const uint8_t *data, size_t size,
                            bool is_text)
{
    counted->header = weft__header(WEFT__BOX_SHARED_BIN, is_text);
    counted->shared = shared;
    counted->data = data;
    counted->size = size;
    counted->next = region->counted;
    region->counted = counted;
    return weft__boxed(counted);
}

static weft_term inline_bin(const void *data, size_t size)
{
    size_t bytes = weft__box_bytes(weft__header(WEFT__BOX_BIN, size));
    uint64_t *box = weft__region_alloc(weft__region_here(), bytes);

    box[bytes / 8 - 1] = 0; /* the NUL, and no stray bytes after it */
    box[0] = weft__header(WEFT__BOX_BIN, size);
    if (size > 0)
        memcpy(box + 1, data, size);
    return weft__boxed(box);
}

weft_term weft_bin(const void *data, size_t size)
{
    struct weft__region *region;
    struct weft__counted *counted;
    struct buffer *buffer;
    uint8_t *bytes;

    if (size <= WEFT__BIN_INLINE)
        return inline_bin(data, size);
    region = weft__region_here();
    counted = weft__region_alloc(region, sizeof *counted);
    buffer = buffer_new(size + 1);
    bytes = (uint8_t *)(buffer + 1);
    memcpy(bytes, data, size);
    bytes[size] = 0;
    return shared_bin(counted, region, &buffer->shared, bytes, size, true);
}

weft_term weft_str(const char *text)
{
    if (!text)
        weft__term_fail("weft_str", "was given a null pointer");
    return weft_bin(text, strlen(text));
}

weft_term weft_bin_wrap(const void *data, size_t size,
                        void (*release)(void *data, void *arg), void *arg)
{
    struct weft__region *region = weft__region_here();
    struct weft__counted *counted = weft__region_alloc(region, sizeof *counted);
    struct buffer *buffer = buffer_new(0);

    buffer->free = release;
    buffer->data = (void *)(uintptr_t)data;
    buffer->arg = arg;
    return shared_bin(counted, region, &buffer->shared, data, size, false);
}

bool weft__bin_bytes(weft_term term, const uint8_t **data, size_t *size)
{
    switch (weft__box_kind(term)) {
    case WEFT__BOX_BIN:
        *data = (const uint8_t *)(weft__box(term) + 1);
        *size = weft__box_size(term);
        return true;
    case WEFT__BOX_SHARED_BIN:
        *data = ((const struct weft__counted *)weft__box(term))->data;
        *size = ((const struct weft__counted *)weft__box(term))->size;
        return true;
    default:
        return false;
    }
}

weft_term weft_bin_slice(weft_term bin, size_t offset, size_t size)
{
    struct weft__counted *from, *to;
    struct weft__region *region;
    const uint8_t *data;
    size_t whole;

    if (!weft__bin_bytes(bin, &data, &whole))
        weft__term_fail_kind("weft_bin_slice", bin, "a binary");
    if (offset > whole || size > whole - offset)
        weft__term_fail("weft_bin_slice",
                        "asks for %zu bytes from %zu on of a binary of %zu", size, offset,
                        whole);
    /* Small ones are cheaper to copy than to count, and do not hold on to much. */
    if (weft__box_kind(bin) == WEFT__BOX_BIN || size <= 64)
        return inline_bin(data + offset, size);
    from = (struct weft__counted *)weft__box(bin);
    region = weft__region_here();
    to = weft__region_alloc(region, sizeof *to);
    weft__shared_hold(from->shared);
    return shared_bin(to, region, from->shared, data + offset, size,
                      weft__header_size(from->header) && offset + size == whole);
}

bool weft_is_bin(weft_term term)
{
    unsigned kind = weft__box_kind(term);

    return kind == WEFT__BOX_BIN || kind == WEFT__BOX_SHARED_BIN;
}

const void *weft_bin_data(weft_term bin)
{
    const uint8_t *data;
    size_t size;

    if (!weft__bin_bytes(bin, &data, &size))
        weft__term_fail_kind("weft_bin_data", bin, "a binary");
    return data;
}

size_t weft_bin_size(weft_term bin)
{
    const uint8_t *data;
    size_t size;

    if (!weft__bin_bytes(bin, &data, &size))
        weft__term_fail_kind("weft_bin_size", bin, "a binary");
    return size;
}

const char *weft_text(weft_term bin)
{
    const uint8_t *data;
    size_t size;
    char *text;

    if (!weft__bin_bytes(bin, &data, &size))
        weft__term_fail_kind("weft_text", bin, "a binary");
    if (weft__box_kind(bin) == WEFT__BOX_BIN || weft__box_size(bin))
        return (const char *)data;
    /* A slice, or memory of somebody else's: no NUL after it that we may read. */
    if (size > WEFT__BLOCK_MAX - 16)
        weft__term_no_memory(size);
    text = weft__region_alloc(weft__region_here(), (size + 8) & ~(size_t)7);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = 0;
    return text;
}
