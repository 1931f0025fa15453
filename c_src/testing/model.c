/* model.c: see model.h. */
#include <string.h>

#include "base/check.h"
#include "testing/model.h"

void model_init(model *m, tsu_table_type type)
{
    memset(m, 0, sizeof *m);
    m->type = type;
}

bool model_equal(const model *a, const model *b)
{
    return a->count == b->count && memcmp(a->objects, b->objects, a->count * sizeof a->objects[0]) == 0;
}

static bool same_key(const model *m, const model_object *o, int32_t key, int32_t variant)
{
    return o->key == key && (m->type == TSU_ORDERED_SET || o->variant == variant);
}

size_t model_find(const model *m, int32_t key, int32_t variant, size_t *count)
{
    size_t i = 0, end;

    while (i < m->count && !same_key(m, &m->objects[i], key, variant)
           && (m->objects[i].key < key || (m->objects[i].key == key && m->objects[i].variant < variant))) i++;
    for (end = i; end < m->count && same_key(m, &m->objects[end], key, variant);) end++;
    *count = end - i;
    return i;
}

static void take_out(model *m, size_t at, size_t count)
{
    memmove(&m->objects[at], &m->objects[at + count], (m->count - at - count) * sizeof m->objects[0]);
    m->count -= count;
}

bool model_insert(model *m, model_object o, bool new_only)
{
    size_t count, at = model_find(m, o.key, o.variant, &count), i;

    if (new_only && count > 0) return false;
    if (m->type <= TSU_ORDERED_SET && count > 0) {
        m->objects[at] = o;
        return true;
    }
    for (i = at; m->type == TSU_BAG && i < at + count; i++)
        if (m->objects[i].value == o.value) return false;
    CHECK(m->count < MODEL_OBJECTS_MAX);
    at += count;
    memmove(&m->objects[at + 1], &m->objects[at], (m->count - at) * sizeof m->objects[0]);
    m->objects[at] = o;
    m->count++;
    return true;
}

size_t model_delete(model *m, int32_t key, int32_t variant)
{
    size_t count, at = model_find(m, key, variant, &count);

    take_out(m, at, count);
    return count;
}

size_t model_delete_object(model *m, model_object o)
{
    size_t count, at = model_find(m, o.key, o.variant, &count), i, gone = 0;

    for (i = at + count; i-- > at;)
        if (m->objects[i].value == o.value && m->objects[i].variant == o.variant) {
            take_out(m, i, 1);
            gone++;
        }
    return gone;
}

bool model_insert_list(model *m, const model_object *list, size_t count, bool new_only)
{
    size_t i, present;

    for (i = 0; new_only && i < count; i++) {
        model_find(m, list[i].key, list[i].variant, &present);
        if (present > 0) return false;
    }
    for (i = 0; i < count; i++) (void)model_insert(m, list[i], false);
    return true;
}
