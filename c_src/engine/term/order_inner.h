/* order_inner.h: what order.c, which compares, and order_key.c, which writes order keys, have in common.
 */
#ifndef TSU_TERM_ORDER_INNER_H
#define TSU_TERM_ORDER_INNER_H

#include "term/order.h"

#define TSU_FLOAT_BYTES_MAX 128     /* of the magnitude of the largest float */
/* The magnitude, little-endian, of a float >= 2^63 in size; all those are integers. */
size_t tsu_float_magnitude(double v, uint8_t out[TSU_FLOAT_BYTES_MAX]);

/* A pid, port or reference in parts, local or not. */
typedef struct tsu_named {
    bool           local;
    const uint8_t *node;
    size_t         node_len;
    uint32_t       creation;
    uint64_t       number;          /* pid: serial << 32 | number; port: number */
    const uint8_t *words;           /* reference; count without zeros on top */
    unsigned       count;
} tsu_named;

/* Its node, if it is of this one, is read when asked for. */
void tsu_named_read(const tsu_token *t, tsu_named *out);
void tsu_named_node(tsu_named *x);

/* The order key; exact: as inside of a map's keys. */
void tsu_order_encode_as(const uint8_t *term, bool exact, tsu_writer *w);

#endif
