/*
 * machine_options.h - the options of every program that computes networks: what computes, how
 * exactly, on how many threads.
 */
#ifndef SEKI_TOOLS_MACHINE_OPTIONS_H
#define SEKI_TOOLS_MACHINE_OPTIONS_H

#include "base/base.h"

/* o->backend, o->precision: const char *, "auto" before; o->threads: long. */
#define MACHINE_OPTIONS(o)                                                                         \
    {"backend",                                                                                    \
     'B',                                                                                          \
     SEKI_OPTION_CHOICE,                                                                           \
     &(o)->backend,                                                                                \
     "NAME",                                                                                       \
     "what computes, or list: what there is",                                                      \
     "auto|cuda|cuda-own|cpu|cpu-v4|cpu-v3|cpu-base|ref|list",                                     \
     0,                                                                                            \
     0,                                                                                            \
     NULL},                                                                                        \
        {"precision",                                                                              \
         'p',                                                                                      \
         SEKI_OPTION_CHOICE,                                                                       \
         &(o)->precision,                                                                          \
         "NAME",                                                                                   \
         "what activations are kept and multiplied in",                                            \
         "auto|fp32|tf32|bf16",                                                                    \
         0,                                                                                        \
         0,                                                                                        \
         NULL},                                                                                    \
    {                                                                                              \
        "threads", 't', SEKI_OPTION_INTEGER, &(o)->threads, "N", "threads, 0 for all cores", NULL, \
            0, 1024, NULL                                                                          \
    }

/* Whether --backend is `list`; then what there is, and why the rest is not, is printed. */
bool machine_listed(const char *backend);

#endif
