/* registers.h - the registers of code that a signal interrupted, by platform.
 *
 * Threads: in a signal handler, on the context that it was given.
 */
#ifndef WEFT_PROC_REGISTERS_H
#define WEFT_PROC_REGISTERS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#if defined(__x86_64__)

#define WEFT__RED_ZONE 128 /* bytes below sp that a function may use */

static inline uintptr_t weft__registers_pc(const ucontext_t *context)
{
    return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
}

static inline uintptr_t weft__registers_sp(const ucontext_t *context)
{
    return (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
}

/* Go on as if, where the code stopped, fn(arg) had been called with its frame
 * below sp. fn must not return. */
static inline void weft__registers_call(ucontext_t *context, void (*fn)(void *), void *arg, uintptr_t sp)
{
    greg_t *registers = context->uc_mcontext.gregs;
    uintptr_t at = (sp & ~(uintptr_t)15) - sizeof(uintptr_t);

    *(uintptr_t *)at = (uintptr_t)registers[REG_RIP];
    registers[REG_RSP] = (greg_t)at;
    registers[REG_RIP] = (greg_t)(uintptr_t)fn;
    registers[REG_RDI] = (greg_t)(uintptr_t)arg;
    registers[REG_EFL] &= ~(greg_t)0x400; /* strings go upwards */
}

/* The code jumped to where there is none: where a call would come back to. */
static inline uintptr_t weft__registers_return(const ucontext_t *context)
{
    return *(const uintptr_t *)weft__registers_sp(context);
}

/* Do the bytes before a return address make a call? */
static inline bool weft__registers_is_call(uintptr_t back)
{
    const uint8_t *at = (const uint8_t *)back;

    if (at[-5] == 0xe8)
        return true;
    for (int n = 2; n <= 7; n++)
        if (at[-n] == 0xff && (at[1 - n] >> 3 & 7) == 2)
            return true;
    return false;
}

static inline void weft__registers_pop_call(ucontext_t *context)
{
    context->uc_mcontext.gregs[REG_RIP] = (greg_t)weft__registers_return(context);
    context->uc_mcontext.gregs[REG_RSP] += (greg_t)sizeof(uintptr_t);
}

static inline void weft__registers_restore(ucontext_t *context, uintptr_t pc, uintptr_t sp)
{
    context->uc_mcontext.gregs[REG_RIP] = (greg_t)pc;
    context->uc_mcontext.gregs[REG_RSP] = (greg_t)sp;
}

/* Of a system call that a signal cut short. The arguments are there as they were,
 * from this one on. */
#define WEFT__FIRST_KEPT 0
#define WEFT__CODE_BEFORE 32 /* bytes before pc that are looked at below */

/* Has the code come back from such a call just now, with EINTR? */
static inline bool weft__registers_is_cut_short(const ucontext_t *context)
{
    const uint8_t *pc = (const uint8_t *)weft__registers_pc(context);

    return context->uc_mcontext.gregs[REG_RAX] == -EINTR && pc[-2] == 0x0f && pc[-1] == 0x05; /* syscall */
}

static inline int weft__registers_of_argument(int n)
{
    static const uint8_t index[] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};

    return index[n];
}

static inline uint64_t weft__registers_argument(const ucontext_t *context, int n)
{
    return (uint64_t)context->uc_mcontext.gregs[weft__registers_of_argument(n)];
}

static inline void weft__registers_set_argument(ucontext_t *context, int n, uint64_t value)
{
    context->uc_mcontext.gregs[weft__registers_of_argument(n)] = (greg_t)value;
}

/* Its number, where result and number share a register: what the code before the
 * call moves there (mov $number, %eax), the n-th such bytes backwards; -1: no more. */
static inline long weft__registers_guess_call(const ucontext_t *context, int n)
{
    const uint8_t *at = (const uint8_t *)weft__registers_pc(context) - 2;

    for (int back = 5; back <= WEFT__CODE_BEFORE - 2; back++)
        if (at[-back] == 0xb8 && at[3 - back] == 0 && at[4 - back] == 0 && n-- == 0)
            return at[1 - back] | at[2 - back] << 8;
    return -1;
}

/* Go on with the call, from the beginning. */
static inline void weft__registers_call_again(ucontext_t *context, long number)
{
    context->uc_mcontext.gregs[REG_RAX] = number;
    context->uc_mcontext.gregs[REG_RIP] -= 2;
}

/* As when a thread begins. */
static inline void weft__registers_reset_float(void)
{
    uint32_t control = 0x1f80;

    __asm__ volatile("fninit\n\tldmxcsr %0" : : "m"(control));
}

