/* fuzz_recording.c - any bytes as a recording: refused by line, or answers that are whole. */
#define _GNU_SOURCE /* memfd_create, of Linux: a file that is on no disk */
#include "llm/llm.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void ask(struct seki_recording *recording)
{
    static const char *const requests[] = {"{\"model\":\"m\"}", "{}"};

    for (size_t i = 0; i < 2; i++) {
        const struct seki_place place = {.seed = 1, .candidate = i, .attempt = 1};
        struct seki_response response;

        seki_recording_answer(recording, &place, requests[i], &response);
        require((unsigned)response.cause < SEKI_CAUSE_COUNT);
        require(response.seconds >= 0);
        require(response.body.data[response.body.length] == '\0');
        require(memchr(response.detail, '\0', sizeof response.detail) != NULL);
        seki_response_free(&response);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    int file = memfd_create("recording", MFD_CLOEXEC);
    struct seki_recording *recording;
    struct seki_error error = {0};
    char path[64];

    require(file >= 0 && write(file, bytes, length) == (ssize_t)length);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    recording = seki_recording_open(path, &error);
    if (recording != NULL)
        ask(recording);
    else
        require(error.message[0] != '\0');
    seki_recording_free(recording);
    close(file);
    return 0;
}
