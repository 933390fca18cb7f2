/*
 * base_internal.h - what the files of lib/base share among themselves.
 */
#ifndef SEKI_BASE_INTERNAL_H
#define SEKI_BASE_INTERNAL_H

#include "base/base.h"

#include <sys/types.h>

/*
 * open with O_CLOEXEC that never gives descriptor 0, 1 or 2: a program started with one of those
 * closed must not take a file for its standard output. -1 and errno on failure.
 */
int seki_open(const char *path, int flags, mode_t mode);

/* Writes all of it, through EINTR and a descriptor that does not block. -1 and errno on failure. */
int seki_write_all(int descriptor, const char *bytes, size_t count);

/* read that goes on after EINTR and waits where the descriptor does not block. */
ssize_t seki_read_some(int descriptor, char *bytes, size_t count);

/* Whether `path` still names the file that is open as `descriptor`. */
bool seki_names_file(const char *path, int descriptor);

/*
 * The path that `path` stands for when it is a symbolic link, else a copy of it: replacing the
 * link by a file would cut it off from its target. Freed by the caller.
 */
char *seki_resolve_link(const char *path, struct seki_error *error);

/* Whether standard error is a terminal that understands cursor movement. */
bool seki_stderr_is_terminal(void);

/*
 * Copies text to out (size bytes, cut where it does not fit, NUL-terminated) with control
 * characters and bytes that are not UTF-8 as \xNN. Returns the length.
 */
size_t seki_escape_controls(char *out, size_t size, const char *text);

#endif
