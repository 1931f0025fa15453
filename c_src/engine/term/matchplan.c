/* matchplan.c: from clauses to ranges. */
#include "term/matchplan_inner.h"
#include "term/order.h"

/* As the table tells keys from each other: 1 and 1.0 are two in a hash table. */
static int keys_compare(const planner *pl, const raw_bound *a, const raw_bound *b)
{
    if (pl->ordered) return tsu_term_compare(bound_key(pl, a), bound_key(pl, b));
    return tsu_term_compare_exact(bound_key(pl, a), bound_key(pl, b));
}

/* Which of two low bounds is the lower one: negative, 0, positive. No bound is the lowest. */
static int low_compare(const planner *pl, const raw_bound *a, const raw_bound *b)
{
    int c;

    if (a->len == 0 || b->len == 0) return (a->len != 0) - (b->len != 0);
    c = keys_compare(pl, a, b);
    return c != 0 ? c : (int)a->open - (int)b->open;
}

/* The same of high bounds, of which none is the highest. */
static int high_compare(const planner *pl, const raw_bound *a, const raw_bound *b)
{
    int c;

    if (a->len == 0 || b->len == 0) return (b->len != 0) - (a->len != 0);
    c = keys_compare(pl, a, b);
    return c != 0 ? c : (int)b->open - (int)a->open;
}

/* Whether there may be keys from `low` to `high`. */
static bool bounds_meet(const planner *pl, const raw_bound *low, const raw_bound *high)
{
    int c;

    if (low->len == 0 || high->len == 0) return true;
    c = keys_compare(pl, low, high);
    return c < 0 || (c == 0 && !low->open && !high->open);
}

/* By the guards on the key as a whole. True: there was one. */
static bool narrow(planner *pl, raw_range *r, const place *root)
{
    bool narrowed = false;

    for (size_t i = 0; i < pl->guards && pl->bytes.status == TSU_OK; i++) {
        const guard *g = &pl->guard[i];
        raw_bound    b;

        if (g->b.says != TSU_MS_COMPARES || tsu_plan_steps_beyond(root, &g->b.path) != 0) continue;
        if (!pl->ordered && g->b.op != TSU_SAME) continue;
        b = tsu_plan_bound_put(pl, pl->values.bytes + g->at, g->len, g->b.op == TSU_LT || g->b.op == TSU_GT);
        if (says_low(g->b.op) && low_compare(pl, &b, &r->low) > 0) r->low = b;
        if (says_high(g->b.op) && high_compare(pl, &b, &r->high) < 0) r->high = b;
        narrowed = true;
    }
    return narrowed;
}

static void range_add(planner *pl, const raw_range *r)
{
    if (pl->count == pl->cap) {
        size_t     cap = pl->cap == 0 ? 8 : 2 * pl->cap;
        raw_range *more = tsu_env_alloc(cap * sizeof *more);

        if (more == NULL) { pl->bytes.status = TSU_NOMEM; return; }
        if (pl->count > 0) memcpy(more, pl->ranges, pl->count * sizeof *more);
        if (pl->ranges != NULL) tsu_env_free(pl->ranges, pl->cap * sizeof *more);
        pl->ranges = more;
        pl->cap = cap;
    }
    pl->ranges[pl->count++] = *r;
}

/* False: the clause can match anywhere. */
static bool clause_add(planner *pl, const tsu_ms *ms, size_t clause, size_t keypos)
{
    const uint8_t *term, *p;
    size_t         len;
    raw_range      r = {.family = false};
    place          root = {.variable = MS_NO_VARIABLE};
    tsu_token      t;
    bool           parts = false, open = false;     /* something is known of parts of the key; and nothing by the head */

    pl->ms = ms;
    pl->clause = clause;
    tsu_plan_guards_read(pl, keypos);
    if (pl->bytes.status != TSU_OK) return true;
    switch (tsu_ms_clause_key(ms, clause, keypos, &term, &len)) {
    case TSU_MS_KEY_NONE:
        return true;
    case TSU_MS_KEY_IS:
        r.low = r.high = tsu_plan_bound_put(pl, term, len, false);
        break;
    case TSU_MS_KEY_PATTERN:
        parts = true;
        break;
    case TSU_MS_KEY_ANY:
        p = term;
        if (p != NULL) tsu_term_next(&p, &t);
        if (p != NULL) root.variable = tsu_ms_clause_variable(ms, clause, t.n);
        parts = tsu_plan_parts_are_known(pl, &root);
        open = true;
        break;
    }
    if (parts) {
        r.low = pl->ordered ? tsu_plan_bound_of_parts(pl, false, term) : tsu_plan_key_of_parts(pl, term);
        r.high = pl->ordered ? tsu_plan_bound_of_parts(pl, true, term) : r.low;
    }
    if (!narrow(pl, &r, &root) && open && parts && pl->ordered) {
        raw_range family = {.high = r.high};
        if (tsu_plan_family_of_parts(pl, &root, &family)) r = family;
    }
    if (pl->bytes.status != TSU_OK) return true;
    if (r.low.len == 0 && r.high.len == 0) return false;
    if (bounds_meet(pl, &r.low, r.family ? &r.each : &r.high)) range_add(pl, &r);
    return true;
}

