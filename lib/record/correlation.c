/*
 * correlation.c - how well one measure ranks by another: Kendall's tau-b, Spearman's rho, Pearson's
 * r.
 */
#include "record/record.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct pair {
    double x, y;
};

static double undefined_if(bool condition, double value)
{
    return condition ? NAN : fmax(-1, fmin(1, value));
}

/* Exact where the product is; of numbers whose product overflows, through their roots. */
static double geometric_mean(double a, double b)
{
    return isfinite(a * b) && a * b > 0 ? sqrt(a * b) : sqrt(a) * sqrt(b);
}

/* In two passes, so that a large mean costs no digits. */
static double pearson(const struct pair *pairs, size_t count)
{
    double mean_x = 0, mean_y = 0, xx = 0, yy = 0, xy = 0;

    for (size_t i = 0; i < count; i++) {
        mean_x += pairs[i].x / (double)count;
        mean_y += pairs[i].y / (double)count;
    }
    for (size_t i = 0; i < count; i++) {
        double dx = pairs[i].x - mean_x, dy = pairs[i].y - mean_y;

        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    return undefined_if(xx <= 0 || yy <= 0, xy / geometric_mean(xx, yy));
}

static int compare(double a, double b)
{
    return (a > b) - (a < b);
}

static int by_x_then_y(const void *a, const void *b)
{
    const struct pair *p = a, *q = b;
    int order = compare(p->x, q->x);

    return order != 0 ? order : compare(p->y, q->y);
}

static double pairs_of(size_t count)
{
    return (double)count * ((double)count - 1) / 2;
}

/* Exchanges that a merge sort of y needs: pairs in the wrong order (Knight 1966). */
static double sort_y(struct pair *pairs, struct pair *spare, size_t count)
{
    size_t half = count / 2, left = 0, right = half;
    double exchanges;

    if (count < 2)
        return 0;
    exchanges = sort_y(pairs, spare, half) + sort_y(pairs + half, spare, count - half);
    for (size_t i = 0; i < count; i++) {
        if (right == count || (left < half && pairs[left].y <= pairs[right].y)) {
            spare[i] = pairs[left++];
        } else {
            exchanges += (double)(half - left);
            spare[i] = pairs[right++];
        }
    }
    memcpy(pairs, spare, count * sizeof *pairs);
    return exchanges;
}

/* tau-b = (C - D) / sqrt((n0 - n1) (n0 - n2)), n1 and n2 the pairs tied in x and in y (Kendall
 * 1945), in O(n log n) by Knight's method. Leaves the pairs sorted by y. */
static double kendall(struct pair *pairs, struct pair *spare, size_t count)
{
    double all = pairs_of(count), tied_x = 0, tied_y = 0, tied_both = 0, discordant, agreement;

    qsort(pairs, count, sizeof *pairs, by_x_then_y);
    for (size_t i = 1, run_x = 1, run_both = 1; i <= count; i++) {
        bool same_x = i < count && pairs[i].x == pairs[i - 1].x;
        bool same = same_x && pairs[i].y == pairs[i - 1].y;

        tied_x += same_x ? 0 : pairs_of(run_x);
        run_x = same_x ? run_x + 1 : 1;
        tied_both += same ? 0 : pairs_of(run_both);
        run_both = same ? run_both + 1 : 1;
    }
    discordant = sort_y(pairs, spare, count);
    for (size_t i = 1, run = 1; i <= count; i++) {
        bool same = i < count && pairs[i].y == pairs[i - 1].y;

        tied_y += same ? 0 : pairs_of(run);
        run = same ? run + 1 : 1;
    }
    agreement = all - tied_x - tied_y + tied_both - 2 * discordant;
    return undefined_if(all - tied_x <= 0 || all - tied_y <= 0,
                        agreement / geometric_mean(all - tied_x, all - tied_y));
}

/* Exchanges x for its rank, ties for their mean rank; the pairs are sorted by x. */
static void rank_x(struct pair *pairs, size_t count)
{
    for (size_t first = 0, end; first < count; first = end) {
        double rank;

        for (end = first + 1; end < count && pairs[end].x == pairs[first].x;)
            end++;
        rank = ((double)first + (double)end + 1) / 2;
        for (size_t i = first + 1; i < end; i++)
            pairs[i].x = rank;
        pairs[first].x = rank;
    }
}

static void exchange_axes(struct pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        pairs[i] = (struct pair){pairs[i].y, pairs[i].x};
}

/* Pearson's r of the ranks. Leaves ranks. */
static double spearman(struct pair *pairs, size_t count)
{
    for (int axis = 0; axis < 2; axis++) {
        qsort(pairs, count, sizeof *pairs, by_x_then_y);
        rank_x(pairs, count);
        exchange_axes(pairs, count);
    }
    return pearson(pairs, count);
}

int seki_correlate(const double *x, const double *y, size_t count,
                   struct seki_correlation *correlation, struct seki_error *error)
{
    struct pair *pairs, *spare;

    *correlation = (struct seki_correlation){NAN, NAN, NAN};
    if (count < 2)
        return 0;
    pairs = seki_allocate(count, sizeof *pairs, error);
    spare = seki_allocate(count, sizeof *spare, error);
    if (pairs == NULL || spare == NULL) {
        free(pairs);
        free(spare);
        return -1;
    }
    for (size_t i = 0; i < count; i++)
        pairs[i] = (struct pair){x[i], y[i]};
    correlation->pearson_r = pearson(pairs, count);
    correlation->kendall_tau = kendall(pairs, spare, count);
    correlation->spearman_rho = spearman(pairs, count);
    free(pairs);
    free(spare);
    return 0;
}
