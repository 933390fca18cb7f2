/*
 * options_internal.h - the pieces of the command line's parser.
 */
#ifndef SEKI_OPTIONS_INTERNAL_H
#define SEKI_OPTIONS_INTERNAL_H

#include "base/base.h"

/* Whether row ends the table. */
static inline bool seki_option_ends(const struct seki_option *row)
{
    return !row->name && !row->help;
}

/* Converts text for an option that takes a value; stores it where `apply`. */
int seki_option_convert(const struct seki_option *option, const char *text, bool apply,
                        struct seki_error *error);

/* The name in the table (or help, version) nearest to `name` by edit distance, NULL where none is
 * near. */
const char *seki_option_nearest(const struct seki_program *program, const char *name);

void seki_options_print_help(const struct seki_program *program, FILE *out);
void seki_options_print_version(const struct seki_program *program, FILE *out);
void seki_options_dump(const struct seki_program *program, FILE *out);

#endif
