/* key.c - the API key: from a private file, checked, wiped from memory. */
#include "llm/llm.h"
#include "llm/llm_internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void seki_wipe(char *text, size_t length)
{
    volatile char *byte = text;

    while (length-- > 0)
        *byte++ = 0;
}

/* Visible ASCII only: a line end in it would let it write headers of its own. */
int seki_key_check(const char *key, struct seki_error *error)
{
    if (*key == '\0')
        return seki_fail(error, SEKI_BAD_USE, "key", "the API key is empty");
    for (; *key; key++)
        if (*key <= ' ' || *key > '~')
            return seki_fail(error, SEKI_BAD_USE, "key",
                             "the API key holds a space, a control character or one outside ASCII");
    return 0;
}

int seki_key_read(const char *path, struct seki_buffer *key, struct seki_error *error)
{
    struct stat status;
    char bytes[512];
    ssize_t got;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    seki_buffer_init(key, SEKI_MAX_KEY_FILE);
    if (file < 0 || fstat(file, &status) < 0) {
        seki_fail_errno(error, "key", "%s: cannot read the key file", path);
        goto wrong;
    }
    if (!S_ISREG(status.st_mode) || (status.st_mode & 077) != 0) {
        seki_fail(
            error, SEKI_BAD_USE, "key",
            "%s: a key file must be a plain file that only its owner can read, but its mode is "
            "%04o; run chmod 600 on it",
            path, (unsigned)(status.st_mode & 07777));
        goto wrong;
    }
    while ((got = read(file, bytes, sizeof bytes)) > 0)
        seki_buffer_append(key, bytes, (size_t)got);
    seki_wipe(bytes, sizeof bytes);
    if (got < 0 || key->failed) {
        seki_fail(error, SEKI_BAD_USE, "key", "%s: cannot be read, or is too large for a key",
                  path);
        goto wrong;
    }
    while (key->length > 0 && strchr(" \t\r\n", key->data[key->length - 1]) != NULL)
        key->data[--key->length] = '\0';
    if (key->length == 0 || strlen(key->data) != key->length ||
        seki_key_check(key->data, error) < 0) {
        seki_fail(error, SEKI_BAD_USE, "key", "%s: expected one line with the key alone", path);
        goto wrong;
    }
    close(file);
    return 0;
wrong:
    if (file >= 0)
        close(file);
    seki_key_free(key);
    if (error != NULL)
        error->kind = SEKI_BAD_USE;
    return -1;
}

void seki_key_free(struct seki_buffer *key)
{
    if (key->data != NULL)
        seki_wipe(key->data, key->capacity);
    seki_buffer_free(key);
}
