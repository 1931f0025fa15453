#include "rework.h"

#include <string.h>

#include "table.h"

#define BEGINNINGS_MAX 8u

struct tsu_rework {
    tsu_edit    edit;
    tsu_part    part;
    uint32_t    beginnings;
    bool        shown;               /* all objects have been */
    bool        changed;
    /* what is to be there: newest, oldest, how many, their bytes, how many with handles */
    tsu_record *newest, *oldest;
    uint64_t    count, bytes;
    int64_t     handles;
    /* what was there */
    uint64_t    old_count, hits;
    int64_t     old_handles;
    size_t      len;
    uint8_t     key[];
};

tsu_status tsu_rework_create(tsu_thread *self, const uint8_t *key, size_t len, tsu_rework **out)
{
    tsu_rework *c = tsu_slab_alloc(self, sizeof *c + len);

    if (c == NULL) return TSU_NOMEM;
    memset(c, 0, sizeof *c);
    c->len = len;
    memcpy(c->key, key, len);
    *out = c;
    return TSU_OK;
}

/* Lets go of what has been copied: many records are freed by the reaper, which takes groups. */
static void copies_release(tsu_thread *self, tsu_rework *c)
{
    tsu_group *g = c->newest != NULL ? tsu_group_create(self, c->newest, c->count, c->bytes) : NULL;

    if (g != NULL) tsu_version_destroy(self, tsu_group_word(g));
    else if (c->newest != NULL) tsu_version_destroy(self, tsu_record_word(c->newest));
    c->newest = c->oldest = NULL;
}

static void begin(tsu_thread *self, tsu_rework *c)
{
    copies_release(self, c);
    c->part = (tsu_part){0, NULL};
    c->shown = c->changed = false;
    c->count = c->bytes = c->old_count = c->hits = 0;
    c->handles = c->old_handles = 0;
}

void tsu_rework_destroy(tsu_thread *self, tsu_rework *change)
{
    if (change == NULL) return;
    copies_release(self, change);
    tsu_slab_free(self, change, sizeof *change + change->len);
}

static bool copy_add(tsu_rework *c, tsu_record *r)
{
    if (r == NULL) return false;
    tsu_record_chain(r, NULL);
    if (c->oldest != NULL) tsu_record_chain(c->oldest, r);
    else c->newest = r;
    c->oldest = r;
    c->count++;
    c->bytes += tsu_record_weight(r);
    c->handles += tsu_record_handles(r);
    return true;
}

typedef struct part_view {
    tsu_thread *self;
    tsu_rework *change;
    tsu_update *update;
    size_t      budget;
    tsu_status  status;
    bool        failed;          /* fn said so */
} part_view;

static bool part_show(void *ctx, const uint8_t *object)
{
    part_view        *v = ctx;
    tsu_rework       *c = v->change;
    const tsu_record *r = (const tsu_record *)(const void *)(object - offsetof(tsu_record, object));
    const uint8_t    *put;
    size_t            put_len;
    tsu_record       *made;

    if (v->failed || v->status != TSU_OK) return false;
    c->old_count++;
    c->old_handles += tsu_record_handles(r);
    switch (v->update->fn(v->update, object, &put, &put_len)) {
    case TSU_EDIT_KEEP:
        if (!copy_add(c, tsu_record_copy(v->self, r))) v->status = TSU_NOMEM;
        break;
    case TSU_EDIT_PUT:
        c->changed = true;
        made = tsu_record_create(v->self, put, put_len);
        if (made == NULL) v->update->unused(v->update, put);
        if (!copy_add(c, made)) v->status = TSU_NOMEM;
        break;
    case TSU_EDIT_REMOVE:
        c->changed = true;
        break;
    default:
        v->failed = true;
        break;
    }
    return v->status == TSU_OK && !v->failed && --v->budget > 0;
}

static tsu_verdict change_decide(tsu_edit *edit, tsu_thread *self, uint64_t current)
{
    (void)self;
    return tsu_word_stamp(current) == ((const tsu_rework *)edit)->part.stamp ? TSU_EDIT_PUT : TSU_EDIT_KEEP;
}

/* What has been made takes the place of what was shown. GONE: that is not there any more. */
static tsu_status change_show(tsu_thread *self, tsu_table *table, tsu_rework *c)
{
    struct tsu_contents *contents = tsu_table_contents(table);
    tsu_group           *g;
    tsu_status           status;

    if (!c->changed) return TSU_OK;
    if (c->part.stamp == 0) return TSU_GONE;
    if (c->newest == NULL) return tsu_take_part(self, table, c->key, c->len, &c->part);
    g = tsu_group_create(self, c->newest, c->count, c->bytes);
    if (g == NULL) return TSU_NOMEM;
    c->edit.decide = change_decide;
    c->edit.chained = false;
    c->edit.exact = true;
    c->edit.entry = NULL;
    c->edit.put = tsu_group_word(g);
    status = tsu_contents_edit(self, contents, c->key, c->len, &c->edit);
    if (status == TSU_OK && c->edit.verdict == TSU_EDIT_FAIL) status = c->edit.status;
    if (status != TSU_OK || c->edit.verdict != TSU_EDIT_PUT) {
        tsu_group_destroy(self, g);
        return status != TSU_OK ? status : TSU_GONE;
    }
    c->newest = c->oldest = NULL;
    tsu_tally_add(self, contents, (int64_t)c->count - (int64_t)c->old_count,
                  (int64_t)g->bytes - (int64_t)(c->edit.kept ? tsu_version_bytes(c->edit.old) : tsu_version_retire_all(self, c->edit.old)),
                  c->handles - c->old_handles);
    return TSU_OK;
}

tsu_status tsu_rework_run(tsu_thread *self, tsu_table *table, tsu_rework *change, tsu_update *update, size_t budget,
                          tsu_verdict *verdict)
{
    part_view  v = { .self = self, .change = change, .update = update, .budget = budget, .status = TSU_OK };
    tsu_status status = TSU_OK;

    *verdict = TSU_EDIT_PUT;
    if (change->beginnings >= BEGINNINGS_MAX)
        return tsu_table_update(self, table, change->key, change->len, update, verdict);
    update->hits = change->hits;
    if (!change->shown) {
        status = tsu_lookup_part(self, table, change->key, change->len, &change->part, part_show, &v);
        change->shown = status == TSU_OK;
    }
    if (v.failed) *verdict = TSU_EDIT_FAIL;
    if (v.failed || v.status != TSU_OK) return v.status;
    change->hits = update->hits;
    if (status == TSU_OK) status = change_show(self, table, change);
    if (status != TSU_GONE) return status;
    if (change->part.stamp == 0) change->beginnings = BEGINNINGS_MAX;      /* there are few by now */
    else change->beginnings++;
    begin(self, change);
    return TSU_AGAIN;
}
