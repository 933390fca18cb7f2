/*
 * calls.h - what the stand-in has been asked for, for tests that count it.
 */
#ifndef STAND_IN_CALLS_H
#define STAND_IN_CALLS_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Since the process began. */
struct stand_in_calls {
    long device_memory; /* taken or given back, */
    long locked_memory; /* the host's too */
    long host_memory;   /* malloc and its kin, but for the stand-in's own; from the first call of
                         * stand_in_count on, where the address sanitizer is */
    long waits;         /* of the host: for the device, for a stream, for an event yet to pass */
    long copies_back;   /* to the host */
    long graphs_made;
    long launches; /* of kernels and of graphs, by the host */
    long kernels;  /* that the device got to run, those of a graph each time */
};

/* So far. */
__attribute__((visibility("default"))) struct stand_in_calls stand_in_count(void);

/* false: from now on kernels are counted and not run. */
__attribute__((visibility("default"))) void stand_in_compute(bool compute);

#ifdef __cplusplus
}
#endif

#endif
