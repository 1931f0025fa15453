/* fields.h: some elements of objects, picked by their positions: a tuple for each object, and nothing else is copied.
 *
 * Ownership   what read has made ends with done.
 * Checked by  tsunami_x_update_tests.erl
 */
#ifndef TSU_NIF_FIELDS_H
#define TSU_NIF_FIELDS_H

#include "nif/reply.h"
#include "nif/term.h"

#define TSU_FIELDS_ON_STACK 16u

typedef struct tsu_field {
    size_t       pos;
    size_t       place;         /* in the tuple */
} tsu_field;

typedef struct tsu_fields {
    tsu_reply_list r;           /* each tuple goes to the front */
    bool           one;         /* r.list is the tuple itself */
    bool           beyond;      /* an object is too small */
    size_t         count;
    tsu_field     *fields;      /* by position */
    ERL_NIF_TERM  *terms;       /* of the tuple at hand */
    tsu_field      fields_room[TSU_FIELDS_ON_STACK];
    ERL_NIF_TERM   terms_room[TSU_FIELDS_ON_STACK];
} tsu_fields;

/* BADARG: `list` is no list of positions. On error nothing has to be let go of. */
tsu_status tsu_fields_read(tsu_fields *f, ErlNifEnv *env, ERL_NIF_TERM list);
void tsu_fields_done(tsu_fields *f);

/* A tsu_object_fn; `ctx` is the fields. Stops at an object that is too small, and when short of memory. */
bool tsu_fields_add(void *ctx, const uint8_t *object);

#endif
