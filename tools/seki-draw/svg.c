/*
 * svg.c - lays a digraph out with graphviz's `dot`, run without a shell: the DOT goes to its
 * standard input, the SVG comes from its standard output.
 */
#include "draw.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define MAX_SVG ((size_t)8 << 20)

struct layout {
    int input[2], output[2]; /* pipes: [0] is read, [1] is written */
    pid_t child;
};

static void close_end(int *descriptor)
{
    if (*descriptor >= 0)
        close(*descriptor);
    *descriptor = -1;
}

/* Starts dot between the two pipes. Returns 0 or an errno value. */
static int start(struct layout *layout)
{
    char *const arguments[] = {"dot", "-Tsvg", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    int code;

    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE); /* ignored here, but not there */
    code = posix_spawn_file_actions_init(&actions);
    if (code != 0)
        return code;
    code = posix_spawnattr_init(&attributes);
    if (code == 0) {
        posix_spawnattr_setsigdefault(&attributes, &defaults);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
        code = posix_spawn_file_actions_adddup2(&actions, layout->input[0], STDIN_FILENO);
        if (code == 0)
            code = posix_spawn_file_actions_adddup2(&actions, layout->output[1], STDOUT_FILENO);
        for (int i = 0; code == 0 && i < 2; i++) {
            code = posix_spawn_file_actions_addclose(&actions, layout->input[i]);
            if (code == 0)
                code = posix_spawn_file_actions_addclose(&actions, layout->output[i]);
        }
        if (code == 0)
            code = posix_spawnp(&layout->child, "dot", &actions, &attributes, arguments, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

/* dot reads all of its input before it writes, so that writing all first cannot block for ever. A
 * dot that ends early shows in its exit status. */
static void send(int descriptor, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = write(descriptor, bytes, length);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return;
        bytes += sent;
        length -= (size_t)sent;
    }
}

static int receive(int descriptor, struct seki_buffer *out)
{
    char chunk[16384];

    for (;;) {
        ssize_t got = read(descriptor, chunk, sizeof chunk);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -1 : 0;
        if (seki_buffer_append(out, chunk, (size_t)got) < 0)
            return -1;
    }
}

static int finish(const struct layout *layout, struct seki_error *error)
{
    int status;

    while (waitpid(layout->child, &status, 0) < 0) {
        if (errno != EINTR)
            return seki_fail_errno(error, "dot", "dot");
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFEXITED(status) &&
        WEXITSTATUS(status) == 127) /* where the C library execs in the child */
        return seki_fail(error, SEKI_NO_RESOURCE, "dot",
                         "dot is not found; install graphviz, or use --format dot");
    return seki_fail(error, SEKI_NO_RESOURCE, "dot", "dot ended with %s %d",
                     WIFEXITED(status) ? "status" : "signal",
                     WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

/* Leaves out what stands before <svg: the XML declaration and a document type that refers to
 * another host. */
static int keep_element(const struct seki_buffer *svg, struct seki_buffer *out,
                        struct seki_error *error)
{
    const char *begin = strstr(svg->data, "<svg");
    const char *end = begin != NULL ? strstr(begin, "</svg>") : NULL;

    if (end == NULL)
        return seki_fail(error, SEKI_NO_RESOURCE, "dot", "what dot wrote is no SVG");
    if (seki_buffer_append(out, begin, (size_t)(end - begin) + strlen("</svg>")) < 0)
        return seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
    return 0;
}

static int exchange(struct layout *layout, const char *dot, size_t length, struct seki_buffer *svg,
                    struct seki_error *error)
{
    int code = start(layout), received;

    if (code == ENOENT)
        return seki_fail(error, SEKI_NO_RESOURCE, "dot",
                         "dot is not found; install graphviz, or use --format dot");
    if (code != 0) {
        errno = code;
        return seki_fail_errno(error, "dot", "dot cannot be started");
    }
    close_end(&layout->input[0]);
    close_end(&layout->output[1]);
    send(layout->input[1], dot, length);
    close_end(&layout->input[1]);
    received = receive(layout->output[0], svg);
    close_end(&layout->output[0]);
    if (finish(layout, error) < 0)
        return -1;
    if (received < 0)
        return seki_fail(error, SEKI_NO_RESOURCE, "dot", "what dot wrote cannot be read");
    return 0;
}

int draw_svg(const char *dot, size_t length, struct seki_buffer *out, struct seki_error *error)
{
    struct layout layout = {{-1, -1}, {-1, -1}, 0};
    struct seki_buffer svg;
    int result;

    seki_buffer_init(&svg, MAX_SVG);
    if (pipe(layout.input) < 0 || pipe(layout.output) < 0)
        result = seki_fail_errno(error, "dot", "a pipe to dot");
    else
        result = exchange(&layout, dot, length, &svg, error);
    for (int i = 0; i < 2; i++) {
        close_end(&layout.input[i]);
        close_end(&layout.output[i]);
    }
    if (result == 0)
        result = keep_element(&svg, out, error);
    seki_buffer_free(&svg);
    return result;
}
