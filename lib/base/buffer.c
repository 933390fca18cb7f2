/*
 * buffer.c - a string that grows up to a limit.
 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

/* An empty buffer owns no memory (capacity 0); its data is the empty string, never written to. */
void seki_buffer_init(struct seki_buffer *buffer, size_t limit)
{
    *buffer = (struct seki_buffer){.data = "", .limit = limit};
}

static int reserve(struct seki_buffer *buffer, size_t extra)
{
    size_t needed, capacity = buffer->capacity;
    char *data;

    if (extra > buffer->limit || buffer->length > buffer->limit - extra ||
        buffer->length + extra > SIZE_MAX / 2 - 1)
        return -1;
    needed = buffer->length + extra + 1;
    if (needed <= capacity)
        return 0;
    if (capacity < 64)
        capacity = 64;
    while (capacity < needed)
        capacity *= 2;
    if (capacity - 1 > buffer->limit)
        capacity = buffer->limit + 1;
    data = realloc(buffer->capacity ? buffer->data : NULL, capacity);
    if (!data)
        return -1;
    data[buffer->length] = '\0';
    buffer->data = data;
    buffer->capacity = capacity;
    return 0;
}

int seki_buffer_append(struct seki_buffer *buffer, const void *bytes, size_t count)
{
    if (reserve(buffer, count) < 0) {
        buffer->failed = true;
        return -1;
    }
    if (count)
        memcpy(buffer->data + buffer->length, bytes, count);
    buffer->length += count;
    buffer->data[buffer->length] = '\0';
    return 0;
}

int seki_buffer_puts(struct seki_buffer *buffer, const char *string)
{
    return seki_buffer_append(buffer, string, strlen(string));
}

int seki_buffer_printf(struct seki_buffer *buffer, const char *format, ...)
{
    va_list arguments;
    int count;

    va_start(arguments, format);
    count = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (count < 0 || reserve(buffer, (size_t)count) < 0) {
        buffer->failed = true;
        return -1;
    }
    va_start(arguments, format);
    vsnprintf(buffer->data + buffer->length, (size_t)count + 1, format, arguments);
    va_end(arguments);
    buffer->length += (size_t)count;
    return 0;
}

void seki_buffer_clear(struct seki_buffer *buffer)
{
    buffer->length = 0;
    buffer->failed = false;
    if (buffer->capacity)
        buffer->data[0] = '\0';
}

void seki_buffer_free(struct seki_buffer *buffer)
{
    if (buffer->capacity)
        free(buffer->data);
    seki_buffer_init(buffer, buffer->limit);
}
