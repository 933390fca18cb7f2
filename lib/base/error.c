/*
 * error.c - filling in a struct seki_error; the end of a program that met a mistake of its own.
 */
#include "base/base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int seki_fail(struct seki_error *error, enum seki_error_kind kind, const char *code,
              const char *format, ...)
{
    va_list arguments;

    if (!error)
        return -1;
    error->kind = kind;
    error->code = code;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return -1;
}

int seki_fail_errno(struct seki_error *error, const char *code, const char *format, ...)
{
    int number = errno;
    char reason[128];
    va_list arguments;
    size_t used;

    if (!error)
        return -1;
    error->kind = SEKI_NO_RESOURCE;
    error->code = code;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    if (strerror_r(number, reason, sizeof reason) != 0)
        snprintf(reason, sizeof reason, "error %d", number);
    used = strlen(error->message);
    snprintf(error->message + used, sizeof error->message - used, ": %s", reason);
    return -1;
}

int seki_fail_within(struct seki_error *error, const char *format, ...)
{
    char inner[sizeof error->message];
    va_list arguments;
    size_t used;

    if (!error)
        return -1;
    memcpy(inner, error->message, sizeof inner);
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    used = strlen(error->message);
    snprintf(error->message + used, sizeof error->message - used, ": %s", inner);
    return -1;
}

int seki_error_status(const struct seki_error *error)
{
    switch (error->kind) {
    case SEKI_BAD_INPUT:
        return 1;
    case SEKI_BAD_USE:
        return 2;
    case SEKI_NO_RESOURCE:
        return 3;
    }
    SEKI_BUG("an error without a kind");
}

void seki_bug(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: this is a mistake of seki's own, please report it: %s\n", file, line,
            what);
    abort();
}
