/* show.c - what a prompt shows of scored candidates. */
#include "propose.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

/* "1.07 M" */
static void print_amount(double amount, char *text, size_t size)
{
    if (amount >= 1e6)
        snprintf(text, size, "%.3g M", amount / 1e6);
    else
        snprintf(text, size, "%.0f", amount);
}

static void print_metrics(const struct seki_record *record, char *text, size_t size)
{
    static const struct {
        const char *path, *unit;
    } metrics[] = {
        {"metrics.params", "parameters"},
        {"metrics.macs", "multiply-adds"},
    };
    size_t length = 0;

    *text = '\0';
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        char amount[32];
        double value;
        int wrote;

        if (!seki_record_number(record, metrics[i].path, &value))
            continue;
        print_amount(value, amount, sizeof amount);
        wrote = snprintf(text + length, size - length, "%s%s %s", length ? ", " : "", amount,
                         metrics[i].unit);
        if (wrote > 0 && (size_t)wrote < size - length)
            length += (size_t)wrote;
    }
}

static void print_candidates(struct seki_buffer *out, const struct parent *parents, int count)
{
    for (int i = 0; i < count; i++) {
        char genotype[SEKI_GENOTYPE_TEXT], metrics[160];

        seki_genotype_print(&parents[i].genotype, genotype);
        print_metrics(parents[i].record, metrics, sizeof metrics);
        seki_buffer_printf(out, "%d. score %.4g%s%s%s: %s\n", i + 1, parents[i].score,
                           *metrics ? " (" : "", metrics, *metrics ? ")" : "", genotype);
    }
}

/* ---- Changes --------------------------------------------------------------------------------- */

bool show_line(struct seki_buffer *text, const char *format, ...)
{
    char line[SEKI_GENOTYPE_TEXT + 256];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof line ||
        text->length + (size_t)length + 1 > text->limit)
        return false;
    seki_buffer_append(text, line, (size_t)length);
    return seki_buffer_append(text, "\n", 1) == 0;
}

void show_change(enum seki_space space, const struct seki_change *change, char *text, size_t size)
{
    const struct seki_edge *before = &change->before, *after = &change->after;

    if (space == SEKI_NAS201)
        snprintf(text, size, "from_%d_to_%d: %s -> %s", before->input, before->node,
                 seki_op_name(before->op), seki_op_name(after->op));
    else
        snprintf(text, size, "%s node %d: %s from %d -> %s from %d",
                 change->cell == SEKI_NORMAL ? "normal" : "reduce", before->node,
                 seki_op_name(before->op), before->input, seki_op_name(after->op), after->input);
}

#define SHOWN_CHANGES 4

/* What was changed from one candidate to the next, and what came of it. */
static void show_try(struct seki_buffer *text, const struct past *from, const struct past *to)
{
    struct seki_change changes[SHOWN_CHANGES];
    char words[128 * SHOWN_CHANGES] = "";
    size_t length = 0;
    int count = seki_genotype_changes(&from->genotype, &to->genotype, changes, SHOWN_CHANGES);

    for (int i = 0; i < count && i < SHOWN_CHANGES; i++) {
        length += (size_t)snprintf(words + length, sizeof words - length, "%s", i ? "; " : "");
        show_change(from->genotype.space, &changes[i], words + length, sizeof words - length);
        length += strlen(words + length);
    }
    if (count > SHOWN_CHANGES)
        snprintf(words + length, sizeof words - length, "; and %d more", count - SHOWN_CHANGES);
    show_line(text, "- %s: %.4g -> %.4g (%+.3g)", count > 0 ? words : "another notation",
              from->score, to->score, to->score - from->score);
}

/* ---- The lineage ----------------------------------------------------------------------------- */

#define SHOWN_ANCESTORS 5
#define SHOWN_CHILDREN  5

