/* reply_text.c - what a reply says in plain words: its cleaning, headings, the notation anywhere in
 * it. */
#include "llm/llm.h"
#include "llm/llm_internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_TRIES    4096 /* places where a genotype may begin; bounds the work on hostile text */
#define MAX_NOTATION ((size_t)2 * SEKI_GENOTYPE_TEXT) /* one genotype with generous spacing */

/* ---- Cleaning ----------------------------------------------------------------------------- */

static bool begins(const char *text, const char *end, const char *word)
{
    size_t length = strlen(word);

    if ((*text | 0x20) != (*word | 0x20)) /* most often decided by one letter */
        return false;
    return (size_t)(end - text) >= length && strncasecmp(text, word, length) == 0;
}

/* Removes from text what stands between the tags; an opening one that is never closed takes the
 * rest with it, a closing one that was never opened all before it (some servers' chat templates
 * open it in the prompt). */
static size_t remove_block(char *text, size_t length, const char *open, const char *close)
{
    const char *end = text + length, *from = text;
    char *to = text;
    bool inside = false;

    while (from < end) {
        if (begins(from, end, open)) {
            inside = true;
            from += strlen(open);
        } else if (begins(from, end, close)) {
            if (!inside)
                to = text;
            inside = false;
            from += strlen(close);
        } else {
            if (!inside)
                *to++ = *from;
            from++;
        }
    }
    *to = '\0';
    return (size_t)(to - text);
}

char *seki_text_spoken(const char *text, size_t *length, struct seki_error *error)
{
    char *copy = seki_allocate(*length + 1, 1, error);

    if (copy == NULL)
        return NULL;
    memcpy(copy, text, *length);
    *length = remove_block(copy, *length, "<think>", "</think>");
    *length = remove_block(copy, *length, "<thinking>", "</thinking>");
    return copy;
}

static const struct {
    const char *from;
    char to;
} typography[] = {
    {"\xe2\x80\x98", '\''}, {"\xe2\x80\x99", '\''},
    {"\xe2\x80\x9a", '\''},                         /* single quotes */
    {"\xe2\x80\x9b", '\''}, {"\xe2\x80\xb2", '\''}, /* and the prime */
    {"\xe2\x80\x9c", '"'},  {"\xe2\x80\x9d", '"'},
    {"\xe2\x80\x9e", '"'},                         /* double quotes */
    {"\xe2\x80\x9f", '"'},  {"\xe2\x80\xb3", '"'}, /* and the prime */
    {"\xc2\xa0", ' '},      {"\xe2\x80\xaf", ' '},
    {"\xe2\x80\x89", ' '}, /* blanks */
    {"\xef\xbd\x9c", '|'},  {"\xef\xbd\x9e", '~'},
    {"\xe2\x88\xbc", '~'}, /* full width; tilde operator */
    {"\xcb\x9c", '~'},     /* small tilde */
};

void seki_text_plain(char *text, size_t *length)
{
    const char *from = text, *end = text + *length;
    char *to = text;

    while (from < end) {
        size_t i, count = sizeof typography / sizeof *typography;

        if (*from == '\\' && from + 1 < end && strchr("_*|~[]()'\"`", from[1]) != NULL &&
            from[1] != '\0') {
            from++;
            *to++ = *from++;
            continue;
        }
        for (i = (unsigned char)*from < 0x80 ? count : 0; i < count; i++)
            if (begins(from, end, typography[i].from))
                break;
        *to++ = i < count ? typography[i].to : *from;
        from += i < count ? strlen(typography[i].from) : 1;
    }
    *to = '\0';
    *length = (size_t)(to - text);
}

char *seki_text_trimmed(const char *text, size_t length)
{
    const char *end = text + length;
    char *copy;

    while (text < end && strchr(" \t\r\n", *text) != NULL && *text != '\0')
        text++;
    while (end > text && strchr(" \t\r\n", end[-1]) != NULL && end[-1] != '\0')
        end--;
    length = (size_t)(end - text);
    if (length > SEKI_MAX_REASON) {
        length = SEKI_MAX_REASON;
        while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80)
            length--;
    }
    if (length == 0 || (copy = malloc(length + 1)) == NULL)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

/* ---- Headings ----------------------------------------------------------------------------- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Where what follows a heading of that name begins: "## Analysis", "**Strategy:** …", "1. Analysis
 * - …". */
static const char *match_heading(const char *line, const char *end, const char *heading)
{
    while (line < end && strchr(" \t#*_>-.()0123456789", *line) != NULL && *line != '\0')
        line++;
    if (begins(line, end, "optimization "))
        line += strlen("optimization ");
    else if (begins(line, end, "optimisation "))
        line += strlen("optimisation ");
    if (!begins(line, end, heading))
        return NULL;
    line += strlen(heading);
    while (line < end && (*line == '*' || *line == '_' || *line == ' '))
        line++;
    if (line < end && *line != ':' && *line != '-' && *line != '\r')
        return NULL;
    while (line < end && strchr(":*_- \r", *line) != NULL && *line != '\0')
        line++;
    return line;
}

