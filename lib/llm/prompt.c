/* prompt.c - prompt templates: plain text with {{placeholders}} and sections. */
#include "llm/llm.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_DEPTH  8
#define MAX_PIECES 4096
#define MAX_NAME   32

enum piece_kind { TEXT, VALUE, SECTION, INVERTED, END };

struct piece {
    enum piece_kind kind;
    const char *text; /* of TEXT: in the template's copy, `length` bytes */
    size_t length;
    char name[MAX_NAME]; /* of the others */
};

struct seki_template {
    char *text;
    struct piece *pieces;
    int count, capacity;
    char path[256];
};

/* Where a parser stands. */
struct reader {
    struct seki_template *prompt;
    const char *at, *end;
    const char *const *names;
    const char *open[MAX_DEPTH]; /* names of the sections begun and not ended */
    int open_line[MAX_DEPTH];
    int depth;
    struct seki_error *error;
};

static int line_of(const struct reader *reader, const char *at)
{
    int line = 1;

    for (const char *p = reader->prompt->text; p < at; p++)
        line += *p == '\n';
    return line;
}

static int complain(const struct reader *reader, const char *at, const char *what, const char *name)
{
    return seki_fail(reader->error, SEKI_BAD_USE, "prompt", "%s:%d: %s{{%s}}", reader->prompt->path,
                     line_of(reader, at), what, name);
}

static struct piece *add_piece(struct seki_template *prompt, enum piece_kind kind,
                               struct seki_error *error)
{
    if (prompt->count == prompt->capacity) {
        int capacity = prompt->capacity ? 2 * prompt->capacity : 32;
        struct piece *pieces;

        if (capacity > MAX_PIECES) {
            seki_fail(error, SEKI_BAD_USE, "prompt", "%s: more than %d placeholders", prompt->path,
                      MAX_PIECES / 2);
            return NULL;
        }
        pieces = realloc(prompt->pieces, (size_t)capacity * sizeof *pieces);
        if (pieces == NULL) {
            seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
            return NULL;
        }
        prompt->pieces = pieces;
        prompt->capacity = capacity;
    }
    struct piece *piece = &prompt->pieces[prompt->count++];
    memset(piece, 0, sizeof *piece);
    piece->kind = kind;
    return piece;
}

static int add_text(struct reader *reader, const char *from, const char *to)
{
    struct piece *piece;

    if (from >= to)
        return 0;
    piece = add_piece(reader->prompt, TEXT, reader->error);
    if (piece == NULL)
        return -1;
    piece->text = from;
    piece->length = (size_t)(to - from);
    return 0;
}

static bool known(const struct reader *reader, const char *name)
{
    for (const char *const *known = reader->names; *known != NULL; known++)
        if (strcmp(*known, name) == 0)
            return true;
    return false;
}

/* "known are: a, b, c" */
static int complain_unknown(const struct reader *reader, const char *at, const char *name)
{
    char list[300] = "";
    size_t length = 0;

    for (const char *const *known = reader->names; *known != NULL; known++) {
        size_t room = sizeof list - length;
        int wrote = snprintf(list + length, room, "%s%s", length ? ", " : "", *known);

        if (wrote < 0 || (size_t)wrote >= room)
            break;
        length += (size_t)wrote;
    }
    return seki_fail(reader->error, SEKI_BAD_USE, "prompt",
                     "%s:%d: unknown placeholder {{%s}}; known are %s", reader->prompt->path,
                     line_of(reader, at), name, list);
}

static int begin_section(struct reader *reader, const char *at, const char *name)
{
    if (reader->depth == MAX_DEPTH)
        return complain(reader, at, "sections are nested too deep at ", name);
    reader->open_line[reader->depth] = line_of(reader, at);
    for (const char *const *known = reader->names; *known != NULL; known++)
        if (strcmp(*known, name) == 0)
            reader->open[reader->depth] = *known;
    reader->depth++;
    return 0;
}

static int end_section(struct reader *reader, const char *at, const char *name)
{
    if (reader->depth == 0 || strcmp(reader->open[reader->depth - 1], name) != 0)
        return complain(reader, at, "no section of that name is open at /", name);
    reader->depth--;
    return 0;
}

/* The tag between `at` ("{{") and `close` ("}}"). */
static int read_tag(struct reader *reader, const char *at, const char *close)
{
    const char *from = at + 2, *to = close;
    enum piece_kind kind = VALUE;
    struct piece *piece;
    char name[MAX_NAME];

    if (*from == '!')
        return 0;
    if (*from == '#' || *from == '^' || *from == '/')
        kind = *from == '#' ? SECTION : *from == '^' ? INVERTED : END;
    from += kind != VALUE;
    while (from < to && *from == ' ')
        from++;
    while (to > from && to[-1] == ' ')
        to--;
    snprintf(name, sizeof name, "%.*s", to - from < MAX_NAME ? (int)(to - from) : MAX_NAME - 1,
             from);
    if (to - from >= MAX_NAME || !known(reader, name))
        return complain_unknown(reader, at, name);
    if ((kind == SECTION || kind == INVERTED) && begin_section(reader, at, name) < 0)
        return -1;
    if (kind == END && end_section(reader, at, name) < 0)
        return -1;
    piece = add_piece(reader->prompt, kind, reader->error);
    if (piece == NULL)
        return -1;
    snprintf(piece->name, sizeof piece->name, "%s", name);
    return 0;
}