static void ranges_sift(const planner *pl, size_t root, size_t n)
{
    raw_range moved = pl->ranges[root];

    for (;;) {
        size_t child = 2 * root + 1;
        if (child >= n) break;
        if (child + 1 < n && low_compare(pl, &pl->ranges[child].low, &pl->ranges[child + 1].low) < 0) child++;
        if (low_compare(pl, &moved.low, &pl->ranges[child].low) >= 0) break;
        pl->ranges[root] = pl->ranges[child];
        root = child;
    }
    pl->ranges[root] = moved;
}

static bool bounds_same(const planner *pl, const raw_bound *a, const raw_bound *b)
{
    return a->len == b->len && a->open == b->open && a->len != 0
           && memcmp(bound_key(pl, a), bound_key(pl, b), a->len) == 0;
}

static bool families_same(const planner *pl, const raw_range *a, const raw_range *b)
{
    return a->family && b->family && a->low_fill == b->low_fill && a->each_fill == b->each_fill
           && bounds_same(pl, &a->low, &b->low) && bounds_same(pl, &a->each, &b->each);
}

/* In order, and what overlaps joined: P1. A family that something else overlaps becomes all that is between its ends. */
static void ranges_join(planner *pl)
{
    size_t last = 0;

    for (size_t i = pl->count / 2; i-- > 0;) ranges_sift(pl, i, pl->count);
    for (size_t i = pl->count; i-- > 1;) {
        raw_range moved = pl->ranges[0];
        pl->ranges[0] = pl->ranges[i];
        pl->ranges[i] = moved;
        ranges_sift(pl, 0, i);
    }
    for (size_t i = 1; i < pl->count; i++) {
        raw_range *a = &pl->ranges[last], *b = &pl->ranges[i];
        if (!bounds_meet(pl, &b->low, &a->high)) {
            pl->ranges[++last] = *b;
        } else if (!families_same(pl, a, b)) {
            if (high_compare(pl, &a->high, &b->high) < 0) a->high = b->high;
            a->family = false;
        }
    }
    if (pl->count > 0) pl->count = last + 1;
}

static tsu_bound bound_place(const raw_bound *b, const uint8_t *bytes)
{
    return (tsu_bound){b->len == 0 ? NULL : bytes + b->at, b->len, b->open};
}

static void planner_init(planner *pl, bool ordered, uint8_t *bytes, uint8_t *values, size_t cap)
{
    pl->ranges = NULL;
    pl->count = pl->cap = 0;
    pl->ordered = ordered;
    tsu_writer_init(&pl->bytes, bytes, cap);
    tsu_writer_init(&pl->values, values, cap);
}