/* The n-th register's name and value; NULL after the last. */
static inline const char *weft__registers_at(const ucontext_t *context, unsigned n, uint64_t *value)
{
    static const struct {
        char name[7];
        uint8_t index;
    } all[] = {
        {"rax", REG_RAX}, {"rbx", REG_RBX}, {"rcx", REG_RCX}, {"rdx", REG_RDX}, {"rsi", REG_RSI},
        {"rdi", REG_RDI}, {"rbp", REG_RBP}, {"rsp", REG_RSP}, {"r8", REG_R8},   {"r9", REG_R9},
        {"r10", REG_R10}, {"r11", REG_R11}, {"r12", REG_R12}, {"r13", REG_R13}, {"r14", REG_R14},
        {"r15", REG_R15}, {"rip", REG_RIP}, {"flags", REG_EFL},
    };

    if (n >= sizeof all / sizeof *all)
        return NULL;
    *value = (uint64_t)context->uc_mcontext.gregs[all[n].index];
    return all[n].name;
}

#elif defined(__aarch64__)

#define WEFT__RED_ZONE 0

static inline uintptr_t weft__registers_pc(const ucontext_t *context)
{
    return (uintptr_t)context->uc_mcontext.pc;
}

static inline uintptr_t weft__registers_sp(const ucontext_t *context)
{
    return (uintptr_t)context->uc_mcontext.sp;
}

static inline void weft__registers_call(ucontext_t *context, void (*fn)(void *), void *arg, uintptr_t sp)
{
    context->uc_mcontext.regs[30] = context->uc_mcontext.pc;
    context->uc_mcontext.regs[0] = (uintptr_t)arg;
    context->uc_mcontext.sp = sp & ~(uintptr_t)15;
    context->uc_mcontext.pc = (uintptr_t)fn;
}

static inline uintptr_t weft__registers_return(const ucontext_t *context)
{
    return (uintptr_t)context->uc_mcontext.regs[30];
}

static inline bool weft__registers_is_call(uintptr_t back)
{
    uint32_t word = ((const uint32_t *)back)[-1];

    return (word & 0xfc000000) == 0x94000000 || (word & 0xfffffc1f) == 0xd63f0000; /* bl, blr */
}

static inline void weft__registers_pop_call(ucontext_t *context)
{
    context->uc_mcontext.pc = context->uc_mcontext.regs[30];
}

static inline void weft__registers_restore(ucontext_t *context, uintptr_t pc, uintptr_t sp)
{
    context->uc_mcontext.pc = pc;
    context->uc_mcontext.sp = sp;
}

#define WEFT__FIRST_KEPT 1
#define WEFT__CODE_BEFORE 4

static inline bool weft__registers_is_cut_short(const ucontext_t *context)
{
    return (int64_t)context->uc_mcontext.regs[0] == -EINTR &&
           ((const uint32_t *)weft__registers_pc(context))[-1] == 0xd4000001; /* svc #0 */
}

static inline uint64_t weft__registers_argument(const ucontext_t *context, int n)
{
    return context->uc_mcontext.regs[n];
}

static inline void weft__registers_set_argument(ucontext_t *context, int n, uint64_t value)
{
    context->uc_mcontext.regs[n] = value;
}

static inline long weft__registers_guess_call(const ucontext_t *context, int n)
{
    return n == 0 ? (long)context->uc_mcontext.regs[8] : -1;
}

static inline void weft__registers_call_again(ucontext_t *context, long number)
{
    context->uc_mcontext.regs[8] = (uint64_t)number;
    context->uc_mcontext.pc -= 4;
}

static inline void weft__registers_reset_float(void)
{
    __asm__ volatile("msr fpcr, xzr\n\tmsr fpsr, xzr");
}

static inline const char *weft__registers_at(const ucontext_t *context, unsigned n, uint64_t *value)
{
    static const char names[][4] = {
        "x0",  "x1",  "x2",  "x3",  "x4",  "x5",  "x6",  "x7",  "x8",  "x9",  "x10",
        "x11", "x12", "x13", "x14", "x15", "x16", "x17", "x18", "x19", "x20", "x21",
        "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "x30", "sp",  "pc",
    };

    if (n >= sizeof names / sizeof *names)
        return NULL;
    *value = n < 31 ? context->uc_mcontext.regs[n]
                    : n == 31 ? context->uc_mcontext.sp : context->uc_mcontext.pc;
    return names[n];
}

#endif

#endif
