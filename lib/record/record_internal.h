/*
 * record_internal.h - what the files of lib/record share.
 */
#ifndef SEKI_RECORD_INTERNAL_H
#define SEKI_RECORD_INTERNAL_H

#include "record/record.h"

/* ---- json_text.c: JSON as text ------------------------------------------------------------ */

/* Offsets into an object's text. */
struct seki_member {
    size_t key, key_length;     /* between the quotes */
    size_t value, value_length; /* the value as it stands */
};

/* 0 where text is one JSON value (an object where `object`) with no member twice in one object;
 * else *error
 * ("json") names the column. */
int seki_json_check(const char *text, size_t length, bool object, struct seki_error *error);
/*
 * The members of an object in text that seki_json_check has accepted. *at begins on the offset of
 * the '{', and is moved on; false after the last.
 */
bool seki_json_next(const char *text, size_t *at, struct seki_member *member);
/* Whether a member's key is `name`. */
bool seki_json_key_is(const char *text, const struct seki_member *member, const char *name,
                      size_t length);
/* Appends a quoted, escaped string; -1 where it is not UTF-8 or memory is missing. */
int seki_json_put_string(struct seki_buffer *out, const char *string);
/* The fewest digits that read back equal; value is finite. */
int seki_json_put_number(struct seki_buffer *out, double value);
/* Appends `length` bytes with all that is not UTF-8, and a character cut at the end, replaced by
 * U+FFFD. */
int seki_json_put_cleaned(struct seki_buffer *out, const char *bytes, size_t length);

/* ---- record.c ----------------------------------------------------------------------------- */

/* A string member, decoded; kept until the record changes. */
struct seki_decoded {
    struct seki_decoded *next;
    size_t value; /* offset of the member's value */
    char string[];
};

struct seki_record {
    struct seki_buffer text;
    struct seki_buffer spare; /* the text that a change builds, then exchanged with `text` */
    struct seki_member *members;
    size_t count, capacity;
    struct seki_decoded *strings;
};

/* A path taken apart: "metrics.params". */
struct seki_path {
    const char *first, *second; /* second: NULL where there is one step */
    size_t first_length, second_length;
};

/* What a path leads to. */
struct seki_place {
    size_t object;   /* offset of the object's '{' that holds the member, or would */
    size_t previous; /* offset behind the member before it, or behind the '{' */
    struct seki_member member;
    bool found;
};

struct seki_path seki_path_take(const char *text);
struct seki_place seki_record_find_first(const struct seki_record *record,
                                         const struct seki_path *path);
/* object: offset of the first step's value, which is an object. */
struct seki_place seki_record_find_second(const struct seki_record *record,
                                          const struct seki_path *path, size_t object);
/* The member at a path, and where its value begins: NULL where missing. */
const char *seki_record_find(const struct seki_record *record, const char *name,
                             struct seki_place *place);
/* Finds the members of record->text, after a change. */
int seki_record_index(struct seki_record *record, struct seki_error *error);
/* As seki_record_parse, into a record that exists; after -1 it is {}. */
int seki_record_read(struct seki_record *record, const char *text, size_t length,
                     struct seki_error *error);
void seki_record_clear(struct seki_record *record); /* {} */

#endif
