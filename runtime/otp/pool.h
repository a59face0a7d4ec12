/* pool.h - what a pool and its clients say to each other.
 *
 *     call   {:checkout, ref, wait}    {resource, check, kind}, at once or later; or :none
 *     call   {:checkin, pid, resource}, {:discard, ...}    :ok; :not_held
 *     call   :counts                   {idle, in_use, opening, waiting, failures}
 *     cast   {:cancel, ref}            whoever asked by that reference has left
 *     cast   {:abandon, pid, resource} its user's function did not return
 *
 * check: is the resource to be checked before it is used? kind: the struct
 * weft_pool_resource, as a pointer.
 */
#ifndef WEFT_OTP_POOL_H
#define WEFT_OTP_POOL_H

#include "weft/pool.h"

#define WEFT__POOL_KIND(term) ((const weft_pool_resource *)weft_to_pointer(term))

/* A process linked to the caller, the pool, that opens a resource with arg (:none for
 * none) and sends {:opened, self, resource}, which the pool answers with :taken, or
 * {:failed, self, reason}. */
weft_pid weft__pool_spawn_opener(const weft_pool_resource *kind, weft_term arg);

/* A process that closes it by its kind's close, which there is. */
void weft__pool_spawn_closer(const weft_pool_resource *kind, weft_term resource);

#endif
