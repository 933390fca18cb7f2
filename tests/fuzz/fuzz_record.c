/*
 * fuzz_record.c - any text as a record. What is accepted must be one line that jansson reads as an
 * object, with the members that jansson finds, and must stay a record through every change; what is
 * refused must be refused in words.
 */
#include "record/record.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* The record as jansson reads it. */
static json_t *tree_of(struct seki_record *record)
{
    size_t length;
    const char *text = seki_record_text(record, &length, NULL);
    json_t *tree = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);

    require(json_is_object(tree) && strlen(text) == length);
    return tree;
}

/* Each member whose name is no path is found, with the value that jansson has. */
static void check_members(const struct seki_record *record, json_t *tree)
{
    const char *key;
    json_t *value;

    json_object_foreach(tree, key, value)
    {
        double number;

        if (strchr(key, '.') != NULL)
            continue;
        require(seki_record_has(record, key));
        if (json_is_string(value))
            require(strcmp(seki_record_string(record, key), json_string_value(value)) == 0);
        else
            require(seki_record_string(record, key) == NULL);
        require(seki_record_number(record, key, &number) == json_is_number(value));
        if (json_is_number(value))
            require(number == json_number_value(value));
    }
}

static void check_changes(struct seki_record *record, json_t *tree)
{
    struct seki_record *copy = seki_record_copy(record, NULL);
    json_t *changed;
    size_t length;

    require(copy != NULL);
    json_decref(tree_of(copy));
    require(seki_record_set_number(copy, "score", 1.5, NULL) == 0);
    changed = tree_of(copy);
    json_object_set_new(tree, "score", json_real(1.5));
    require(json_equal(changed, tree));
    json_decref(changed);
    if (seki_record_set_string(copy, "metrics.scorer", "a\"\n", NULL) == 0)
        require(strcmp(seki_record_string(copy, "metrics.scorer"), "a\"\n") == 0);
    json_decref(tree_of(copy));
    seki_record_remove(copy, "metrics.scorer");
    require(seki_record_json(copy, "metrics.scorer", &length) == NULL);
    seki_record_remove(copy, "score");
    changed = tree_of(copy);
    require(json_object_get(changed, "score") == NULL);
    json_decref(changed);
    seki_record_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    char *text = malloc(length + 1);
    struct seki_error error = {0};
    struct seki_record *record = NULL;

    require(text != NULL);
    memcpy(text, bytes, length);
    text[length] = '\0';
    if (memchr(bytes, '\n', length) == NULL && length < SEKI_MAX_LINE / 2)
        record = seki_record_parse(text, length, &error);
    if (record != NULL) {
        json_t *tree = tree_of(record);

        check_members(record, tree);
        check_changes(record, tree);
        json_decref(tree);
    } else if (error.kind != 0) {
        require(error.kind == SEKI_BAD_INPUT && error.message[0] != '\0');
    }
    seki_record_free(record);
    free(text);
    return 0;
}