/* A section's tag alone on its line takes the line's blanks before and its newline with it. */
static void widen(const struct reader *reader, const char **begin, const char **end)
{
    const char *before = *begin, *after = *end;

    if (strchr("#^/!", (*begin)[2]) == NULL)
        return;
    while (before > reader->prompt->text && (before[-1] == ' ' || before[-1] == '\t'))
        before--;
    while (after < reader->end && (*after == ' ' || *after == '\t' || *after == '\r'))
        after++;
    if ((before == reader->prompt->text || before[-1] == '\n') &&
        (after == reader->end || *after == '\n')) {
        *begin = before;
        *end = after < reader->end ? after + 1 : after;
    }
}

static int read_all(struct reader *reader)
{
    const char *open;

    while ((open = strstr(reader->at, "{{")) != NULL) {
        const char *close = strstr(open, "}}"), *begin = open, *end;

        if (close == NULL)
            return seki_fail(reader->error, SEKI_BAD_USE, "prompt", "%s:%d: {{ without }}",
                             reader->prompt->path, line_of(reader, open));
        end = close + 2;
        widen(reader, &begin, &end);
        if (begin < reader->at) /* two tags on one line: the first took no blanks */
            begin = reader->at;
        if (add_text(reader, reader->at, begin) < 0 || read_tag(reader, open, close) < 0)
            return -1;
        reader->at = end;
    }
    if (reader->depth > 0)
        return seki_fail(reader->error, SEKI_BAD_USE, "prompt",
                         "%s:%d: the section {{#%s}} is never ended", reader->prompt->path,
                         reader->open_line[reader->depth - 1], reader->open[reader->depth - 1]);
    return add_text(reader, reader->at, reader->end);
}

struct seki_template *seki_template_parse(const char *text, size_t length, const char *path,
                                          const char *const *names, struct seki_error *error)
{
    struct seki_template *prompt = seki_allocate(1, sizeof *prompt, error);
    struct reader reader = {.prompt = prompt, .names = names, .error = error};
    json_t *utf8;

    if (prompt == NULL)
        return NULL;
    snprintf(prompt->path, sizeof prompt->path, "%s", path);
    utf8 = json_stringn(text, length);
    if (utf8 == NULL || strlen(json_string_value(utf8)) != length) {
        json_decref(utf8);
        seki_template_free(prompt);
        seki_fail(error, SEKI_BAD_USE, "prompt", "%s: expected text in UTF-8", path);
        return NULL;
    }
    json_decref(utf8);
    prompt->text = seki_allocate(1, length + 1, error);
    if (prompt->text != NULL) {
        memcpy(prompt->text, text, length);
        reader.at = prompt->text;
        reader.end = prompt->text + length;
        if (read_all(&reader) == 0)
            return prompt;
    }
    seki_template_free(prompt);
    return NULL;
}

struct seki_template *seki_template_load(const char *path, const char *const *names,
                                         struct seki_error *error)
{
    struct seki_template *prompt = NULL;
    struct seki_buffer text;

    if (seki_file_read(path, SEKI_MAX_TEMPLATE, &text, error) < 0) {
        if (error != NULL)
            error->kind = SEKI_BAD_USE; /* a template is configuration */
        return NULL;
    }
    prompt =
        seki_template_parse(text.data != NULL ? text.data : "", text.length, path, names, error);
    seki_buffer_free(&text);
    return prompt;
}

static const char *value_of(const char *name, const struct seki_prompt_value *values, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(values[i].name, name) == 0)
            return values[i].value != NULL ? values[i].value : "";
    return "";
}

int seki_template_fill(const struct seki_template *prompt, const struct seki_prompt_value *values,
                       int count, struct seki_buffer *out, struct seki_error *error)
{
    int depth = 0, hidden = 0; /* hidden: depth of the outermost section that is left out, or 0 */

    for (int i = 0; i < prompt->count; i++) {
        const struct piece *piece = &prompt->pieces[i];

        switch (piece->kind) {
        case TEXT:
            if (!hidden)
                seki_buffer_append(out, piece->text, piece->length);
            break;
        case VALUE:
            if (!hidden)
                seki_buffer_puts(out, value_of(piece->name, values, count));
            break;
        case SECTION:
        case INVERTED:
            depth++;
            if (!hidden &&
                (*value_of(piece->name, values, count) == '\0') == (piece->kind == SECTION))
                hidden = depth;
            break;
        case END:
            if (hidden == depth)
                hidden = 0;
            depth--;
            break;
        }
    }
    if (out->failed)
        return seki_fail(error, SEKI_NO_RESOURCE, "memory",
                         "%s: the prompt is larger than %zu bytes", prompt->path, out->limit);
    return 0;
}

void seki_template_free(struct seki_template *prompt)
{
    if (prompt == NULL)
        return;
    free(prompt->text);
    free(prompt->pieces);
    free(prompt);
}

int seki_prompt_folder(const char *given, char *path, size_t size, struct seki_error *error)
{
    if (given != NULL) {
        if ((size_t)snprintf(path, size, "%s", given) >= size)
            return seki_fail(error, SEKI_BAD_USE, "prompt", "the folder's name is too long");
        return 0;
    }
    if (seki_beside_program("../share/seki/prompts", path, size) ||
        seki_beside_program("../../share/prompts", path, size) ||
        seki_beside_program("../../../share/prompts", path, size)) /* build/sanitize/bin */
        return 0;
#ifdef SEKI_DATADIR
    if ((size_t)snprintf(path, size, "%s/prompts", SEKI_DATADIR) < size && access(path, X_OK) == 0)
        return 0;
#endif
    return seki_fail(
        error, SEKI_BAD_USE, "prompt",
        "the folder of the prompt templates is neither at ../share/seki/prompts nor at "
        "../../share/prompts from the program's own; name it with --prompts");
}
