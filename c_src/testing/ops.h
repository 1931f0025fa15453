/* ops.h: operations that run on a table and on a model of it, with answers that can be compared.
 */
#ifndef TSU_TESTING_OPS_H
#define TSU_TESTING_OPS_H

#include <stdio.h>
#include <string.h>

#include "testing/model.h"
#include "testing/objects.h"
#include "table.h"

typedef enum op_kind {
    OP_LOOKUP, OP_MEMBER, OP_INSERT, OP_INSERT_NEW, OP_DELETE, OP_DELETE_OBJECT, OP_TAKE, OP_ADD, OP_CLEAR, OP_WALK, OP_KINDS
} op_kind;

typedef struct op {
    op_kind kind;
    model_object object;
} op;

typedef struct answer {
    tsu_status   status;
    bool         yes;
    size_t       count;
    model_object objects[MODEL_OBJECTS_MAX];
} answer;

static inline const char *op_name(op_kind k)
{
    static const char *names[] = {"lookup", "member", "insert", "insert_new", "delete", "delete_object", "take", "add", "clear", "walk"};

    return names[k];
}

static inline bool answer_equal(const answer *a, const answer *b)
{
    return a->status == b->status && a->yes == b->yes && a->count == b->count
           && memcmp(a->objects, b->objects, a->count * sizeof a->objects[0]) == 0;
}

static inline void answer_print(const char *title, const answer *a)
{
    size_t i;

    printf("    %s: %s %d:", title, tsu_status_name(a->status), a->yes);
    for (i = 0; i < a->count; i++)
        printf(" {%d%s,%lld}", a->objects[i].key, a->objects[i].variant ? ".0" : "", (long long)a->objects[i].value);
    printf("\n");
}

/* Keys from here on are there for the table's size alone: answers leave them out. */
#define OP_KEYS_UNSEEN 1000

static inline bool answer_collect(void *ctx, const uint8_t *object)
{
    answer       *a = ctx;
    model_object *o;
    int           variant;

    if (object_key_of(object, &variant) >= OP_KEYS_UNSEEN) return true;
    CHECK(a->count < MODEL_OBJECTS_MAX);
    o = &a->objects[a->count++];
    o->key = (int32_t)object_key_of(object, &variant);
    o->variant = variant;
    o->value = object_value(object);
    return true;
}

/* Newest first becomes oldest first. */
static inline void answer_turn(answer *a, size_t from)
{
    size_t i, n = a->count - from;

    for (i = 0; i < n / 2; i++) {
        model_object o = a->objects[from + i];

        a->objects[from + i] = a->objects[from + n - 1 - i];
        a->objects[from + n - 1 - i] = o;
    }
}

/* A walk of a hash table, put into the model's order: keys sorted, the objects of one left as they come. */
static inline void answer_sort(answer *a)
{
    size_t i, j;

    for (i = 1; i < a->count; i++) {
        model_object o = a->objects[i];

        for (j = i; j > 0 && (a->objects[j - 1].key > o.key
                              || (a->objects[j - 1].key == o.key && a->objects[j - 1].variant > o.variant)); j--)
            a->objects[j] = a->objects[j - 1];
        a->objects[j] = o;
    }
}

static inline tsu_visit_answer answer_collect_many(void *ctx, const uint64_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++) (void)tsu_version_show(words[i], answer_collect, ctx);
    return TSU_VISIT_ON;
}

typedef struct op_add {
    tsu_update   update;      /* first */
    model_object object;
    object_bytes bytes;
} op_add;

static inline tsu_verdict op_add_fn(tsu_update *update, const uint8_t *old, const uint8_t **out, size_t *len)
{
    op_add *a = (op_add *)update;

    int     variant = a->object.variant;

    if (old != NULL) (void)object_key_of(old, &variant);        /* the object keeps its key */
    a->bytes = object_make(a->object.key, variant, (old != NULL ? object_value(old) : 0) + a->object.value);
    *out = a->bytes.bytes;
    *len = a->bytes.len;
    return TSU_EDIT_PUT;
}

static inline void op_add_unused(tsu_update *update, const uint8_t *object)
{
    (void)update;
    (void)object;
}

