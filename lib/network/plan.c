/* plan.c - places in memory for things whose lives are known. */
#include "network/network_internal.h"

/* Shell sort by size, largest first; equal sizes keep the order of their numbers, so that a plan is
 * repeatable. */
static void sort_by_size(const struct plan_item *items, int count, int *order)
{
    for (int i = 0; i < count; i++)
        order[i] = i;
    for (int gap = count / 2; gap > 0; gap /= 2) {
        for (int i = gap; i < count; i++) {
            int moved = order[i], at = i;
            for (; at >= gap; at -= gap) {
                const struct plan_item *left = &items[order[at - gap]], *right = &items[moved];
                if (left->bytes > right->bytes ||
                    (left->bytes == right->bytes && order[at - gap] < moved))
                    break;
                order[at] = order[at - gap];
            }
            order[at] = moved;
        }
    }
}

static bool overlap_in_time(const struct plan_item *a, const struct plan_item *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* Lowest offset at which items[order[rank]] meets none of the items placed before it. */
static size_t lowest_place(const struct plan_item *items, const int *order, int rank)
{
    const struct plan_item *item = &items[order[rank]];
    size_t place = 0;
    bool moved;
    do {
        moved = false;
        for (int i = 0; i < rank; i++) {
            const struct plan_item *other = &items[order[i]];
            if (overlap_in_time(item, other) && place < other->offset + other->bytes &&
                other->offset < place + item->bytes) {
                place = other->offset + other->bytes;
                moved = true;
            }
        }
    } while (moved);
    return place;
}

size_t seki_plan_memory(struct plan_item *items, int count, int *order)
{
    size_t total = 0;
    sort_by_size(items, count, order);
    for (int rank = 0; rank < count; rank++) {
        struct plan_item *item = &items[order[rank]];
        item->offset = item->bytes ? lowest_place(items, order, rank) : 0;
        if (item->offset + item->bytes > total)
            total = item->offset + item->bytes;
    }
    return total;
}
