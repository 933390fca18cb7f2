/*
 * machine_options.h - the options of every program that computes networks: what computes, how
 * exactly, on how many threads.
 */
#ifndef SEKI_TOOLS_MACHINE_OPTIONS_H
#define SEKI_TOOLS_MACHINE_OPTIONS_H

#include "base/base.h"

/* o->backend, o->precision: const char *, "auto" and "fp32" before; o->threads: long. */
#define MACHINE_OPTIONS(o)                                                                         \
    {                                                                                              \
        "backend",                                                                                 \
        'B',                                                                                       \
        SEKI_OPTION_CHOICE,                                                                        \
        &(o)->backend,                                                                             \
        "NAME",                                                                                    \
        "what computes",                                                                           \
        "auto|ref|cpu",                                                                            \
        0,                                                                                         \
        0,                                                                                         \
        NULL},                                                                                     \
        {"precision",                                                                              \
         'p',                                                                                      \
         SEKI_OPTION_CHOICE,                                                                       \
         &(o)->precision,                                                                          \
         "NAME",                                                                                   \
         "what activations are kept and multiplied in",                                            \
         "fp32|bf16",                                                                              \
         0,                                                                                        \
         0,                                                                                        \
         NULL},                                                                                    \
    {                                                                                              \
        "threads", 't', SEKI_OPTION_INTEGER, &(o)->threads, "N", "threads, 0 for all cores", NULL, \
            0, 1024, NULL                                                                          \
    }

#endif
