/*
 * progress.c - how far a long job is: one line redrawn on a terminal, a plain line every few
 * seconds elsewhere.
 */
#include "base/base_internal.h"

#include <string.h>
#include <sys/ioctl.h> /* not in POSIX; for the terminal's width */
#include <unistd.h>

#define REDRAW_SECONDS 0.2
#define LINE_SECONDS   5.0

static void format_duration(char *out, size_t size, double seconds)
{
    long whole;

    if (!(seconds < 1e8)) /* over three years: no estimate */
        seconds = 1e8;
    whole = (long)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(out, size, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(out, size, "%ld:%02ld", whole / 60, whole % 60);
}

/* "supernet  epoch 3/50  1280/25000 pictures  612/s  2:31 left" */
static void format_line(const struct seki_progress *p, double now, bool ended, char *out,
                        size_t size)
{
    double elapsed = now - p->started, rate = elapsed > 0 ? p->done / elapsed : 0;
    char count[64], speed[32] = "", time[48] = "", duration[32];

    if (p->total > 0)
        snprintf(count, sizeof count, "%.0f/%.0f", p->done, p->total);
    else
        snprintf(count, sizeof count, "%.0f", p->done);
    if (rate > 0)
        snprintf(speed, sizeof speed, rate < 100 ? "  %.3g/s" : "  %.0f/s", rate);
    if (ended) {
        format_duration(duration, sizeof duration, elapsed);
        snprintf(time, sizeof time, "  in %s", duration);
    } else if (p->total > p->done && rate > 0) {
        format_duration(duration, sizeof duration, (p->total - p->done) / rate);
        snprintf(time, sizeof time, "  %s left", duration);
    }
    snprintf(out, size, "%s  %s %s%s%s", p->label, count, p->unit, speed, time);
}

static size_t terminal_width(void)
{
    struct winsize window;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1)
        return window.ws_col;
    return 80;
}

/* Leaves the cursor at the line's start, where the next message erases the line. */
static void draw(struct seki_progress *p, double now)
{
    char text[256], escaped[512], line[sizeof escaped + 16];
    size_t length, width = terminal_width() - 1;

    format_line(p, now, false, text, sizeof text);
    length = seki_escape_controls(escaped, sizeof escaped, text);
    if (length > width) {
        while (width > 0 && ((unsigned char)escaped[width] & 0xc0) == 0x80)
            width--; /* not within a character */
        escaped[width] = '\0';
    }
    snprintf(line, sizeof line, "\r\033[K%s\r", escaped);
    (void)seki_write_all(STDERR_FILENO, line, strlen(line));
    p->drawn = true;
}

void seki_progress_start(struct seki_progress *progress, const struct seki_log *log,
                         const char *label, const char *unit, double total)
{
    *progress = (struct seki_progress){.log = log, .unit = unit, .total = total};
    snprintf(progress->label, sizeof progress->label, "%s", label);
    progress->started = progress->shown = seki_clock();
    progress->terminal = seki_stderr_is_terminal();
}

void seki_progress_set(struct seki_progress *progress, double done)
{
    char text[256];
    double now;

    progress->done = done;
    if (progress->log->quiet)
        return;
    now = seki_clock();
    if (now - progress->shown < (progress->terminal ? REDRAW_SECONDS : LINE_SECONDS))
        return;
    progress->shown = now;
    if (progress->terminal) {
        draw(progress, now);
    } else {
        format_line(progress, now, false, text, sizeof text);
        seki_log_note(progress->log, "%s", text);
    }
}

void seki_progress_end(struct seki_progress *progress)
{
    static const char erase[] = "\r\033[K";
    char text[256];

    if (progress->log->quiet)
        return;
    if (!progress->terminal && seki_clock() - progress->started >= LINE_SECONDS) {
        format_line(progress, seki_clock(), true, text, sizeof text);
        seki_log_note(progress->log, "%s", text);
    } else if (progress->drawn) {
        (void)seki_write_all(STDERR_FILENO, erase, sizeof erase - 1);
        progress->drawn = false;
    }
}
