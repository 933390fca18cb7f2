/*
 * recording.c - exchanges with an endpoint, kept whole, and answers from them.
 *
 * A line is longer than a record may be (a reply alone can have 8 MiB), and a replay needs the
 * place of each in the file; so lines are read here by getline, not as records are.
 */
#include "llm/llm.h"
#include "llm/llm_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_EXCHANGE                                                                               \
    (8 * SEKI_MAX_REPLY) /* bytes of a line; JSON escapes a control character in 6 */

struct entry {
    uint64_t key;
    long offset; /* of the line in the file */
};

struct seki_recording {
    char *path;
    struct seki_journal *journal; /* to record */
    FILE *file;                   /* to replay */
    struct entry *entries;        /* by key, each key once */
    size_t count, capacity;
    char *line;
    size_t line_size;
};

/* What a replay finds an exchange by; that the text is equal is checked where it is found. */
static uint64_t key_of(const struct seki_place *place, uint64_t text)
{
    char words[96];

    snprintf(words, sizeof words, "%llu %llu %d %016llx", (unsigned long long)place->seed,
             (unsigned long long)place->candidate, place->attempt, (unsigned long long)text);
    return seki_hash_string(words);
}

/* A request as a replay compares it, to be freed: without its bound on the reply, which a budget
 * sets, and which may be another when a run goes on. NULL: no request, or no memory. */
static char *comparable(const json_t *request)
{
    json_t *copy = json_copy((json_t *)request);
    char *text;

    json_object_del(copy, "max_tokens");
    json_object_del(copy, "max_completion_tokens");
    text = copy == NULL ? NULL : json_dumps(copy, JSON_COMPACT);
    json_decref(copy);
    return text;
}

static struct seki_recording *new_recording(const char *path, struct seki_error *error)
{
    struct seki_recording *recording = seki_allocate(1, sizeof *recording, error);

    if (recording == NULL)
        return NULL;
    recording->path = strdup(path);
    if (recording->path != NULL)
        return recording;
    free(recording);
    seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
    return NULL;
}

const char *seki_recording_path(const struct seki_recording *recording)
{
    return recording->path;
}

void seki_recording_free(struct seki_recording *recording)
{
    if (recording == NULL)
        return;
    seki_journal_close(recording->journal);
    if (recording->file != NULL)
        fclose(recording->file);
    free(recording->entries);
    free(recording->line);
    free(recording->path);
    free(recording);
}

/* ---- Recording ------------------------------------------------------------------------------ */

struct seki_recording *seki_recording_create(const char *path, struct seki_error *error)
{
    struct seki_recording *recording = new_recording(path, error);

    if (recording == NULL)
        return NULL;
    recording->journal = seki_journal_open(path, error);
    if (recording->journal != NULL)
        return recording;
    seki_recording_free(recording);
    return NULL;
}

/* Sets `reply`; of one that is no UTF-8 `reply_latin1`, each byte as the character of its number.
 */
static int keep_body(json_t *exchange, const struct seki_buffer *body)
{
    json_t *kept = json_stringn(body->data, body->length);
    struct seki_buffer text;
    int result;

    if (kept != NULL)
        return json_object_set_new(exchange, "reply", kept);
    seki_buffer_init(&text, 2 * SEKI_MAX_REPLY);
    for (size_t i = 0; i < body->length; i++) {
        unsigned char byte = (unsigned char)body->data[i];
        const char two[] = {(char)(0xC0 | byte >> 6), (char)(0x80 | (byte & 0x3F))};

        if (byte < 0x80)
            seki_buffer_append(&text, &body->data[i], 1);
        else
            seki_buffer_append(&text, two, 2);
    }
    result = text.failed ? -1
                         : json_object_set_new(exchange, "reply_latin1",
                                               json_stringn(text.data, text.length));
    seki_buffer_free(&text);
    return result;
}

int seki_recording_append(struct seki_recording *recording, const struct seki_place *place,
                          const char *request, const struct seki_response *response,
                          struct seki_error *error)
{
    char hash[17], seed[24]; /* a seed has 64 bits, a JSON integer of jansson's 63 */
    char *line = NULL, *text;
    json_t *asked = json_loads(request, 0, NULL), *exchange;
    int result = -1;