/* The plan, if nothing has failed; the planner is done with. */
static tsu_status planner_end(planner *pl, size_t keypos, tsu_plan **out)
{
    tsu_status s = pl->bytes.status;
    size_t     bytes = sizeof(tsu_plan) + pl->count * sizeof(tsu_range) + pl->bytes.len;
    tsu_plan  *plan = s == TSU_OK ? tsu_env_alloc(bytes) : NULL;

    if (plan != NULL) {
        uint8_t *copy = (uint8_t *)&plan->ranges[pl->count];

        plan->ordered = pl->ordered;
        plan->binaries = false;
        plan->keypos = keypos;
        plan->bytes = bytes;
        plan->count = pl->count;
        memcpy(copy, pl->bytes.bytes, pl->bytes.len);
        for (size_t i = 0; i < pl->count; i++) {
            const raw_range *r = &pl->ranges[i];

            plan->ranges[i] = (tsu_range){
                .low = bound_place(&r->low, copy), .high = bound_place(&r->high, copy), .each = bound_place(&r->each, copy),
                .one = !r->low.open && bounds_same(pl, &r->low, &r->high),
                .family = r->family, .low_fill = r->low_fill, .each_fill = r->each_fill
            };
        }
        *out = plan;
    } else if (s == TSU_OK) {
        s = TSU_NOMEM;
    }
    if (pl->ranges != NULL) tsu_env_free(pl->ranges, pl->cap * sizeof *pl->ranges);
    tsu_writer_deinit(&pl->values);
    tsu_writer_deinit(&pl->bytes);
    return s;
}

static tsu_status clauses_plan(const tsu_ms *ms, size_t from, size_t to, size_t keypos, bool ordered, tsu_plan **out)
{
    uint8_t   bytes[512], values[512];
    planner   pl;
    raw_range all = {.family = false};
    bool      everywhere = false;

    planner_init(&pl, ordered, bytes, values, sizeof bytes);
    for (size_t i = from; i < to && !everywhere; i++) everywhere = !clause_add(&pl, ms, i, keypos);
    if (everywhere) {
        pl.count = 0;
        range_add(&pl, &all);
    } else if (pl.bytes.status == TSU_OK) {
        ranges_join(&pl);
    }
    return planner_end(&pl, keypos, out);
}

tsu_status tsu_plan_create(const tsu_ms *ms, size_t keypos, bool ordered, tsu_plan **out)
{
    return clauses_plan(ms, 0, tsu_ms_clauses(ms), keypos, ordered, out);
}

tsu_status tsu_plan_clause(const tsu_ms *ms, size_t clause, size_t keypos, bool ordered, tsu_plan **out)
{
    return clauses_plan(ms, clause, clause + 1, keypos, ordered, out);
}

tsu_status tsu_plan_between(const tsu_bound *low, const tsu_bound *high, size_t keypos, tsu_plan **out)
{
    uint8_t   bytes[256], values[1];
    planner   pl;
    raw_range r = {.family = false};

    planner_init(&pl, true, bytes, values, sizeof bytes);
    if (low->key != NULL) r.low = tsu_plan_bound_put(&pl, low->key, low->len, low->open);
    if (high->key != NULL) r.high = tsu_plan_bound_put(&pl, high->key, high->len, high->open);
    if (pl.bytes.status == TSU_OK && bounds_meet(&pl, &r.low, &r.high)) range_add(&pl, &r);
    return planner_end(&pl, keypos, out);
}

/* The items of a list, and behind them `rest`. */
static raw_bound bound_of_items(planner *pl, const uint8_t *list, uint8_t rest)
{
    raw_bound      b = {pl->bytes.len, 0, true};
    const uint8_t *p = list;
    tsu_token      t;

    tsu_term_next(&p, &t);
    tsu_write_list_begin(&pl->bytes, t.kind == TSU_STRING ? t.size : t.n, true);
    if (t.kind == TSU_LIST) tsu_write_bytes(&pl->bytes, p, (size_t)(tsu_term_end(list) - p));
    for (uint64_t i = 0; t.kind == TSU_STRING && i < t.size; i++) tsu_write_int(&pl->bytes, t.bytes[i]);
    tsu_write_byte(&pl->bytes, rest);
    b.len = pl->bytes.len - b.at;
    return b;
}

