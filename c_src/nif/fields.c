#include "nif/fields.h"

#include "nif/args.h"

#include <stdlib.h>

#define ARITY_MAX 16777215u         /* of a tuple */

static int by_position(const void *a, const void *b)
{
    const tsu_field *x = a, *y = b;

    return x->pos < y->pos ? -1 : x->pos > y->pos;
}

tsu_status tsu_fields_read(tsu_fields *f, ErlNifEnv *env, ERL_NIF_TERM list)
{
    ERL_NIF_TERM head, tail;
    unsigned     count;
    bool         sorted = true;
    int64_t      pos = 1;

    f->r = tsu_reply_list_begin(env);
    f->one = f->beyond = false;
    f->fields = f->fields_room;
    f->terms = f->terms_room;
    f->count = 0;
    if (!enif_get_list_length(env, list, &count)) return TSU_BADARG;
    if (count > ARITY_MAX) return TSU_LIMIT;
    if (count > TSU_FIELDS_ON_STACK) {
        f->fields = tsu_env_alloc(count * sizeof *f->fields);
        f->terms = f->fields == NULL ? NULL : tsu_env_alloc(count * sizeof *f->terms);
    }
    f->count = count;
    if (f->terms == NULL) {
        tsu_fields_done(f);
        return TSU_NOMEM;
    }
    for (size_t i = 0; enif_get_list_cell(env, list, &head, &tail); list = tail, i++) {
        if (!tsu_small_read(head, &pos) || pos < 1) {
            tsu_fields_done(f);
            return TSU_BADARG;
        }
        sorted = sorted && (i == 0 || (size_t)pos >= f->fields[i - 1].pos);
        f->fields[i] = (tsu_field){ .pos = (size_t)pos, .place = i };
    }
    if (!sorted) qsort(f->fields, f->count, sizeof *f->fields, by_position);
    return TSU_OK;
}

void tsu_fields_done(tsu_fields *f)
{
    if (f->fields == f->fields_room) return;
    if (f->terms != NULL) tsu_env_free(f->terms, f->count * sizeof *f->terms);
    if (f->fields != NULL) tsu_env_free(f->fields, f->count * sizeof *f->fields);
}

bool tsu_fields_add(void *ctx, const uint8_t *object)
{
    tsu_fields    *f = ctx;
    size_t         arity, at = 1;
    const uint8_t *p = tsu_object_elements(object, &arity);
    ERL_NIF_TERM   term = 0;

    if (f->count > 0 && f->fields[f->count - 1].pos > arity) {
        f->beyond = true;
        return false;
    }
    for (size_t i = 0; i < f->count; i++) {
        const tsu_field *field = &f->fields[i];

        if (i == 0 || field->pos != f->fields[i - 1].pos) {
            for (; at < field->pos; at++) p = tsu_term_end(p);
            term = tsu_nif_decode_term(f->r.env, &p);
            at++;
            if (TSU_UNLIKELY(term == 0)) {
                f->r.failed = true;
                return false;
            }
        }
        f->terms[field->place] = term;
    }
    term = enif_make_tuple_from_array(f->r.env, f->terms, (unsigned)f->count);
    f->r.list = f->one ? term : enif_make_list_cell(f->r.env, term, f->r.list);
    f->r.count++;
    return true;
}