/* The steps that led to the current candidate, oldest first; those already taken from it. */
static void show_lineage(const struct run *run, const struct parent *current, struct shown *shown)
{
    struct past line[SHOWN_ANCESTORS + 1], child;
    int count = 0, children = 0;

    if (!history_find(run->history, current->id, &line[0]))
        return;
    while (count < SHOWN_ANCESTORS && line[count].parent[0] != '\0' &&
           history_find(run->history, line[count].parent, &line[count + 1]))
        count++;
    for (int i = count; i > 0; i--)
        show_try(&shown->lineage, &line[i], &line[i - 1]);
    for (size_t i = history_count(run->history); i-- > 0 && children < SHOWN_CHILDREN;) {
        history_at(run->history, i, &child);
        if (strcmp(child.parent, current->id) != 0 || strcmp(child.id, current->id) == 0)
            continue;
        show_try(&shown->tried, &line[0], &child);
        children++;
    }
}

/* ---- All of it ------------------------------------------------------------------------------- */

static void show_constraints(const struct settings *s, char *text, size_t size)
{
    char params[32] = "", macs[32] = "";

    if (isfinite(s->max_params))
        print_amount(s->max_params, params, sizeof params);
    if (isfinite(s->max_macs))
        print_amount(s->max_macs, macs, sizeof macs);
    snprintf(text, size, "%s%s%s%s%s", params, *params ? " parameters" : "",
             *params && *macs ? " and " : "", macs, *macs ? " multiply-adds" : "");
}

static int copy_evidence(struct run *run, struct shown *shown, enum seki_space space,
                         struct seki_error *error)
{
    const struct evidence *evidence;
    bool full = strcmp(run->settings.evidence, "full") == 0;

    if (strcmp(run->settings.evidence, "none") == 0)
        return 0;
    if (evidence_update(run, space, error) < 0)
        return -1;
    evidence = run->evidence;
    if (evidence->noise > 0)
        snprintf(shown->noise, sizeof shown->noise, "%.2g", evidence->noise);
    seki_buffer_append(&shown->effects, evidence->effects.data, evidence->effects.length);
    if (full) {
        seki_buffer_append(&shown->neighbours, evidence->neighbours.data,
                           evidence->neighbours.length);
        seki_buffer_append(&shown->worst, evidence->worst.data, evidence->worst.length);
    }
    return 0;
}

static int fill_candidates(struct run *run, struct shown *shown, const struct parent *parents,
                           int count, struct seki_error *error)
{
    if (run->stage == EVOLUTION) {
        seki_genotype_print(&parents[0].genotype, shown->genotype);
        snprintf(shown->score, sizeof shown->score, "%.4g", parents[0].score);
        print_metrics(parents[0].record, shown->metrics, sizeof shown->metrics);
        show_lineage(run, &parents[0], shown);
        return 0;
    }
    snprintf(shown->count, sizeof shown->count, "%d", count);
    print_candidates(&shown->candidates, parents, count);
    if (!shown->candidates.failed)
        return 0;
    return seki_fail(error, SEKI_BAD_USE, "prompt",
                     "%d candidates do not fit in a prompt; lower --draw or -k", count);
}

int shown_fill(struct run *run, struct shown *shown, const struct parent *parents, int count,
               struct seki_error *error)
{
    memset(shown, 0, sizeof *shown);
    seki_buffer_init(&shown->candidates, SEKI_MAX_TEMPLATE / 2);
    seki_buffer_init(&shown->json, SEKI_MAX_TEMPLATE / 2);
    seki_buffer_init(&shown->lineage, MAX_LINEAGE);
    seki_buffer_init(&shown->tried, MAX_LINEAGE);
    seki_buffer_init(&shown->effects, MAX_EFFECTS);
    seki_buffer_init(&shown->neighbours, MAX_NEIGHBOURS);
    seki_buffer_init(&shown->worst, MAX_WORST);
    show_constraints(&run->settings, shown->constraints, sizeof shown->constraints);
    if (seki_schema_print_genotype(&parents[0].genotype, &shown->json, error) < 0 ||
        fill_candidates(run, shown, parents, count, error) < 0)
        return -1;
    return copy_evidence(run, shown, parents[0].genotype.space, error);
}

void shown_free(struct shown *shown)
{
    seki_buffer_free(&shown->json);
    seki_buffer_free(&shown->candidates);
    seki_buffer_free(&shown->lineage);
    seki_buffer_free(&shown->tried);
    seki_buffer_free(&shown->effects);
    seki_buffer_free(&shown->neighbours);
    seki_buffer_free(&shown->worst);
}
