/* context_x86_64.S - the switch for the System V ABI: see context.h.
 *
 * struct weft__context: pc at 0, sp at 8, fp at 16.
 * Jumps to places without a landing pad are notrack, so that indirect branch
 * tracking lets them pass. Shadow stacks are not served, and the note at the
 * end does not claim them.
 */
    .text

/* void *weft__context_swap(struct weft__context *save (rdi),
 *                          const struct weft__context *to (rsi), void *arg (rdx))
 *
 * Called only with -DWEFT_CONTEXT_PLAIN. What the callee saves is pushed, so a
 * stopped context's registers are in its stack, where the CFI says. */
    .globl  weft__context_swap
    .hidden weft__context_swap
    .type   weft__context_swap, @function
    .p2align 4
weft__context_swap:
    .cfi_startproc
    endbr64
    pushq   %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    movq    %rsp, %rbp
    .cfi_def_cfa_register %rbp
    pushq   %rbx
    .cfi_offset %rbx, -24
    pushq   %r12
    .cfi_offset %r12, -32
    pushq   %r13
    .cfi_offset %r13, -40
    pushq   %r14
    .cfi_offset %r14, -48
    pushq   %r15
    .cfi_offset %r15, -56
    leaq    1f(%rip), %rcx
    movq    %rcx, 0(%rdi)
    movq    %rsp, 8(%rdi)
    movq    %rbp, 16(%rdi)
    movq    %rdx, %rax
    movq    0(%rsi), %rcx
    movq    8(%rsi), %rsp
    movq    16(%rsi), %rbp
    notrack jmp *%rcx
1:
    popq    %r15
    .cfi_restore %r15
    popq    %r14
    .cfi_restore %r14
    popq    %r13
    .cfi_restore %r13
    popq    %r12
    .cfi_restore %r12
    popq    %rbx
    .cfi_restore %rbx
    popq    %rbp
    .cfi_restore %rbp
    .cfi_def_cfa %rsp, 8
    /* Not a ret: the CPU would expect it to go where the last call came from,
     * which was on another stack. */
    popq    %rcx
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rcx
    notrack jmp *%rcx
    .cfi_endproc
    .size   weft__context_swap, . - weft__context_swap

/* _Noreturn void weft__context_enter(const struct weft__context *to (rdi), void *arg (rsi)) */
    .globl  weft__context_enter
    .hidden weft__context_enter
    .type   weft__context_enter, @function
    .p2align 4
weft__context_enter:
    .cfi_startproc
    endbr64
    movq    %rsi, %rax
    movq    0(%rdi), %rcx
    movq    16(%rdi), %rbp
    movq    8(%rdi), %rsp
    .cfi_undefined %rip     /* the frames it came from are gone */
    notrack jmp *%rcx
    .cfi_endproc
    .size   weft__context_enter, . - weft__context_enter

/* Where a new context begins: arg in rax; sp, 16-aligned, points at the
 * function and at its second argument. */
    .globl  weft__context_start
    .hidden weft__context_start
    .type   weft__context_start, @function
    .p2align 4
weft__context_start:
    .cfi_startproc
    .cfi_undefined %rip     /* nobody called this: unwinding ends here */
    endbr64
    xorl    %ebp, %ebp
    movq    %rax, %rdi
    movq    8(%rsp), %rsi
    call    *0(%rsp)
    ud2                     /* the function must not return */
    .cfi_endproc
    .size   weft__context_start, . - weft__context_start

    .section .note.GNU-stack, "", @progbits

/* x86 feature 1: indirect branch tracking, and no more. */
    .section .note.gnu.property, "a", @note
    .p2align 3
    .long   4               /* size of the name */
    .long   16              /* size of the property */
    .long   5               /* NT_GNU_PROPERTY_TYPE_0 */
    .asciz  "GNU"
    .long   0xc0000002      /* GNU_PROPERTY_X86_FEATURE_1_AND */
    .long   4
    .long   1               /* IBT */
    .long   0
