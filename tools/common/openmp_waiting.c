/*
 * openmp_waiting.c - how long a thread of OpenMP spins before it sleeps.
 *
 * libgomp spins for milliseconds while it waits for the other threads. On a machine where something
 * else runs, that is the time which the awaited thread lacks: with one more busy process on two
 * cores, training fell to a tenth of its speed. A short spin costs nothing measurable on an idle
 * machine. libgomp reads its environment when it is loaded, before any constructor of the program;
 * only .preinit_array is earlier. A value of the user's is left alone.
 */
#include <stdlib.h>

#include "openmp_waiting.h"

static void wait_briefly(int argc, char **argv, char **environment)
{
    (void)argc;
    (void)argv;
    (void)environment;
    if (!getenv("OMP_WAIT_POLICY"))
        setenv("GOMP_SPINCOUNT", "1000", 0);
}

/* The sanitizers' own beginning stands there too, and must be the first. */
#if !defined(__SANITIZE_ADDRESS__)
__attribute__((section(".preinit_array"),
               used)) static void (*const before_libgomp)(int, char **, char **) = wait_briefly;
#endif

void openmp_waits_briefly(void)
{
    (void)wait_briefly;
}