/* TSU_AGAIN is an answer: nothing has changed. Pinned. */
static inline void op_on_table(tsu_thread *self, tsu_table *table, const op *o, answer *a)
{
    model_object m = o->object;
    object_bytes key = object_key(m.key, m.variant), object = object_make(m.key, m.variant, m.value);
    tsu_verdict  verdict;
    bool         done;
    size_t       i, from;

    a->status = TSU_OK;
    a->yes = false;
    a->count = 0;
    switch (o->kind) {
    case OP_LOOKUP:
        tsu_lookup(self, table, key.bytes, key.len, answer_collect, a);
        answer_turn(a, 0);
        break;
    case OP_MEMBER: a->yes = tsu_member(self, table, key.bytes, key.len); break;
    case OP_INSERT: a->status = tsu_insert(self, table, object.bytes, object.len); break;
    case OP_INSERT_NEW: a->status = tsu_insert_new(self, table, object.bytes, object.len, &a->yes); break;
    case OP_DELETE: a->status = tsu_delete(self, table, key.bytes, key.len); break;
    case OP_DELETE_OBJECT: a->status = tsu_delete_object(self, table, object.bytes, object.len); break;
    case OP_TAKE:
        a->status = tsu_take(self, table, key.bytes, key.len, answer_collect, a);
        answer_turn(a, 0);
        break;
    case OP_ADD: {
        static _Thread_local unsigned turn;
        op_add    add = {.update = {.fn = op_add_fn, .unused = op_add_unused}, .object = m};
        tsu_patch patch = {.pos = 2, .add = true, .number = m.value};

        if (tsu_table_type_of(table) > TSU_ORDERED_SET) break;
        /* the short way and the long one in turn */
        if (turn++ % 3 != 0 && tsu_table_patch(self, table, key.bytes, key.len, &patch)) break;
        a->status = tsu_table_update(self, table, key.bytes, key.len, &add.update, &verdict);
        break;
    }
    case OP_CLEAR: a->status = tsu_clear(self, table); break;
    case OP_WALK: {
        static _Thread_local unsigned turn;

        /* one by one and many at a time in turn */
        if (turn++ % 2 != 0 || !tsu_walk_many(self, table, NULL, 0, SIZE_MAX, answer_collect_many, a, &done))
            tsu_walk(self, table, NULL, 0, TSU_FORWARD, SIZE_MAX, answer_collect, a, &done);
        CHECK(done);
        for (from = 0, i = 1; i <= a->count; i++)
            if (i == a->count || a->objects[i].key != a->objects[from].key
                || a->objects[i].variant != a->objects[from].variant) {
                size_t all = a->count;

                a->count = i;
                answer_turn(a, from);
                a->count = all;
                from = i;
            }
        if (tsu_table_type_of(table) != TSU_ORDERED_SET) answer_sort(a);
        break;
    }
    case OP_KINDS: break;
    }
    if (a->status != TSU_OK) a->count = 0;
}

static inline void op_on_model(model *m, const op *o, answer *a)
{
    size_t       count, at = model_find(m, o->object.key, o->object.variant, &count);
    model_object sum = o->object;

    a->status = TSU_OK;
    a->yes = false;
    a->count = 0;
    switch (o->kind) {
    case OP_TAKE:
    case OP_LOOKUP:
        memcpy(a->objects, &m->objects[at], count * sizeof a->objects[0]);
        a->count = count;
        if (o->kind == OP_TAKE) (void)model_delete(m, o->object.key, o->object.variant);
        break;
    case OP_MEMBER: a->yes = count > 0; break;
    case OP_INSERT: (void)model_insert(m, o->object, false); break;
    case OP_INSERT_NEW: a->yes = model_insert(m, o->object, true); break;
    case OP_DELETE: (void)model_delete(m, o->object.key, o->object.variant); break;
    case OP_DELETE_OBJECT: (void)model_delete_object(m, o->object); break;
    case OP_ADD:
        if (m->type > TSU_ORDERED_SET) break;
        if (count > 0) sum.value += m->objects[at].value;
        if (count > 0) sum.variant = m->objects[at].variant;
        (void)model_insert(m, sum, false);
        break;
    case OP_CLEAR: m->count = 0; break;
    case OP_WALK:
        memcpy(a->objects, m->objects, m->count * sizeof a->objects[0]);
        a->count = m->count;
        break;
    case OP_KINDS: break;
    }
}

#endif
