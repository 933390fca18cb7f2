/*
 * log.c - messages to a person, on standard error.
 */
#include "base/base_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool seki_stderr_is_terminal(void)
{
    const char *terminal = getenv("TERM");

    return isatty(STDERR_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
}

/* Marks that reorder or break the line on a terminal: U+2028, U+2029, U+202A to U+202E, U+2066 to
 * U+2069. */
static bool moves_text(const unsigned char *p)
{
    return p[0] == 0xe2 && ((p[1] == 0x80 && p[2] >= 0xa8 && p[2] <= 0xae) ||
                            (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9));
}

/* The length of the printable character at p: 0 for a control character (C0, DEL, C1), for one that
 * moves others, and for what is not UTF-8 (RFC 3629). */
static size_t printable_length(const unsigned char *p)
{
    size_t length = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;

    if (*p < 0x80)
        return *p >= 0x20 && *p != 0x7f;
    if (*p < 0xc2 || *p > 0xf4)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xc2 && p[1] < 0xa0) || (p[0] == 0xe0 && p[1] < 0xa0) ||
        (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f) || moves_text(p))
        return 0;
    return length;
}

size_t seki_escape_controls(char *out, size_t size, const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t used = 0;

    while (*p) {
        size_t length = printable_length(p);

        if (used + (length ? length : 4) >= size)
            break;
        if (length == 0) {
            used += (size_t)snprintf(out + used, 5, "\\x%02X", *p++);
            continue;
        }
        memcpy(out + used, p, length);
        used += length;
        p += length;
    }
    out[used] = '\0';
    return used;
}

/* One write for a message, so that those of several processes do not mix. */
static void SEKI_PRINTF(3, 0)
    say(const struct seki_log *log, const char *prefix, const char *format, va_list arguments)
{
    char text[2048], escaped[2 * sizeof text], line[sizeof escaped + 256];
    /* The progress line, if there is one, leaves the cursor at its start: erase it. */
    const char *erase = seki_stderr_is_terminal() ? "\r\033[K" : "";
    int length;

    vsnprintf(text, sizeof text, format, arguments);
    seki_escape_controls(escaped, sizeof escaped, text);
    length = snprintf(line, sizeof line, "%s%s: %s%s\n", erase, log->program, prefix, escaped);
    if (length >= (int)sizeof line)
        length = (int)sizeof line - 1;
    (void)seki_write_all(STDERR_FILENO, line, (size_t)length);
}

void seki_log_error(const struct seki_log *log, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(log, "", format, arguments);
    va_end(arguments);
}

void seki_log_warning(const struct seki_log *log, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(log, "warning: ", format, arguments);
    va_end(arguments);
}

void seki_log_note(const struct seki_log *log, const char *format, ...)
{
    va_list arguments;

    if (log->quiet)
        return;
    va_start(arguments, format);
    say(log, "", format, arguments);
    va_end(arguments);
}

int seki_log_usage(const struct seki_log *log, const struct seki_error *error)
{
    seki_log_error(log, "%s", error->message);
    if (error->kind == SEKI_BAD_USE)
        seki_log_error(log, "try '%s --help'", log->program);
    return seki_error_status(error);
}
