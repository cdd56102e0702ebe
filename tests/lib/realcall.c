/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preloaded into tests under valgrind, whose 3.19 answers ENOSYS to openat2: such calls go to the
 * kernel past it.  They write to no memory, so it misses nothing.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <valgrind/valgrind.h>

struct call {
        long number, args[6];
};

/* It runs on the real processor, where the program's thread-local memory is not to be had: no
 * errno, no canary on the stack. */
__attribute__((noinline, no_stack_protector)) static long past(unsigned tid,
                                                               const struct call *call)
{
        long result = -ENOSYS;

        (void)tid;
#if defined(__x86_64__)
        register long r10 __asm__("r10") = call->args[3];

        __asm__ volatile("syscall"
                         : "=a"(result)
                         : "a"(call->number), "D"(call->args[0]), "S"(call->args[1]),
                           "d"(call->args[2]), "r"(r10)
                         : "rcx", "r11", "memory");
#endif
        return result;
}

long syscall(long number, ...)
{
        static long (*real)(long number, ...);
        struct call call = { .number = number };
        long result;
        va_list ap;

        va_start(ap, number);
        for (int i = 0; i < 6; i++)
                call.args[i] = va_arg(ap, long);
        va_end(ap);
        if (RUNNING_ON_VALGRIND && (number == SYS_openat2 || number == SYS_pidfd_open)) {
                result = (long)VALGRIND_NON_SIMD_CALL1(past, &call);
                if (result >= 0)
                        return result;
                errno = (int)-result;
                return -1;
        }
        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "syscall");
        return real(number, call.args[0], call.args[1], call.args[2], call.args[3], call.args[4],
                    call.args[5]);
}
