/* matchplan.c: from clauses to ranges. */
#include "term/matchplan.h"
#include "term/matchspec_inner.h"
#include "term/order.h"

/* While ranges come together their bounds are offsets into the bytes, which grow. */
typedef struct raw_bound {
    size_t at, len;             /* len 0: none */
    bool   open;
} raw_bound;

typedef struct raw_range {
    raw_bound low, high;
} raw_range;

typedef struct planner {
    tsu_writer bytes;
    raw_range *ranges;
    size_t     count, cap;
    bool       ordered;
} planner;

/* The pattern up to its first open place, and from there on `place`. A map may match larger ones, and counts as open. */
static void pattern_put(tsu_writer *w, const uint8_t *pattern, uint8_t place)
{
    uint64_t       left = 1;
    const uint8_t *p = pattern;
    tsu_token      t;

    for (; left > 0; left--) {
        const uint8_t *begin = p;

        tsu_term_next(&p, &t);
        if (t.kind == TSU_MAP || tsu_ms_is_open(&t)) break;
        tsu_write_bytes(w, begin, (size_t)(p - begin));
        left += t.children;
    }
    for (; left > 0; left--) tsu_write_byte(w, place);
}

static raw_bound bound_put(planner *pl, const uint8_t *bytes, size_t len, bool open)
{
    raw_bound b = {pl->bytes.len, 0, open};

    tsu_write_bytes(&pl->bytes, bytes, len);
    tsu_ms_key_close(&pl->bytes, b.at);         /* as a table has it */
    b.len = pl->bytes.len - b.at;
    return b;
}

static raw_bound bound_of_pattern(planner *pl, const uint8_t *pattern, uint8_t place)
{
    raw_bound b = {pl->bytes.len, 0, true};

    pattern_put(&pl->bytes, pattern, place);
    b.len = pl->bytes.len - b.at;
    return b;
}

static const uint8_t *bound_key(const planner *pl, const raw_bound *b) { return pl->bytes.bytes + b->at; }

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

static void narrow(planner *pl, raw_range *r, const tsu_ms_bound *guard)
{
    uint8_t        buffer[9];
    const uint8_t *term = guard->term;
    raw_bound      b;

    if (guard->op == TSU_NE || guard->op == TSU_DIFFER) return;
    if (term == NULL) {
        (void)tsu_int_put(buffer, guard->i);
        term = buffer;
    }
    b = bound_put(pl, term, tsu_term_len(term), guard->op == TSU_LT || guard->op == TSU_GT);
    if (pl->bytes.status != TSU_OK) return;
    if (guard->op != TSU_LT && guard->op != TSU_LE && low_compare(pl, &b, &r->low) > 0) r->low = b;
    if (guard->op != TSU_GT && guard->op != TSU_GE && high_compare(pl, &b, &r->high) < 0) r->high = b;
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
    const uint8_t *term;
    size_t         len;
    raw_range      r = {{0, 0, false}, {0, 0, false}};
    tsu_ms_bound   guard;
    size_t         at = 0;

    switch (tsu_ms_clause_key(ms, clause, keypos, &term, &len)) {
    case TSU_MS_KEY_NONE:
        return true;
    case TSU_MS_KEY_IS:
        r.low = r.high = bound_put(pl, term, len, false);
        break;
    case TSU_MS_KEY_PATTERN:
        if (!pl->ordered) return false;
        r.low = bound_of_pattern(pl, term, TSU_TAG_LEAST);
        r.high = bound_of_pattern(pl, term, TSU_TAG_MOST);
        break;
    case TSU_MS_KEY_ANY:
        break;
    }
    while (pl->bytes.status == TSU_OK && tsu_ms_clause_bound(ms, clause, keypos, &at, &guard))
        if (pl->ordered || guard.op == TSU_SAME) narrow(pl, &r, &guard);
    if (pl->bytes.status != TSU_OK) return true;
    if (r.low.len == 0 && r.high.len == 0) return false;
    if (bounds_meet(pl, &r.low, &r.high)) range_add(pl, &r);
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

/* In order, and what overlaps joined: P1. */
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
        if (!bounds_meet(pl, &b->low, &a->high)) pl->ranges[++last] = *b;
        else if (high_compare(pl, &a->high, &b->high) < 0) a->high = b->high;
    }
    if (pl->count > 0) pl->count = last + 1;
}

static bool bounds_same(const planner *pl, const raw_bound *a, const raw_bound *b)
{
    return a->len == b->len && a->len != 0 && memcmp(bound_key(pl, a), bound_key(pl, b), a->len) == 0;
}

static tsu_bound bound_place(const raw_bound *b, const uint8_t *bytes)
{
    return (tsu_bound){b->len == 0 ? NULL : bytes + b->at, b->len, b->open};
}

tsu_status tsu_plan_create(const tsu_ms *ms, size_t keypos, bool ordered, tsu_plan **out)
{
    uint8_t    buffer[512];
    planner    pl = { .ordered = ordered };
    raw_range  all = {{0, 0, false}, {0, 0, false}};
    bool       everywhere = false;
    tsu_plan  *plan;
    tsu_status s;
    size_t     bytes;

    tsu_writer_init(&pl.bytes, buffer, sizeof buffer);
    for (size_t i = 0; i < tsu_ms_clauses(ms) && !everywhere; i++) everywhere = !clause_add(&pl, ms, i, keypos);
    if (everywhere) {
        pl.count = 0;
        range_add(&pl, &all);
    } else if (pl.bytes.status == TSU_OK) {
        ranges_join(&pl);
    }
    s = pl.bytes.status;
    bytes = sizeof *plan + pl.count * sizeof plan->ranges[0] + pl.bytes.len;
    plan = s == TSU_OK ? tsu_env_alloc(bytes) : NULL;
    if (plan != NULL) {
        uint8_t *copy = (uint8_t *)&plan->ranges[pl.count];

        plan->ordered = ordered;
        plan->keypos = keypos;
        plan->bytes = bytes;
        plan->count = pl.count;
        memcpy(copy, pl.bytes.bytes, pl.bytes.len);
        for (size_t i = 0; i < pl.count; i++) {
            plan->ranges[i].low = bound_place(&pl.ranges[i].low, copy);
            plan->ranges[i].high = bound_place(&pl.ranges[i].high, copy);
            plan->ranges[i].one = bounds_same(&pl, &pl.ranges[i].low, &pl.ranges[i].high);
        }
        *out = plan;
    } else if (s == TSU_OK) {
        s = TSU_NOMEM;
    }
    if (pl.ranges != NULL) tsu_env_free(pl.ranges, pl.cap * sizeof *pl.ranges);
    tsu_writer_deinit(&pl.bytes);
    return s;
}

const tsu_plan tsu_plan_all = {.count = 1, .ranges = {{.one = false}}};

void tsu_plan_destroy(tsu_plan *plan)
{
    if (plan != NULL) tsu_env_free(plan, plan->bytes);
}

bool tsu_plan_covers(const tsu_plan *plan, const uint8_t *key)
{
    for (size_t i = 0; i < plan->count; i++) {
        const tsu_range *r = &plan->ranges[i];
        int              low = r->low.key == NULL ? 1 : tsu_term_compare(key, r->low.key);
        int              high = r->high.key == NULL ? -1 : tsu_term_compare(key, r->high.key);

        if (!plan->ordered && r->one) {
            if (tsu_term_same(key, r->low.key)) return true;
        } else if ((low > 0 || (low == 0 && !r->low.open)) && (high < 0 || (high == 0 && !r->high.open))) {
            return true;
        }
    }
    return false;
}
