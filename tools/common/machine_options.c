/*
 * machine_options.c - --backend list: which backends this build has on this machine, in which
 * precisions; of the others, why not.
 */
#include "common/machine_options.h"

#include <stdio.h>
#include <string.h>

#include "nn/backend.h"

/* "fp32, bf16" in `names`; false where none opens, with why fp32 does not. */
static bool precisions_of(const char *backend, char *names, size_t size, struct seki_error *why)
{
    static const enum seki_precision all[] = {SEKI_FP32, SEKI_TF32, SEKI_BF16};

    names[0] = '\0';
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct seki_error error;
        struct seki_backend *opened = seki_backend_open(backend, 0, all[i], &error);
        size_t length = strlen(names);

        if (opened == NULL && all[i] == SEKI_FP32)
            *why = error;
        if (opened != NULL)
            snprintf(names + length, size - length, "%s%s", length > 0 ? ", " : "",
                     seki_precision_name(all[i]));
        seki_backend_close(opened);
    }
    return names[0] != '\0';
}

bool machine_listed(const char *backend)
{
    if (strcmp(backend, "list") != 0)
        return false;
    for (int i = 0; seki_backend_name(i) != NULL; i++) {
        struct seki_error why;
        char names[32];

        if (precisions_of(seki_backend_name(i), names, sizeof names, &why))
            printf("%s\t%s\n", seki_backend_name(i), names);
        else
            printf("%s\tnot here: %s\n", seki_backend_name(i), why.message);
    }
    return true;
}