tsu_status tsu_plan_prefix(const uint8_t *term, size_t keypos, tsu_plan **out)
{
    static const uint8_t no_map[] = {TSU_TAG_MAP, 0}, no_bits[] = {TSU_TAG_BINARY0};
    uint8_t              bytes[256], values[1];
    planner              pl;
    raw_range            r = {.low_fill = TSU_TAG_LEAST, .each_fill = TSU_TAG_MOST};
    const uint8_t       *p = term;
    tsu_token            t;
    tsu_status           s;

    planner_init(&pl, true, bytes, values, sizeof bytes);
    tsu_term_next(&p, &t);
    if (t.kind == TSU_STRING || (t.kind == TSU_LIST && !t.flag)) {
        r.low = bound_of_items(&pl, term, TSU_TAG_LEAST);
        r.high = bound_of_items(&pl, term, TSU_TAG_MOST);
    } else {
        r.low = tsu_plan_bound_put(&pl, term, tsu_term_len(term), false);
        r.high = (raw_bound){pl.bytes.len, 0, true};
        if (t.kind == TSU_NIL) tsu_write_bytes(&pl.bytes, no_bits, sizeof no_bits);
        else if (t.kind == TSU_TUPLE) tsu_write_bytes(&pl.bytes, no_map, sizeof no_map);
        else if (t.kind == TSU_BINARY) (void)tsu_plan_next_prefix(t.bytes, (size_t)t.size, &pl.bytes);
        else if (pl.bytes.status == TSU_OK) pl.bytes.status = TSU_BADARG;
        r.high.len = pl.bytes.len - r.high.at;
        r.family = t.kind == TSU_TUPLE && t.n > 0;
        r.each = r.low;
    }
    if (pl.bytes.status == TSU_OK) range_add(&pl, &r);
    s = planner_end(&pl, keypos, out);
    if (s == TSU_OK) (*out)->binaries = t.kind == TSU_BINARY;
    return s;
}

const tsu_plan tsu_plan_all = {.count = 1, .ranges = {{.one = false}}};

void tsu_plan_destroy(tsu_plan *plan)
{
    if (plan != NULL) tsu_env_free(plan, plan->bytes);
}

/* ---- Families ---- */

uint64_t tsu_key_size(const uint8_t *key)
{
    tsu_token t;

    if (*key < TSU_TAG_TUPLE0 && *key != TSU_TAG_TUPLE) return 0;
    tsu_term_next(&key, &t);
    return t.kind == TSU_TUPLE ? t.n : 0;
}

static void bound_of_size(const tsu_bound *b, uint64_t size, uint8_t fill, tsu_writer *w)
{
    const uint8_t *p = b->key;
    tsu_token      t;

    tsu_term_next(&p, &t);
    tsu_write_tuple_begin(w, (size_t)size);
    tsu_write_bytes(w, p, (size_t)(b->key + b->len - p));
    for (uint64_t n = t.n; n < size; n++) tsu_write_byte(w, fill);
}

tsu_status tsu_range_of_size(const tsu_range *family, uint64_t size, tsu_writer *w, tsu_range *out)
{
    bool   more = size > tsu_key_size(family->low.key);
    size_t low_len;

    tsu_writer_reset(w);
    bound_of_size(&family->low, size, family->low_fill, w);
    low_len = w->len;
    bound_of_size(&family->each, size, family->each_fill, w);
    if (w->status != TSU_OK) return w->status;
    *out = (tsu_range){
        .low = {w->bytes, low_len, more || family->low.open},
        .high = {w->bytes + low_len, w->len - low_len, more || family->each.open}
    };
    return TSU_OK;
}

/* ---- Asking ---- */

static bool range_covers(const tsu_range *r, const uint8_t *key)
{
    int low = r->low.key == NULL ? 1 : tsu_term_compare(key, r->low.key);
    int high = r->high.key == NULL ? -1 : tsu_term_compare(key, r->high.key);

    return (low > 0 || (low == 0 && !r->low.open)) && (high < 0 || (high == 0 && !r->high.open));
}

static bool family_covers(const tsu_range *r, const uint8_t *key)
{
    uint8_t    buffer[256];
    uint64_t   size = tsu_key_size(key);
    tsu_writer w;
    tsu_range  part;
    bool       covers;

    if (size < tsu_key_size(r->low.key)) return false;
    tsu_writer_init(&w, buffer, sizeof buffer);
    covers = tsu_range_of_size(r, size, &w, &part) != TSU_OK || range_covers(&part, key);
    tsu_writer_deinit(&w);
    return covers;
}

bool tsu_plan_covers(const tsu_plan *plan, const uint8_t *key)
{
    for (size_t i = 0; i < plan->count; i++) {
        const tsu_range *r = &plan->ranges[i];

        if (!plan->ordered && r->one ? tsu_term_same(key, r->low.key) : r->family ? family_covers(r, key) : range_covers(r, key))
            return true;
    }
    return false;
}