    text = comparable(asked);
    snprintf(hash, sizeof hash, "%016llx",
             (unsigned long long)seki_hash_string(text != NULL ? text : ""));
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)place->seed);
    exchange =
        json_pack("{s:s, s:s, s:I, s:i, s:s, s:I, s:f, s:f, s:s, s:o}", "request_hash", hash,
                  "seed", seed, "candidate", (json_int_t)place->candidate, "attempt",
                  place->attempt, "cause", seki_cause_code(response->cause), "status",
                  (json_int_t)response->status, "retry_after", response->retry_after, "seconds",
                  response->seconds, "detail", response->detail, "request", asked);
    if (exchange != NULL && keep_body(exchange, &response->body) == 0)
        line = json_dumps(exchange, JSON_COMPACT);
    if (line != NULL)
        result = seki_journal_line(recording->journal, line, strlen(line), error);
    else
        seki_fail(error, SEKI_NO_RESOURCE, "memory", "%s: an exchange cannot be kept",
                  recording->path);
    free(text);
    free(line);
    json_decref(exchange);
    return result;
}

/* ---- Replaying ------------------------------------------------------------------------------ */

static enum seki_cause cause_of(const char *code)
{
    for (int cause = 0; cause < SEKI_CAUSE_COUNT; cause++)
        if (code != NULL && strcmp(code, seki_cause_code((enum seki_cause)cause)) == 0)
            return (enum seki_cause)cause;
    return SEKI_CAUSE_COUNT;
}

/* The line at the file's place as JSON; NULL: it is none, or the end (*ended). *cut: a last line
 * without its newline, as a full disk leaves it. */
static json_t *read_exchange(struct seki_recording *recording, bool *ended, bool *cut)
{
    ssize_t length = getline(&recording->line, &recording->line_size, recording->file);
    json_t *exchange;

    *ended = length <= 0;
    *cut = length > 0 && recording->line[length - 1] != '\n';
    if (length <= 0 || (size_t)length > MAX_EXCHANGE)
        return NULL;
    exchange = json_loadb(recording->line, (size_t)length, JSON_ALLOW_NUL, NULL);
    if (json_is_object(exchange))
        return exchange;
    json_decref(exchange);
    return NULL;
}

/* The place and the hash that an exchange says it has. */
static bool read_key(const json_t *exchange, uint64_t *key)
{
    const char *hash = json_string_value(json_object_get(exchange, "request_hash"));
    const char *seed = json_string_value(json_object_get(exchange, "seed"));
    const json_t *candidate = json_object_get(exchange, "candidate");
    const json_t *attempt = json_object_get(exchange, "attempt");
    struct seki_place place;

    if (hash == NULL || strspn(hash, "0123456789abcdef") != 16 || hash[16] != '\0' ||
        seed == NULL || strspn(seed, "0123456789") != strlen(seed) || !json_is_integer(candidate) ||
        !json_is_integer(attempt))
        return false;
    place = (struct seki_place){.seed = strtoull(seed, NULL, 10),
                                .candidate = (uint64_t)json_integer_value(candidate),
                                .attempt = (int)json_integer_value(attempt)};
    *key = key_of(&place, strtoull(hash, NULL, 16));
    return true;
}

static int add_entry(struct seki_recording *recording, uint64_t key, long offset,
                     struct seki_error *error)
{
    if (recording->count == recording->capacity) {
        size_t capacity = recording->capacity > 0 ? 2 * recording->capacity : 64;
        struct entry *longer = realloc(recording->entries, capacity * sizeof *longer);

        if (longer == NULL)
            return seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
        recording->entries = longer;
        recording->capacity = capacity;
    }
    recording->entries[recording->count++] = (struct entry){key, offset};
    return 0;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    return x->key != y->key ? (x->key > y->key) - (x->key < y->key)
                            : (x->offset > y->offset) - (x->offset < y->offset);
}

/* Of equal keys the last one stays. */
static void sort_entries(struct seki_recording *recording)
{
    size_t kept = 0;

    if (recording->count == 0)
        return;
    qsort(recording->entries, recording->count, sizeof *recording->entries, compare_entries);
    for (size_t i = 0; i < recording->count; i++) {
        if (i + 1 < recording->count && recording->entries[i + 1].key == recording->entries[i].key)
            continue;
        recording->entries[kept++] = recording->entries[i];
    }
    recording->count = kept;
}

