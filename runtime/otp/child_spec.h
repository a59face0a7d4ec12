/* child_spec.h - what supervisors do with child specs. */
#ifndef WEFT_OTP_CHILD_SPEC_H
#define WEFT_OTP_CHILD_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/child.h"

#define WEFT__CHILD_SHUTDOWN_MS INT64_C(5000) /* a worker's, when its spec does not say */

/* Is the spec one that can be started? weft_none, or what is wrong with it:
 *
 *   :missing_id   :missing_start   {:invalid_mfa, x}   {:invalid_restart_type, x}
 *   {:invalid_child_type, x}   {:invalid_shutdown, x}   {:invalid_backoff, x}
 *   {:bad_combination, [restart: :permanent, significant: true]}
 *
 * and then the same in words, which name the child and the field, in text of
 * `size` bytes (0: no text). SUP-2, SUP-4, SUP-5. */
weft_term weft__child_check(const weft_child_spec *spec, char *text, size_t size);

/* The same for n siblings, in order; two of one id give
 * {:duplicate_child_name, id}. SUP-6. */
weft_term weft__children_check(const weft_child_spec *specs, size_t n, char *text, size_t size);

/* Copy a spec that is right, its terms kept by the calling process; give such
 * a copy's terms back. */
void weft__child_keep(weft_child_spec *kept, const weft_child_spec *spec);
void weft__child_drop(weft_child_spec *kept);

/* A spec as a term, to be sent or kept with others, and back: its terms live as
 * those of the term do. Function pointers are addresses of this program. */
weft_term weft__child_pack(const weft_child_spec *spec);
void weft__child_unpack(weft_child_spec *spec, weft_term packed);

/* Run its start function with that argument. What it gives is made whole: a pid
 * or ignored, or a failure with a reason; an exit in it is a failure too. May
 * park. SUP-12. */
weft_started weft__child_start(const weft_child_spec *spec, weft_term arg);

/* .shutdown_ms, by type where it says so. */
int64_t weft__child_shutdown_ms(const weft_child_spec *spec);

/* Is a child to be started again that ended with the reason? SUP-17 to SUP-19. */
bool weft__child_restarts(const weft_child_spec *spec, weft_term reason);

/* :normal, :shutdown, {:shutdown, _}: an end that is no crash. */
bool weft__reason_is_quiet(weft_term reason);

/* The spec as a map with defaults filled in:
 * %{id: _, restart: _, shutdown: _, significant: _, start: {function, args}, type: _}. SUP-69. */
weft_term weft__child_term(const weft_child_spec *spec);

#endif