static const char *line_end(const char *line, const char *end)
{
    const char *newline = memchr(line, '\n', (size_t)(end - line));

    return newline != NULL ? newline : end;
}

char *seki_text_section(const char *text, size_t length, const char *heading)
{
    static const char *const others[] = {"analysis", "strategy", "architecture", "genotype"};
    const char *end = text + length, *begin = NULL, *line, *stop;

    for (line = text; line < end; line = stop + 1) {
        stop = line_end(line, end);
        if (begin == NULL) {
            begin = match_heading(line, stop, heading);
            continue;
        }
        for (size_t i = 0; i < sizeof others / sizeof *others; i++)
            if (match_heading(line, stop, others[i]) != NULL)
                return seki_text_trimmed(begin, (size_t)(line - begin));
    }
    return begin != NULL ? seki_text_trimmed(begin, (size_t)(end - begin)) : NULL;
}

/* ---- The notation ------------------------------------------------------------------------- */

/* The end of `Genotype( … )` that begins at `text`, or NULL. */
static const char *match_darts(const char *text, const char *end)
{
    int depth = 0;

    if (!begins(text, end, "Genotype"))
        return NULL;
    if ((size_t)(end - text) > MAX_NOTATION)
        end = text + MAX_NOTATION;
    text += strlen("Genotype");
    while (text < end && strchr(" \t\r\n", *text) != NULL && *text != '\0')
        text++;
    if (text >= end || *text != '(')
        return NULL;
    for (; text < end; text++) {
        depth += (*text == '(') - (*text == ')');
        if (depth == 0)
            return text + 1;
    }
    return NULL;
}

static const char *skip_blanks(const char *text, const char *end)
{
    while (text < end && (*text == ' ' || *text == '\t'))
        text++;
    return text;
}

/* `op~0|` */
static const char *match_edge(const char *text, const char *end)
{
    const char *name = text = skip_blanks(text, end);

    while (text < end && (is_letter(*text) || *text == '_' || (*text >= '0' && *text <= '9')))
        text++;
    if (text == name)
        return NULL;
    text = skip_blanks(text, end);
    if (text >= end || *text != '~')
        return NULL;
    text = skip_blanks(text + 1, end);
    if (text >= end || *text < '0' || *text > '9')
        return NULL;
    text = skip_blanks(text + 1, end);
    return text < end && *text == '|' ? text + 1 : NULL;
}

/* The end of `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|` that begins at `text`, or NULL. */
static const char *match_nas201(const char *text, const char *end)
{
    for (int node = 1; node <= 3; node++) {
        if (node > 1) {
            text = skip_blanks(text, end);
            if (text >= end || *text != '+')
                return NULL;
            text = skip_blanks(text + 1, end);
        }
        if (text >= end || *text != '|')
            return NULL;
        text++;
        for (int edge = 0; edge < node; edge++)
            if ((text = match_edge(text, end)) == NULL)
                return NULL;
    }
    return text;
}

static int parse_notation(const char *text, const char *stop, enum seki_space space,
                          struct seki_genotype *genotype, struct seki_error *error)
{
    struct seki_genotype parsed;
    char copy[MAX_NOTATION + 1];
    size_t length = 0;

    if ((size_t)(stop - text) > MAX_NOTATION)
        return seki_fail(error, SEKI_BAD_INPUT, "genotype", "the architecture's text is too long");
    for (; text < stop; text++)
        if (space == SEKI_DARTS || (*text != ' ' && *text != '\t'))
            copy[length++] = *text;
    copy[length] = '\0';
    if (strlen(copy) != length)
        return seki_fail(error, SEKI_BAD_INPUT, "genotype", "a NUL character in the architecture");
    if (space == SEKI_DARTS && copy[0] == 'g')
        copy[0] = 'G';
    if (seki_genotype_parse(copy, SEKI_STRICT, &parsed, error) < 0)
        return -1;
    if (parsed.space != space)
        return seki_fail(error, SEKI_BAD_INPUT, "genotype", "the architecture is of another space");
    *genotype = parsed;
    return 0;
}

int seki_text_genotype(const char *text, size_t length, enum seki_space space,
                       struct seki_genotype *genotype, size_t *begin, struct seki_error *error)
{
    const char *end = text + length, *at = text, *stop;
    char first = space == SEKI_DARTS ? 'G' : '|';
    int found = 0, tries = 0;
    bool seen = false;

    while (at < end && tries < MAX_TRIES) {
        bool starts = *at == first || (space == SEKI_DARTS && *at == 'g');

        stop = !starts ? NULL : space == SEKI_DARTS ? match_darts(at, end) : match_nas201(at, end);
        tries += starts && (space == SEKI_NAS201 || begins(at, end, "Genotype"));
        if (stop == NULL) {
            at++;
            continue;
        }
        if (!seen)
            *begin = (size_t)(at - text);
        seen = true;
        if (parse_notation(at, stop, space, genotype, error) == 0)
            found = 1;
        at = stop;
    }
    if (found)
        return 1;
    return seen ? seki_fail_within(error, "the reply's architecture") : 0;
}
