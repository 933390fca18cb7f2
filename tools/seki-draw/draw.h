/*
 * draw.h - the parts of seki-draw.
 */
#ifndef SEKI_DRAW_H
#define SEKI_DRAW_H

#include "genotype/genotype.h"

/* Which of a genotype's cells to draw. */
enum which_cell { BOTH_CELLS, NORMAL_CELL, REDUCE_CELL };

/* Appends one digraph in graphviz's DOT. -1 (SEKI_BAD_INPUT) where the genotype lacks that cell. */
int draw_dot(const struct seki_genotype *genotype, enum which_cell which, struct seki_buffer *out,
             struct seki_error *error);
/* Appends the SVG element that graphviz's `dot` lays out, from <svg to </svg>. */
int draw_svg(const char *dot, size_t length, struct seki_buffer *out, struct seki_error *error);

#endif
