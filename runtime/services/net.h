/* net.h - what the files about sockets share. */
#ifndef WEFT_SERVICES_NET_H
#define WEFT_SERVICES_NET_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "services/io.h"
#include "weft/io.h"

struct sockaddr;

static inline const struct sockaddr *weft__sockaddr(const weft_address *address)
{
    return (const struct sockaddr *)(const void *)address->data;
}

static inline int weft__address_family(const weft_address *address)
{
    uint16_t family = 0; /* what a sockaddr begins with */

    if (address->size >= sizeof family)
        memcpy(&family, address->data, sizeof family);
    return family;
}

/* size bytes of a sockaddr; an IPv4 address in an IPv6 one becomes an IPv4 one. */
void weft__address_set(weft_address *address, const void *sockaddr, size_t size);

/* A path, or an abstract name that begins with '@'. 0 or WEFT_ENAMETOOLONG. */
int weft__address_unix(const char *path, weft_address *address);

/* weft_resolve within a call's time. */
int weft__resolve(const char *host, uint16_t port, struct weft__io_time *time, weft_address *found, size_t max);

#endif