static int read_index(struct seki_recording *recording, struct seki_error *error)
{
    unsigned long number = 1;

    for (;; number++) {
        long offset = ftell(recording->file);
        bool ended, cut, good;
        uint64_t key = 0;
        json_t *exchange = read_exchange(recording, &ended, &cut);

        if (ended || cut) {
            json_decref(exchange);
            break;
        }
        good = exchange != NULL && read_key(exchange, &key);
        json_decref(exchange);
        if (!good)
            return seki_fail(
                error, SEKI_BAD_USE, "recording",
                "%s:%lu: expected an exchange as --record writes them; remove the line",
                recording->path, number);
        if (add_entry(recording, key, offset, error) < 0)
            return -1;
    }
    if (ferror(recording->file))
        return seki_fail_errno(error, "file", "%s: cannot be read", recording->path);
    sort_entries(recording);
    return 0;
}

struct seki_recording *seki_recording_open(const char *path, struct seki_error *error)
{
    struct seki_recording *recording = new_recording(path, error);

    if (recording == NULL)
        return NULL;
    recording->file = fopen(path, "r");
    if (recording->file == NULL)
        seki_fail_errno(error, "file", "%s: cannot be opened", path);
    else if (read_index(recording, error) == 0)
        return recording;
    seki_recording_free(recording);
    return NULL;
}

static int restore_body(const json_t *exchange, struct seki_buffer *body)
{
    const json_t *reply = json_object_get(exchange, "reply");
    const unsigned char *text;

    if (json_is_string(reply))
        return seki_buffer_append(body, json_string_value(reply), json_string_length(reply));
    reply = json_object_get(exchange, "reply_latin1");
    if (!json_is_string(reply))
        return -1;
    text = (const unsigned char *)json_string_value(reply);
    for (const unsigned char *end = text + json_string_length(reply); text < end; text++) {
        char byte = (char)*text;

        if (*text >= 0x80) { /* jansson has seen to it that a second byte follows */
            if (*text > 0xC3)
                return -1;
            byte = (char)(*text << 6 | (text[1] & 0x3F));
            text++;
        }
        if (seki_buffer_append(body, &byte, 1) < 0)
            return -1;
    }
    return 0;
}

/* false: the exchange is of another request, or damaged. */
static bool restore(const json_t *exchange, const char *request, struct seki_response *response)
{
    const char *detail = json_string_value(json_object_get(exchange, "detail"));
    char *text = comparable(json_object_get(exchange, "request"));
    bool same = text != NULL && strcmp(text, request) == 0;

    free(text);
    response->cause = cause_of(json_string_value(json_object_get(exchange, "cause")));
    response->status = (long)json_integer_value(json_object_get(exchange, "status"));
    response->retry_after = json_number_value(json_object_get(exchange, "retry_after"));
    response->seconds = json_number_value(json_object_get(exchange, "seconds"));
    snprintf(response->detail, sizeof response->detail, "%s", detail != NULL ? detail : "");
    return same && response->cause != SEKI_CAUSE_COUNT && response->seconds >= 0 &&
           restore_body(exchange, &response->body) == 0;
}

static void answer_missing(const struct seki_place *place, struct seki_response *response)
{
    seki_response_free(response);
    seki_response_init(response);
    response->cause = SEKI_CAUSE_UNRECORDED;
    snprintf(response->detail, sizeof response->detail,
             "no reply to request %d of candidate %llu with the seed %llu is recorded",
             place->attempt, (unsigned long long)place->candidate, (unsigned long long)place->seed);
}

long seki_recording_answer(struct seki_recording *recording, const struct seki_place *place,
                           const char *request, struct seki_response *response)
{
    json_t *asked = json_loads(request, 0, NULL);
    char *text = comparable(asked);
    struct entry wanted = {.key = key_of(place, seki_hash_string(text != NULL ? text : ""))};
    size_t low = 0, high = recording->count;
    json_t *exchange;
    bool ended, cut;
    long offset = 0;

    seki_response_init(response);
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (recording->entries[middle].key < wanted.key)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == recording->count || recording->entries[low].key != wanted.key ||
        fseek(recording->file, recording->entries[low].offset, SEEK_SET) != 0) {
        answer_missing(place, response);
    } else {
        offset = recording->entries[low].offset;
        exchange = read_exchange(recording, &ended, &cut);
        if (exchange == NULL || text == NULL || !restore(exchange, text, response))
            answer_missing(place, response);
        json_decref(exchange);
    }
    free(text);
    json_decref(asked);
    return offset;
}
