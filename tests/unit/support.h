/*
 * support.h - what several unit tests share. Include it before <cmocka.h>.
 */
#ifndef SEKI_TEST_SUPPORT_H
#define SEKI_TEST_SUPPORT_H

#include <stddef.h>

/* A new empty folder under TMPDIR or /tmp. Group or test setup and teardown of cmocka: *state is
 * its path. */
int support_make_folder(void **state);
int support_remove_folder(void **state);

/* "FOLDER/name" in a static buffer; four of them last at a time. */
char *support_path(void **state, const char *name);

/* Writes a file, and reads one (NUL-terminated; freed by the caller; NULL where there is none). */
void support_write(const char *path, const void *bytes, size_t count);
char *support_read(const char *path, size_t *count);

/* How many entries a folder has. */
int support_count_entries(const char *folder);

#endif
