/* context_aarch64.S - the switch for AAPCS64: see context.h.
 *
 * struct weft__context: pc at 0, sp at 8, fp at 16.
 * Landing pads are there always (hints that older CPUs skip). Return addresses
 * are not signed here; those that callers signed stay where they are.
 */
    .text

/* bti c and bti j, in the form that every assembler takes. */
    .macro  landing_call
    hint    #34
    .endm
    .macro  landing_jump
    hint    #36
    .endm

/* void *weft__context_swap(struct weft__context *save (x0),
 *                          const struct weft__context *to (x1), void *arg (x2)) */
    .globl  weft__context_swap
    .hidden weft__context_swap
    .type   weft__context_swap, %function
    .p2align 4
weft__context_swap:
    .cfi_startproc
    landing_call
    stp     x29, x30, [sp, #-160]!
    .cfi_def_cfa_offset 160
    .cfi_offset x29, -160
    .cfi_offset x30, -152
    mov     x29, sp
    stp     x19, x20, [sp, #16]
    .cfi_offset x19, -144
    .cfi_offset x20, -136
    stp     x21, x22, [sp, #32]
    .cfi_offset x21, -128
    .cfi_offset x22, -120
    stp     x23, x24, [sp, #48]
    .cfi_offset x23, -112
    .cfi_offset x24, -104
    stp     x25, x26, [sp, #64]
    .cfi_offset x25, -96
    .cfi_offset x26, -88
    stp     x27, x28, [sp, #80]
    .cfi_offset x27, -80
    .cfi_offset x28, -72
    stp     d8, d9, [sp, #96]        /* d8 is DWARF's register 72 */
    .cfi_offset 72, -64
    .cfi_offset 73, -56
    stp     d10, d11, [sp, #112]
    .cfi_offset 74, -48
    .cfi_offset 75, -40
    stp     d12, d13, [sp, #128]
    .cfi_offset 76, -32
    .cfi_offset 77, -24
    stp     d14, d15, [sp, #144]
    .cfi_offset 78, -16
    .cfi_offset 79, -8
    adr     x9, 1f
    mov     x10, sp
    stp     x9, x10, [x0]
    str     x29, [x0, #16]
    mov     x0, x2
    ldp     x16, x10, [x1]
    ldr     x29, [x1, #16]
    mov     sp, x10
    br      x16
1:
    landing_jump
    ldp     d14, d15, [sp, #144]
    ldp     d12, d13, [sp, #128]
    ldp     d10, d11, [sp, #112]
    ldp     d8, d9, [sp, #96]
    ldp     x27, x28, [sp, #80]
    ldp     x25, x26, [sp, #64]
    ldp     x23, x24, [sp, #48]
    ldp     x21, x22, [sp, #32]
    ldp     x19, x20, [sp, #16]
    ldp     x29, x30, [sp], #160
    .cfi_def_cfa_offset 0
    .cfi_restore x29
    .cfi_restore x30
    /* A ret would be predicted to go where the last call came from, which was
     * on another stack; but where branch targets are enforced, only a ret may
     * go to a place without a landing pad. */
#ifdef __ARM_FEATURE_BTI_DEFAULT
    ret
#else
    br      x30
#endif
    .cfi_endproc
    .size   weft__context_swap, . - weft__context_swap

/* _Noreturn void weft__context_enter(const struct weft__context *to (x0), void *arg (x1)) */
    .globl  weft__context_enter
    .hidden weft__context_enter
    .type   weft__context_enter, %function
    .p2align 4
weft__context_enter:
    .cfi_startproc
    landing_call
    ldp     x16, x10, [x0]
    ldr     x29, [x0, #16]
    mov     x0, x1
    mov     sp, x10
    .cfi_undefined x30      /* the frames it came from are gone */
    br      x16
    .cfi_endproc
    .size   weft__context_enter, . - weft__context_enter

/* Where a new context begins: arg in x0; sp, 16-aligned, points at the
 * function and at its second argument. */
    .globl  weft__context_start
    .hidden weft__context_start
    .type   weft__context_start, %function
    .p2align 4
weft__context_start:
    .cfi_startproc
    .cfi_undefined x30      /* nobody called this: unwinding ends here */
    landing_jump
    mov     x29, xzr
    mov     x30, xzr
    ldp     x9, x1, [sp]
    blr     x9
    brk     #1              /* the function must not return */
    .cfi_endproc
    .size   weft__context_start, . - weft__context_start

    .section .note.GNU-stack, "", %progbits

#ifdef __ARM_FEATURE_BTI_DEFAULT
/* aarch64 feature 1: branch target identification. */
    .section .note.gnu.property, "a", %note
    .p2align 3
    .long   4               /* size of the name */
    .long   16              /* size of the property */
    .long   5               /* NT_GNU_PROPERTY_TYPE_0 */
    .asciz  "GNU"
    .long   0xc0000000      /* GNU_PROPERTY_AARCH64_FEATURE_1_AND */
    .long   4
    .long   1               /* BTI */
    .long   0
#endif
