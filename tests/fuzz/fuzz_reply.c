/*
 * fuzz_reply.c - any bytes as the text of a model's reply, then as an endpoint's JSON. A genotype
 * that is read must be valid, and its notation must read back to it.
 */
#include "llm/llm.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void read_reply(const char *text, size_t length, enum seki_space space)
{
    char notation[SEKI_GENOTYPE_TEXT];
    struct seki_genotype again;
    struct seki_error error = {0};
    struct seki_reply reply;

    if (seki_reply_read(text, length, space, &reply, &error) < 0) {
        require(error.kind == SEKI_BAD_INPUT && error.message[0] != '\0');
        return;
    }
    require(reply.genotype.space == space);
    require(seki_genotype_validate(&reply.genotype, SEKI_STRICT, &error) == 0);
    seki_genotype_print(&reply.genotype, notation);
    require(seki_genotype_parse(notation, SEKI_STRICT, &again, &error) == 0);
    require(seki_genotype_equal(&reply.genotype, &again));
    require(reply.analysis == NULL || strlen(reply.analysis) <= SEKI_MAX_REASON);
    require(reply.strategy == NULL || strlen(reply.strategy) <= SEKI_MAX_REASON);
    seki_reply_free(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    const char *text = (const char *)bytes;
    struct seki_completion completion;
    struct seki_error error = {0};

    read_reply(text, length, SEKI_DARTS);
    read_reply(text, length, SEKI_NAS201);
    if (seki_completion_read(text, length, &completion, &error) < 0) {
        require(error.message[0] != '\0');
        return 0;
    }
    if (seki_completion_check(&completion, &error) == 0)
        read_reply(completion.content, completion.length, SEKI_NAS201);
    seki_completion_free(&completion);
    return 0;
}
